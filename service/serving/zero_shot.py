"""Forecasts of the zero-shot model: the season of each series, and one engine call for all of the same season."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from service.domain.intervals import Spread
from service.domain.seasons import NO_SEASON, Seasons, find_seasons
from service.domain.series import PostedSeries, read_all
from service.engines.engine import Engine, Series
from service.engines.zero_shot import CombinedRow, ZeroShotEngine
from service.errors import Flaw
from service.serving.batcher import Batcher
from service.serving.engine_call import EngineCall, pack
from service.serving.forecast_plan import ForecastPlan, ForecastRequest
from service.serving.postprocess import Expert, SeriesForecast, assemble
from service.serving.preprocess import PreparedSeries

# Without a season so many steps are forecast.
HORIZON_WITHOUT_SEASON = 10
# What a point of a row and a step of its forecast take of a call's memory, in cells of `EngineCall`: each row is
# forecast from five points by sixteen experts, whose errors are counted in three ways.
POINT_CELLS, STEP_CELLS = 6, 14


@dataclass(frozen=True, slots=True)
class ZeroShotCall(EngineCall):
    """A call for series of the same seasons."""

    seasons: Seasons = NO_SEASON

    def run(self, rows: Sequence[Series]) -> list[Any]:
        """Rows [time] -> for each its combined forecast: one engine call."""
        series, lengths = pack(rows)
        combined = cast(ZeroShotEngine, self.engine).combine(series, lengths, self.seasons, self.horizon)
        return [combined.row(i) for i in range(len(rows))]

    def seconds(self, rows: int, longest: int) -> float:
        # Two seasons cost half as much again.
        factor = 1.5 if self.seasons.long else 1.0
        return factor * self.engine.estimate(self.kind, rows, self._width(longest), self.horizon)

    def _cells(self, length: int) -> int:
        return POINT_CELLS * self._width(length) + STEP_CELLS * self.horizon

    def _width(self, length: int) -> int:
        """Points of a row in the graph: whole seasons."""
        season = self.seasons.long or self.seasons.short
        return -(-length // season) * season


def make_calls(engine: Engine, seasons: Sequence[Seasons], horizon: int) -> list[tuple[ZeroShotCall, list[int]]]:
    """The calls for rows of these seasons, each with the places of its rows."""
    places: dict[Seasons, list[int]] = {}
    for i, of_row in enumerate(seasons):
        places.setdefault(of_row, []).append(i)
    return [(ZeroShotCall(engine, "rollout", horizon, of_rows), found) for of_rows, found in places.items()]


async def combine_rows(
    batcher: Batcher, engine: Engine, rows: Sequence[Series], seasons: Sequence[Seasons], horizon: int
) -> tuple[list[CombinedRow], float, float]:
    """Combined forecasts of rows [time], and the seconds that they waited and were computed in."""
    calls = make_calls(engine, seasons, horizon)
    computed = await asyncio.gather(*(batcher.run(call, [rows[i] for i in places]) for call, places in calls))
    combined: list[Any] = [None] * len(rows)
    for (_, places), result in zip(calls, computed, strict=True):
        for i, combined_row in zip(places, result.rows, strict=True):
            combined[i] = combined_row
    return (
        combined,
        sum(result.queue_seconds for result in computed),
        sum(result.compute_seconds for result in computed),
    )


def combine_rows_here(
    engine: Engine, rows: Sequence[Series], seasons: Sequence[Seasons], horizon: int
) -> list[CombinedRow]:
    """As `combine_rows`, in this thread."""
    combined: list[Any] = [None] * len(rows)
    for call, places in make_calls(engine, seasons, horizon):
        for i, combined_row in zip(places, call.run_all([rows[i] for i in places]), strict=True):
            combined[i] = combined_row
    return combined


def assemble_combined(
    rows: list[PreparedSeries], combined: list[CombinedRow], engine: Engine, plan: ForecastPlan, *, explained: bool
) -> list[SeriesForecast]:
    """Joins combined forecasts, one for each row without a flaw, with the series that they are for."""
    answered = iter(combined)
    by_row = [None if row.values is None else next(answered) for row in rows]
    if plan.has_spread:
        rows = [
            row if of_row is None else row._replace(spread=Spread(of_row.unit, False))
            for row, of_row in zip(rows, by_row, strict=True)
        ]
    answers = [
        np.maximum(of_row.forecast, 0.0) if row.is_non_negative else of_row.forecast
        for row, of_row in zip(rows, by_row, strict=True)
        if of_row is not None
    ]
    forecasts = assemble(rows, answers, None, plan)
    if not explained:
        return forecasts
    names = cast(ZeroShotEngine, engine).experts
    return [
        forecast if of_row is None or forecast.flaw is not None else forecast._replace(experts=_explain(names, of_row))
        for forecast, of_row in zip(forecasts, by_row, strict=True)
    ]


def _explain(names: Sequence[str], combined_row: CombinedRow) -> list[Expert]:
    """What a forecast was made of, the heaviest expert first; those without a say are left out."""
    weights, errors = combined_row.weights.tolist(), combined_row.errors.tolist()
    experts = [Expert(*of_one) for of_one in zip(names, weights, errors, strict=True) if of_one[1] > 0]
    return sorted(experts, key=lambda expert: -expert.weight)


def find_first_seasons(request: ForecastRequest, series: Sequence[PostedSeries], freq: str | None) -> Seasons:
    """The seasons of the first series, or none where it can't be read."""
    for read in read_all(list(series[:1]), request.missing):
        if not isinstance(read, Flaw):
            return find_seasons(read[0], season=request.season, freq=freq)
    return NO_SEASON


def choose_horizon(seasons: Seasons) -> int:
    """One season, or ten steps where there is none."""
    return seasons.short if seasons.short > 1 else HORIZON_WITHOUT_SEASON
