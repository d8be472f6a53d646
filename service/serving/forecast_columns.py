"""Answers of forecast requests as columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.domain.forecast_columns import ForecastColumns
from service.serving.block import BlockForecasts
from service.serving.forecasting import Forecast


def make_columns(answer: Forecast) -> ForecastColumns:
    """The columns `forecast`, `lo-80` and `hi-80` for each level, and `q-0.1` for each quantile, of a forecast."""
    horizon, block = answer.plan.horizon, answer.series
    if isinstance(block, BlockForecasts):
        values = block.values.ravel().astype(np.float64, copy=False)
        n = len(block.ids)
        return ForecastColumns(block.ids, horizon, {"forecast": values}, [block.timestamps] * n, [None] * n)
    good = [series for series in block if series.flaw is None]
    columns = {"forecast": _join([series.values for series in good])}
    for level in answer.plan.half_widths:
        bounds = [series.intervals[level] for series in good if series.intervals is not None]
        columns[f"lo-{level}"] = _join([lower for lower, _ in bounds])
        columns[f"hi-{level}"] = _join([upper for _, upper in bounds])
    for quantile in answer.plan.quantile_widths:
        columns[f"q-{quantile}"] = _join([series.quantiles[quantile] for series in good if series.quantiles])
    return ForecastColumns(
        [series.id for series in block],
        horizon,
        columns,
        [series.timestamps for series in good],
        [None if series.flaw is None else f"{series.flaw.code}: {series.flaw.message}" for series in block],
    )


def _join(arrays: Sequence[Any]) -> Any:
    return np.concatenate(arrays).astype(np.float64, copy=False) if arrays else np.zeros(0)
