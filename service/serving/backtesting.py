"""The backtest use case: scores a version and the baselines at past origins, against the actual values."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from service.domain.backtest import ScorePool, Scores, Track, forecast_naively, measure_forecast
from service.domain.linear_baseline import LinearForecaster, fit_forecaster
from service.domain.metrics import seasonal_scale
from service.errors import Flaw
from service.serving.backtest_plan import BacktestData, BacktestPlan, BacktestRequest, make_backtest_plan
from service.serving.batcher import Batcher
from service.serving.forecasting import ForecastLimits
from service.serving.past_forecasts import Array, PastForecasts, RowForecast, forecast_rows, join_rows
from service.serving.postprocess import overflow
from service.serving.preprocess import raise_if_all_bad
from service.serving.registry import Registry

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
        scores_by_id: dict[str, dict[str, Any] | Flaw] = {}
        pool = ScorePool()
        n_tracks = len(plan.tracks)
        for part in plan.parts():
            rows = await asyncio.to_thread(lambda tracks: [row for track in tracks for row in plan.rows(track)], part)
            seasons = await asyncio.to_thread(plan.find_seasons, rows) if plan.manifest.is_zero_shot else None
            computed = await forecast_rows(self._batcher, engine, plan.manifest, plan.forecast_plan, rows, seasons)
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
    plan: BacktestPlan,
    part: list[Track],
    answers: list[RowForecast],
    linear: LinearForecaster | None,
    pool: ScorePool,
) -> dict[str, dict[str, Any] | Flaw]:
    """What is answered of each series by its id, its scores added to the pool; there is a forecast for each origin."""
    answers_by_id: dict[str, dict[str, Any] | Flaw] = {}
    windows = plan.rolling.windows
    for i, track in enumerate(part):
        origins = plan.origins(track)
        histories = [track.history(origin) for origin in origins]
        own = answers[i * windows : (i + 1) * windows]
        past = join_rows(plan.manifest, plan.forecast_plan, histories, own)
        if past is None:
            answers_by_id[track.id] = overflow(track.pointer)
            continue
        actual = track.actuals(origins, plan.forecast_plan.horizon)
        scores = _score(plan, track, actual, histories, past, linear)
        pool.add(scores, int(np.isfinite(actual).sum()))
        answers_by_id[track.id] = (
            {**scores, "forecasts": _show_forecasts(track, origins, past)} if plan.shows else scores
        )
    return answers_by_id


def _score(
    plan: BacktestPlan,
    track: Track,
    actual: Array,
    histories: list[Array],
    past: PastForecasts,
    linear: LinearForecaster | None,
) -> dict[str, Scores]:
    scale = seasonal_scale(track.values[: plan.origins(track)[0]], plan.season)
    forecasts: dict[str, Any] = {
        "model": past.values,
        **forecast_naively(histories, plan.forecast_plan.horizon, plan.season),
    }
    if linear is not None:
        forecasts["linear"] = linear.forecast(histories)
    return {
        name: measure_forecast(actual, values, scale, past.intervals if name == "model" else None)
        for name, values in forecasts.items()
    }


def _show_forecasts(track: Track, origins: list[int], past: PastForecasts) -> list[dict[str, Any]]:
    """Each forecast with its origin: the index, in the series as it was posted, of the first point that is forecast."""
    return [
        {
            "origin": track.first + origin,
            "values": past.values[i].tolist(),
            **(
                {
                    "intervals": {
                        level: {"lower": low[i].tolist(), "upper": high[i].tolist()}
                        for level, (low, high) in past.intervals.items()
                    }
                }
                if past.intervals
                else {}
            ),
        }
        for i, origin in enumerate(origins)
    ]


def _show(name: str, outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, Flaw):
        error = {"pointer": outcome.pointer, "code": outcome.code, "message": outcome.message}
        return {"id": name, "error": error}
    return {"id": name, **outcome}
