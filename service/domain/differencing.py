"""Differences against the last season: what a model reads and answers under `difference`, and the way back.

With a lag of one season (or of one point, for first differences) a model reads `x(t) - x(t - lag)` and answers, for
each step ahead, how far the value will be from the last one known of its phase, that is from the seasonal naive
forecast (the naive one). A forecast over several seasons is so not a sum of answers, and errors don't pile up.

Arrays are of any library: `xp` is what `service.domain.array_operations` says.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensor = Any


def difference(values: Tensor, lag: int) -> Tensor:
    """`x(t) - x(t - lag)`: [n, time] -> [n, time - lag]; with lag 0 the values themselves."""
    return values if lag == 0 else values[:, lag:] - values[:, :-lag]


def phase(horizon: int, lag: int) -> NDArray[np.int32]:
    """For each step ahead, how many points before the end its base value lies: [horizon], from 1 to `lag`."""
    return (lag - np.arange(horizon) % lag).astype(np.int32)


def base(values: NDArray[np.floating], horizon: int, lag: int) -> NDArray[np.floating]:
    """The seasonal naive forecast from the end of the values: [n, at least lag] -> [n, horizon]; zeros with lag 0."""
    if lag == 0:
        return np.zeros((len(values), horizon), dtype=values.dtype)
    return values[:, values.shape[1] - phase(horizon, lag)]


def feed_back(xp: Any, answers: Tensor, horizon: int, lag: int) -> Tensor:
    """A block of answers [n, horizon] as the model reads it when it is fed back: their seasonal differences."""
    if lag == 0 or horizon <= lag:
        return answers
    return xp.concatenate([answers[:, :lag], difference(answers, lag)], axis=1)


def integrate(xp: Any, fed: Tensor, season_before: Tensor, lag: int) -> Tensor:
    """Differences that were fed back, as values: sums over all steps of one phase.

    Args:
        fed: [n, time].
        season_before: the last `lag` values before them, [n, lag]; unread with lag 0.

    Returns:
        [n, time].
    """
    if lag == 0:
        return fed
    batch, time = xp.size(fed, 0), xp.size(fed, 1)
    seasons = (time + (lag - 1)) // lag
    whole = xp.pad(fed, 0, seasons * lag - time, axis=1)
    by_season = xp.cumsum(xp.reshape(whole, (batch, seasons, lag)), axis=1) + xp.expand_dims(season_before, 1)
    return xp.reshape(by_season, (batch, seasons * lag))[:, :time]
