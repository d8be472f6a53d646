"""Intermittent demand: series of zeros with a sale now and then."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# From so many points between two demands on, in the mean, demand is called intermittent.
# Source: A. A. Syntetos, J. E. Boylan and J. D. Croston, "On the categorization of demand patterns", 2005.
AVERAGE_DEMAND_INTERVAL = 1.32


def is_intermittent(series: Iterable[Array]) -> bool:
    """Whether most series [time], NaN for missing values, are of intermittent demand, and none is ever negative.

    The forecast with the least absolute error is then the median, which is zero: it says nothing of how much will be
    asked for. Models are so fitted and chosen by squared errors, whose best forecast is the mean demand.
    """
    intervals = []
    for values in series:
        measured = values[~np.isnan(values)]
        if (measured < 0).any():
            return False
        if measured.size:
            intervals.append(measured.size / max(int(np.count_nonzero(measured)), 1))
    return bool(intervals) and float(np.median(intervals)) >= AVERAGE_DEMAND_INTERVAL
