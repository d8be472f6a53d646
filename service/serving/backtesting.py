"""The backtest use case: scores a version and the baselines at past origins, against the actual values."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from service.domain.backtest import ScorePool, Scores, Track, forecast_naively, measure_forecast
from service.domain.intervals import Spread, surround
from service.domain.linear_baseline import LinearForecaster, fit_forecaster
from service.domain.metrics import seasonal_scale
from service.engines.engine import Answers, Engine, Series
from service.errors import Flaw
from service.serving.backtest_plan import BacktestData, BacktestPlan, BacktestRequest, make_backtest_plan
from service.serving.batcher import Batcher
from service.serving.forecasting import ForecastLimits, make_engine_call
from service.serving.interval_widths import find_spread, never_negative
from service.serving.postprocess import overflow
from service.serving.preprocess import raise_if_all_bad
from service.serving.registry import Registry
from service.serving.zero_shot import combine_rows

# A backtest's answer, as JSON.
Answer = dict[str, Any]


class Backtesting:
    """Backtests the versions of a store."""

    def __init__(self, registry: Registry, batcher: Batcher, limits: ForecastLimits) -> None:
        self._registry = registry
        self._batcher = batcher
        self._limits = limits

    async def prepare(self, request: BacktestRequest, data: BacktestData) -> BacktestPlan:
        """Checks everything that can be checked before forecasts are computed.

        Raises:
            InvalidRequest: the request is wrong, or every one of its series is.
            ModelNotFound, VersionNotFound, NoChampion.
        """
        manifest = await self._registry.resolve(request.model, request.version)
        return await asyncio.to_thread(make_backtest_plan, request, data, manifest, self._limits)

    async def run(self, plan: BacktestPlan, on_part: Callable[[int, int], None] = lambda done, total: None) -> Answer:
        """Forecasts and scores.

        Args:
            on_part: told after each part, in a thread, how many series are done, and of how many. What it raises ends
                the backtest.

        Raises:
            InvalidRequest: no series has a forecast that 32-bit numbers hold.
            NotFound, VersionDamaged, QueueFull, NotReady.
        """
        engine = await self._registry.engine(plan.manifest)
        linear, reasons = await asyncio.to_thread(_fit_linear, plan)
        scores_by_id: dict[str, dict[str, Scores] | Flaw] = {}
        pool = ScorePool()
        n_tracks = len(plan.tracks)
        for part in plan.parts():
            rows = await asyncio.to_thread(lambda tracks: [row for track in tracks for row in plan.rows(track)], part)
            computed = await self._forecast(plan, engine, rows)
            scores_by_id |= await asyncio.to_thread(_score_part, plan, part, computed, linear, pool)
            await asyncio.to_thread(on_part, len(scores_by_id), n_tracks)
        outcomes = [scores_by_id.get(name, track) for name, track in plan.series]
        raise_if_all_bad([outcome if isinstance(outcome, Flaw) else None for outcome in outcomes])
        return {
            "model": plan.manifest.name,
            "version": plan.manifest.version,
            "horizon": plan.forecast_plan.horizon,
            "windows": plan.rolling.windows,
            "step": plan.rolling.step,
            "season": plan.season,
            "overall": pool.scores(),
            "left_out": reasons,
            "series": [_show(name, outcome) for (name, _), outcome in zip(plan.series, outcomes, strict=True)],
        }

    async def _forecast(self, plan: BacktestPlan, engine: Engine, rows: list[Series]) -> list["_Forecast"]:
        """The forecasts of rows [time]."""
        if not plan.manifest.is_zero_shot:
            call = make_engine_call(engine, plan.forecast_plan, plan.manifest)
            computed = await self._batcher.run(call, rows)
            return [_Forecast(values, None) for values in computed.rows]
        seasons = await asyncio.to_thread(plan.find_seasons, rows)
        cut = [row[-of_row.points_read :] for row, of_row in zip(rows, seasons, strict=True)]
        combined, *_ = await combine_rows(self._batcher, engine, cut, seasons, plan.forecast_plan.horizon)
        return [_Forecast(combined_row.forecast, Spread(combined_row.unit, False)) for combined_row in combined]


class _Forecast(NamedTuple):
    """A forecast [horizon or more], and the unit of its errors where the version tells it."""

    values: Answers
    spread: Spread | None


def _fit_linear(plan: BacktestPlan) -> tuple[LinearForecaster | None, dict[str, str]]:
    """The linear baseline, fitted to what was known at the first origins; without it, why there is none."""
    origins = [plan.origins(track)[0] for track in plan.tracks]
    histories = [track.history(origin) for track, origin in zip(plan.tracks, origins, strict=True)]
    measured = [track.values[:origin] for track, origin in zip(plan.tracks, origins, strict=True)]
    try:
        return fit_forecaster(histories, plan.manifest.window, plan.forecast_plan.horizon, measured), {}
    except ValueError as error:
        return None, {"linear": str(error)}


def _score_part(
    plan: BacktestPlan, part: list[Track], answers: list[_Forecast], linear: LinearForecaster | None, pool: ScorePool
) -> dict[str, dict[str, Scores] | Flaw]:
    """The scores of each series by its id, added to the pool; there is an answer for each origin."""
    scores_by_id: dict[str, dict[str, Scores] | Flaw] = {}
    windows = plan.rolling.windows
    for i, track in enumerate(part):
        own = answers[i * windows : (i + 1) * windows]
        forecast = np.stack([answer.values for answer in own])[:, : plan.forecast_plan.horizon]
        if not np.isfinite(forecast).all():
            scores_by_id[track.id] = overflow(track.pointer)
            continue
        actual = track.actuals(plan.origins(track), plan.forecast_plan.horizon)
        scores = _score(plan, track, actual, forecast, [answer.spread for answer in own], linear)
        pool.add(scores, int(np.isfinite(actual).sum()))
        scores_by_id[track.id] = scores
    return scores_by_id


def _score(
    plan: BacktestPlan,
    track: Track,
    actual: np.ndarray[Any, Any],
    forecast: Answers,
    told: list[Spread | None],
    linear: LinearForecaster | None,
) -> dict[str, Scores]:
    histories = [track.history(origin) for origin in plan.origins(track)]
    scale = seasonal_scale(track.values[: plan.origins(track)[0]], plan.season)
    if plan.manifest.is_zero_shot:
        is_non_negative = np.array([[never_negative(plan.manifest, history)] for history in histories])
        forecast = np.where(is_non_negative, np.maximum(forecast, 0.0), forecast)
    forecasts: dict[str, Any] = {
        "model": forecast,
        **forecast_naively(histories, plan.forecast_plan.horizon, plan.season),
    }
    if linear is not None:
        forecasts["linear"] = linear.forecast(histories)
    intervals = {}
    if plan.forecast_plan.half_widths:
        spreads = [
            find_spread(plan.manifest, history) if spread is None else spread
            for history, spread in zip(histories, told, strict=True)
        ]
        signs = [never_negative(plan.manifest, history) for history in histories]
        for level, half_widths in plan.forecast_plan.half_widths.items():
            bounds = [
                surround(values, half_widths.of(spread), is_non_negative=sign)
                for values, spread, sign in zip(forecast, spreads, signs, strict=True)
            ]
            intervals[level] = (np.stack([low for low, _ in bounds]), np.stack([high for _, high in bounds]))
    return {
        name: measure_forecast(actual, values, scale, intervals if name == "model" else None)
        for name, values in forecasts.items()
    }


def _show(name: str, outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, Flaw):
        error = {"pointer": outcome.pointer, "code": outcome.code, "message": outcome.message}
        return {"id": name, "error": error}
    return {"id": name, **outcome}
