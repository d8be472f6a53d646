"""Prediction intervals by split conformal calibration: from absolute out-of-sample residuals, step by step.

Source: V. Vovk et al., "Algorithmic Learning in a Random World", 2005; J. Lei et al., "Distribution-Free Predictive
Inference for Regression", 2018. A residual is divided by the spread of the series that it comes from, so that widths
follow each series' own scale; the interval of a series is its forecast plus and minus a quantile times its spread.

Series that have stopped moving have a spread of almost nothing, and a residual divided by that would be every other
series' interval. They are calibrated apart, in units of how much they moved before (group-conditional, or Mondrian,
calibration: V. Vovk, D. Lindsay, I. Nouretdinov and A. Gammerman, "Mondrian Confidence Machine", 2003).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# Of longer histories the last seasons say how much the series moves now; of one without a season the last points.
SEASONS = 3
POINTS = 24
# Fewer differences have no deviation that would mean something.
FEWEST_DIFFERENCES = 4
# A series that grows by the same amount every season still errs by some part of it.
TREND_SHARE = 0.1
# A series that moves less than this share of what it did over its whole history is still.
STILL_SHARE = 0.01
# Larger differences of a whole history, of which one may be an error of measurement, count as the one at this share.
LARGEST_COUNTED = 0.95
# A spread under this share of the largest magnitude, some fifty last bits, is rounding noise of 64-bit numbers.
RELATIVE_FLOOR = 1e-14


class Spread(NamedTuple):
    """How much a series moves: the unit of its residuals, and whether it is still, that is has stopped moving.

    The unit of a still series is how much it moved before, at last its magnitude: 0 only where all values are.
    """

    unit: float
    is_still: bool


def measure_spread(history: Array, season: int, window: int, *, is_steady: bool = False) -> Spread:
    """How much a series moves, beyond what repeats and grows: history [time], at least one point.

    The mean absolute deviation of the seasonal differences of its last three seasons (within its last `window` points)
    from their mean, so that steady growth, which a model forecasts, counts little. Where there are few differences
    their mean magnitude, where it is no longer than a season differences of neighbours, of one point its magnitude.

    `is_steady` takes the geometric mean of that and of the same over all of the history. Of one long series three weeks
    of which one has a holiday are a unit that rises after the errors have, and falls when they are as usual again.
    """
    history = history.astype(np.float64)
    largest = float(np.abs(history).max())
    noise = RELATIVE_FLOOR * largest
    now = _deviation(history[-window:][-(SEASONS * season if season > 1 else POINTS) :], season)
    before = _usual_deviation(history, season)
    if now > max(STILL_SHARE * before, noise):
        return Spread(math.sqrt(now * _deviation(history, season)) if is_steady else now, False)
    # It may repeat itself exactly: then differences of neighbours say how much it moves, and at last its level.
    units = (before, _usual_deviation(history, 1), largest)
    return Spread(next((unit for unit in units if unit > noise), 0.0), True)


def _deviation(values: Array, season: int) -> float:
    lag = season if len(values) > season else 1
    if len(values) <= lag:
        return float(np.abs(values).max())
    differences = values[lag:] - values[:-lag]
    magnitude = float(np.abs(differences).mean())
    if len(differences) < FEWEST_DIFFERENCES:
        return magnitude
    return max(float(np.abs(differences - differences.mean()).mean()), TREND_SHARE * magnitude)


def _usual_deviation(history: Array, season: int) -> float:
    """The mean magnitude of a whole history's differences, large ones not counted as more than is usual."""
    lag = season if len(history) > season else 1
    if len(history) <= lag:
        return 0.0
    magnitudes = np.abs(history[lag:] - history[:-lag])
    return float(np.minimum(magnitudes, np.quantile(magnitudes, LARGEST_COUNTED)).mean())


def scale_residuals(residuals: Array, units: Array) -> NDArray[np.float64]:
    """Absolute residuals [n, horizon] in units [n]; NaN where a residual has no unit, or is not known itself."""
    has_unit = units[:, None] > 0
    scaled = residuals / np.where(has_unit, units[:, None], 1.0)
    return np.where(has_unit | (residuals == 0), scaled, np.nan)


def surround(
    forecast: Array, half_widths: Array, *, is_non_negative: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bounds of an interval, all [horizon]; they don't leave the range of a series that was never negative."""
    center = forecast.astype(np.float64)
    lower, upper = center - half_widths, center + half_widths
    return (np.maximum(lower, 0.0), np.maximum(upper, 0.0)) if is_non_negative else (lower, upper)


def needed(level: float) -> int:
    """The fewest residuals from which a level can be claimed: the smallest n with `ceil((n + 1) level) <= n`."""
    return max(1, math.ceil(round(level / (100 - level), 9)))


def half_widths(residuals: Sequence[Sequence[float]] | Any, level: float, horizon: int) -> NDArray[np.float64]:
    """The half width of the interval at each step, in spreads: the `ceil((n + 1) level)`-th smallest residual.

    That rank is the finite-sample correction: the plain quantile would cover too little.

    Args:
        residuals: for each step the absolute residuals in spreads, ascending; `horizon` steps at least.
        level: percent, in (0, 100).

    Returns:
        [horizon].

    Raises:
        ValueError: a step has too few residuals for the level, or there are fewer steps.
    """
    widths = np.empty(horizon)
    if len(residuals) < horizon:
        raise ValueError(f"expected residuals of {horizon} steps, got {len(residuals)}.")
    for step, sorted_residuals in enumerate(residuals[:horizon]):
        n = len(sorted_residuals)
        rank = max(1, math.ceil(round((n + 1) * level / 100, 9)))
        if rank > n:
            raise ValueError(f"a level of {level:g} % needs {needed(level)} residuals, got {n}.")
        widths[step] = sorted_residuals[rank - 1]
    return widths
