"""What a version would have forecast at earlier points of a series: for backtests, fitted values and anomalies."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.intervals import Spread, surround
from service.domain.seasons import Seasons
from service.engines.engine import Answers, Engine, Series
from service.serving.batcher import Batcher
from service.serving.forecast_plan import ForecastPlan
from service.serving.forecast_work import make_engine_call
from service.serving.interval_widths import find_spread, never_negative
from service.serving.zero_shot import combine_rows
from service.store.manifest import Manifest

Array = NDArray[np.float64]


class RowForecast(NamedTuple):
    """A forecast [horizon or more], and the unit of its errors where the version tells it."""

    values: Answers
    spread: Spread | None


class PastForecasts(NamedTuple):
    """A series' forecasts [origins, horizon], and lower and upper bounds of the same shape by level."""

    values: Answers
    intervals: dict[str, tuple[Array, Array]]


async def forecast_rows(
    batcher: Batcher,
    engine: Engine,
    manifest: Manifest,
    plan: ForecastPlan,
    rows: Sequence[Series],
    seasons: Sequence[Seasons] | None,
) -> list[RowForecast]:
    """The forecasts of rows [time]; `seasons` are those of each, None for other versions than the zero-shot model's.

    Raises:
        QueueFull, NotReady.
    """
    if seasons is None:
        computed = await batcher.run(make_engine_call(engine, plan, manifest), list(rows))
        return [RowForecast(values, None) for values in computed.rows]
    cut = await asyncio.to_thread(
        lambda: [row[-of_row.points_read :] for row, of_row in zip(rows, seasons, strict=True)]
    )
    combined, *_ = await combine_rows(batcher, engine, cut, seasons, plan.horizon)
    return [RowForecast(row.forecast, Spread(row.unit, False)) for row in combined]


def join_rows(
    manifest: Manifest, plan: ForecastPlan, histories: Sequence[Array], rows: Sequence[RowForecast]
) -> PastForecasts | None:
    """One series' forecasts with their intervals; None where they leave the range of 32-bit numbers.

    Args:
        histories: what was known at each origin, [time].
        rows: the forecast at each origin.
    """
    values = np.stack([row.values for row in rows])[:, : plan.horizon]
    if not np.isfinite(values).all():
        return None
    signs = [never_negative(manifest, history) for history in histories]
    if manifest.is_zero_shot:
        values = np.where(np.array(signs)[:, None], np.maximum(values, 0.0), values)
    intervals = {}
    if plan.half_widths:
        spreads = [
            find_spread(manifest, history) if row.spread is None else row.spread
            for history, row in zip(histories, rows, strict=True)
        ]
        for level, half_widths in plan.half_widths.items():
            bounds = [
                surround(forecast, half_widths.of(spread), is_non_negative=sign)
                for forecast, spread, sign in zip(values, spreads, signs, strict=True)
            ]
            intervals[level] = (np.stack([low for low, _ in bounds]), np.stack([high for _, high in bounds]))
    return PastForecasts(values, intervals)
