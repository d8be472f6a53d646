"""Differences against the last season: what a model reads and answers under `difference`, and the way back.

With a lag of one season (or of one point, for first differences) a model reads `x(t) - x(t - lag)` and answers, for
each step ahead, how far the value will be from the last one known of its phase, that is from the seasonal naive
forecast (the naive one). A forecast over several seasons is so not a sum of answers, and errors don't pile up.

The SavedModel does the same inside its graph (`service.training.graph`); a test holds the two together.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def difference(values: Array, lag: int) -> Array:
    """`x(t) - x(t - lag)`: [n, time] -> [n, time - lag]; with lag 0 the values themselves."""
    return values if lag == 0 else values[:, lag:] - values[:, :-lag]


def phase(horizon: int, lag: int) -> NDArray[np.int32]:
    """For each step ahead, how many points before the end its base value lies: [horizon], from 1 to `lag`."""
    return (lag - np.arange(horizon) % lag).astype(np.int32)


def base(values: Array, horizon: int, lag: int) -> Array:
    """The seasonal naive forecast from the end of the values: [n, at least lag] -> [n, horizon]; zeros with lag 0."""
    if lag == 0:
        return np.zeros((len(values), horizon), dtype=values.dtype)
    return values[:, values.shape[1] - phase(horizon, lag)]


def to_increments(answers: Array, lag: int) -> Array:
    """A block of answers [n, horizon] as what the model reads when they are fed back: their seasonal differences."""
    if lag == 0 or answers.shape[1] <= lag:
        return answers
    return np.concatenate([answers[:, :lag], answers[:, lag:] - answers[:, :-lag]], axis=1)
