"""Prediction intervals by split conformal calibration: from absolute out-of-sample residuals, step by step.

Source: V. Vovk et al., "Algorithmic Learning in a Random World", 2005; J. Lei et al., "Distribution-Free Predictive
Inference for Regression", 2018. A residual is divided by the spread of the series that it comes from, so that widths
follow each series' own scale; the interval of a series is its forecast plus and minus a quantile times its spread.
"""

import math
from collections.abc import Sequence
from typing import Any

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
# A spread under this share of the largest magnitude is rounding noise of float32.
RELATIVE_FLOOR = 1e-6


def spread(history: Array, season: int) -> float:
    """How much a series moves, beyond what repeats and grows: history [time].

    The mean absolute deviation of the seasonal differences of its last three seasons from their mean, so that steady
    growth, which a model forecasts, counts little. Where there are few differences their mean magnitude, where it is
    no longer than a season differences of neighbours, of one point its magnitude. Never 0, so that residuals can be
    divided by it.
    """
    values = history[-(SEASONS * season if season > 1 else POINTS) :].astype(np.float64)
    floor = max(RELATIVE_FLOOR * float(np.abs(values).max()), 1e-30)
    lag = season if len(values) > season else 1
    if len(values) <= lag:
        return max(float(np.abs(values).max()), floor)
    differences = values[lag:] - values[:-lag]
    magnitude = float(np.abs(differences).mean())
    if len(differences) < FEWEST_DIFFERENCES:
        return max(magnitude, floor)
    return max(float(np.abs(differences - differences.mean()).mean()), TREND_SHARE * magnitude, floor)


def needed(level: float) -> int:
    """The fewest residuals from which a level can be claimed: the smallest n with `ceil((n + 1) level) <= n`."""
    return math.ceil(round(level / (100 - level), 9))


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
        rank = math.ceil(round((n + 1) * level / 100, 9))
        if rank > n:
            raise ValueError(f"a level of {level:g} % needs {needed(level)} residuals, got {n}.")
        widths[step] = sorted_residuals[rank - 1]
    return widths
