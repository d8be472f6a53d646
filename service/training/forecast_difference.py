"""How far apart two programs' forecasts are, where both should give the same numbers."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# Of the largest value that the series hold: the least that is told apart. A window of zeros, as sparse demand has, has
# no deviation and a forecast near zero; a share of that would be the rounding of nothing.
LEAST_UNIT = 1e-6


def least_unit(series: Iterable[Array]) -> float:
    """The least unit of differences between forecasts of these series, of any shapes; never 0."""
    largest = max((float(np.abs(values).max(initial=0.0)) for values in series), default=0.0)
    return LEAST_UNIT * (largest or 1.0)


def measure_difference(served: Array, expected: Array, row: Array, least: float) -> float:
    """The largest difference between two forecasts of a row [time], of any shape.

    Returns:
        A share of the forecast's magnitude, the row's standard deviation or `least`, whichever is larger; of a row
        without a deviation its level stands for it. Infinity where one has a number and the other none.
    """
    known = np.isfinite(expected)
    if served.shape != expected.shape or not np.array_equal(known, np.isfinite(served)):
        return float("inf")
    magnitude = np.abs(expected[known])
    movement = float(row.std(dtype=np.float64)) or max(float(np.abs(row).max()), float(magnitude.max(initial=0.0)))
    unit = np.maximum(magnitude, max(movement, least))
    return float((np.abs(served[known] - expected[known]) / unit).max(initial=0.0))
