"""Turns an engine's answers into those of a request: values, intervals and errors for each series."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.intervals import surround
from service.domain.series import FLOAT32_MAX
from service.engines.engine import Answers
from service.errors import Flaw
from service.serving.forecast_plan import ForecastPlan
from service.serving.preprocess import PreparedSeries

Bounds = NDArray[np.float64]


class Expert(NamedTuple):
    """One expert's part in a zero-shot forecast: its weight, and its mean absolute error on the series' own past."""

    name: str
    weight: float
    error: float


class SeriesForecast(NamedTuple):
    """One series' forecast: `values` [horizon], `sequence` [steps, horizon] with all_steps; or its flaw.

    `intervals` are lower and upper bounds by level, `quantiles` values by quantile, each [horizon]. `starts_after` is
    as of a PreparedSeries. `season` is what the zero-shot model found, `experts` what it made the forecast of. `fitted`
    [time] are one-step forecasts of the points that were posted, NaN for the first ones.
    """

    id: str
    values: Answers | None = None
    timestamps: list[str] | None = None
    sequence: Answers | None = None
    intervals: dict[str, tuple[Bounds, Bounds]] | None = None
    flaw: Flaw | None = None
    starts_after: int | None = None
    quantiles: dict[str, Bounds] | None = None
    season: int | None = None
    experts: list[Expert] | None = None
    fitted: Bounds | None = None


def assemble(
    rows: list[PreparedSeries], answers: list[Answers], sequences: list[Answers] | None, plan: ForecastPlan
) -> list[SeriesForecast]:
    """Joins the answers, one for each row without a flaw, with the series that they are for.

    Args:
        answers: the plan's steps, or more, of each: [horizon or more].
        sequences: [steps, horizon or more] of each; None without all_steps.
    """
    if len(answers) == 1:
        values = answers[0][None, : plan.horizon]
    elif answers:
        values = np.ascontiguousarray(np.concatenate(answers).reshape(len(answers), -1)[:, : plan.horizon])
    else:
        values = np.zeros((0, plan.horizon), np.float32)
    if plan.clips:
        values = np.maximum(values, 0)
        sequences = None if sequences is None else [np.maximum(sequence, 0) for sequence in sequences]
    magnitudes = np.abs(values)
    # NaN fails the comparison.
    is_finite = not answers or np.maximum.reduce(magnitudes, axis=None) <= FLOAT32_MAX
    if is_finite and len(answers) == len(rows) and sequences is None and not plan.has_spread:
        return [
            SeriesForecast(
                row.id, forecast, row.timestamps, None, None, None, row.starts_after, None, _find_season(row)
            )
            for row, forecast in zip(rows, values, strict=True)
        ]
    overflown = frozenset() if is_finite else frozenset(np.nonzero(~(magnitudes <= FLOAT32_MAX))[0].tolist())
    forecasts = []
    positions = iter(range(len(answers)))
    for row in rows:
        if row.flaw is not None:
            forecasts.append(SeriesForecast(row.id, flaw=row.flaw))
            continue
        i = next(positions)
        sequence = None if sequences is None else np.ascontiguousarray(sequences[i][:, : plan.horizon])
        if i not in overflown and (sequence is None or np.isfinite(sequence).all()):
            intervals = _surround(row, values[i], plan) if plan.half_widths else None
            quantiles = _find_quantiles(row, values[i], plan) if plan.quantile_widths else None
            forecasts.append(
                SeriesForecast(
                    row.id,
                    values[i],
                    row.timestamps,
                    sequence,
                    intervals,
                    None,
                    row.starts_after,
                    quantiles,
                    _find_season(row),
                )
            )
        else:
            forecasts.append(SeriesForecast(row.id, flaw=overflow(row.pointer)))
    return forecasts


def _find_season(row: PreparedSeries) -> int | None:
    return None if row.seasons is None else row.seasons.short


def _surround(row: PreparedSeries, values: Answers, plan: ForecastPlan) -> dict[str, tuple[Bounds, Bounds]]:
    """The intervals of one series' forecast, as wide as the series moves."""
    assert row.spread is not None  # read_rows measures it where levels are asked for
    return {
        level: surround(values, half_widths.of(row.spread), is_non_negative=row.is_non_negative)
        for level, half_widths in plan.half_widths.items()
    }


def _find_quantiles(row: PreparedSeries, values: Answers, plan: ForecastPlan) -> dict[str, Bounds]:
    """The quantiles of one series' forecast: bounds of its intervals."""
    assert row.spread is not None
    quantiles = {}
    for quantile, (sign, half_widths) in plan.quantile_widths.items():
        bound = values if half_widths is None else values + sign * half_widths.of(row.spread)
        quantiles[quantile] = np.maximum(bound, 0.0) if row.is_non_negative else np.asarray(bound, np.float64)
    return quantiles


def overflow(pointer: str) -> Flaw:
    """The flaw of a series whose forecast is not finite."""
    return Flaw(
        pointer,
        "out_of_range",
        "The forecast leaves the range of 32-bit numbers: expected finite values. Send the series in a larger unit, or "
        "ask for fewer steps.",
    )
