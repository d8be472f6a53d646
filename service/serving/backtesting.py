"""The backtest use case: scores a version and the baselines at past origins, against the actual values."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from service.domain.backtest import ScorePool, Scores, Track, forecast_naively, measure_forecast
from service.domain.linear_baseline import LinearForecaster, fit_forecaster
from service.domain.metrics import seasonal_scale
from service.engines.engine import Engine
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


class LinearBaseline(NamedTuple):
    """The linear baseline of a backtest; without it, why there is none."""

    forecaster: LinearForecaster | None
    reasons: dict[str, str]


class TrackOutcome(NamedTuple):
    """What is answered of a series, its scores of so many points, or why it has no forecast."""

    id: str
    answer: dict[str, Any] | Flaw
    n_points: int


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
        # Held to the end: what is loaded besides may push it out of the registry.
        engine = await self.load(plan)
        linear = await asyncio.to_thread(fit_linear, plan)
        outcomes: list[TrackOutcome] = []
        n_tracks = len(plan.tracks)
        for part in plan.parts():
            outcomes += await self.score(plan, engine, part, linear)
            await asyncio.to_thread(on_part, len(outcomes), n_tracks)
        return await asyncio.to_thread(assemble, plan, linear, outcomes)

    async def load(self, plan: BacktestPlan) -> Engine:
        """What computes the version's forecasts. Raises NotFound, VersionDamaged."""
        return await self._registry.engine(plan.manifest)

    async def score(
        self, plan: BacktestPlan, engine: Engine, part: list[Track], linear: LinearBaseline
    ) -> list[TrackOutcome]:
        """Forecasts and scores a part of the plan's tracks, which gives the same whatever was computed before.

        Raises:
            QueueFull, NotReady.
        """
        rows = await asyncio.to_thread(lambda: [row for track in part for row in plan.rows(track)])
        seasons = await asyncio.to_thread(plan.find_seasons, rows) if plan.manifest.is_zero_shot else None
        computed = await forecast_rows(self._batcher, engine, plan.manifest, plan.forecast_plan, rows, seasons)
        return await asyncio.to_thread(_score_part, plan, part, computed, linear.forecaster)


def fit_linear(plan: BacktestPlan) -> LinearBaseline:
    """The linear baseline, fitted to what was known at the first origins."""
    origins = [plan.origins(track)[0] for track in plan.tracks]
    histories = [track.history(origin) for track, origin in zip(plan.tracks, origins, strict=True)]
    measured = [track.values[:origin] for track, origin in zip(plan.tracks, origins, strict=True)]
    try:
        return LinearBaseline(fit_forecaster(histories, plan.manifest.window, plan.forecast_plan.horizon, measured), {})
    except ValueError as error:
        return LinearBaseline(None, {"linear": str(error)})


def assemble(plan: BacktestPlan, linear: LinearBaseline, outcomes: Iterable[TrackOutcome]) -> Answer:
    """The answer of a backtest.

    Args:
        outcomes: of all tracks in the plan's order, in which their scores are added up: so sums don't depend on who
            computed them.

    Raises:
        InvalidRequest: no series has a forecast that 32-bit numbers hold.
    """
    pool = ScorePool()
    answers: dict[str, dict[str, Any] | Flaw] = {}
    for outcome in outcomes:
        answers[outcome.id] = outcome.answer
        if not isinstance(outcome.answer, Flaw):
            pool.add({name: value for name, value in outcome.answer.items() if name != "forecasts"}, outcome.n_points)
    shown = [answers[track.id] if isinstance(track, Track) else track for _, track in plan.series]
    raise_if_all_bad([answer if isinstance(answer, Flaw) else None for answer in shown])
    return {
        "model": plan.manifest.name,
        "version": plan.manifest.version,
        "horizon": plan.forecast_plan.horizon,
        "windows": plan.rolling.windows,
        "step": plan.rolling.step,
        "season": plan.season,
        "overall": pool.scores(),
        "left_out": linear.reasons,
        "series": [_show(name, answer) for (name, _), answer in zip(plan.series, shown, strict=True)],
    }


def _score_part(
    plan: BacktestPlan, part: list[Track], answers: list[RowForecast], linear: LinearForecaster | None
) -> list[TrackOutcome]:
    """What is answered of each series; there is a forecast for each origin."""
    outcomes: list[TrackOutcome] = []
    windows = plan.rolling.windows
    for i, track in enumerate(part):
        origins = plan.origins(track)
        histories = [track.history(origin) for origin in origins]
        own = answers[i * windows : (i + 1) * windows]
        past = join_rows(plan.manifest, plan.forecast_plan, histories, own)
        if past is None:
            outcomes.append(TrackOutcome(track.id, overflow(track.pointer), 0))
            continue
        actual = track.actuals(origins, plan.forecast_plan.horizon)
        answer: dict[str, Any] = {**_score(plan, track, actual, histories, past, linear)}
        if plan.shows:
            answer["forecasts"] = _show_forecasts(track, origins, past)
        outcomes.append(TrackOutcome(track.id, answer, int(np.isfinite(actual).sum())))
    return outcomes


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
