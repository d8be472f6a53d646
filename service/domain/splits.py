"""How a panel is cut by time: the last horizon of each series is the test, what comes before it validates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Origins = NDArray[np.int64]

# So many forecasts make a validation score, and residuals for the usual levels, trustworthy.
ENOUGH_ORIGINS = 100
# Validation takes no more of a series than this.
LONGEST_VALIDATION = 0.2


@dataclass(frozen=True, slots=True)
class Split:
    """Forecast origins: row k is series `series[k]`, of which the first `ends[k]` points are known.

    Training may use the first `train_ends[i]` points of series i, targets included; no validation or test target is
    among them.
    """

    train_ends: Origins
    validation: tuple[Origins, Origins]
    test: tuple[Origins, Origins]


def split(lengths: Origins, horizon: int, min_history: int) -> Split:
    """Cuts each series: test is its last horizon, validation the targets just before, training all before those.

    Where there are few series, validation has several origins of each: up to a horizon apart, so that one stretch of
    luck does not speak for all, within a fifth of its points. A series that is too short for a part is left out of it;
    what it has is trained on as far as no test value is touched.

    Args:
        lengths: [n_series].
        min_history: the fewest points to forecast from.
    """
    tested = np.flatnonzero(lengths >= min_history + horizon)
    validated = np.flatnonzero(lengths >= min_history + 2 * horizon)
    n_origins = np.ones(len(lengths), dtype=np.int64)
    reach = np.zeros(len(lengths), dtype=np.int64)  # from the first origin to the last
    if len(validated):
        wanted = -(-ENOUGH_ORIGINS // len(validated))
        room = np.maximum(lengths - 3 * horizon - min_history, 0)  # with more, training would keep no window
        reach = np.minimum(np.minimum(room, (LONGEST_VALIDATION * lengths).astype(np.int64)), (wanted - 1) * horizon)
        n_origins = np.minimum(wanted, reach + 1)
    last = lengths - 2 * horizon
    rows = np.repeat(validated, n_origins[validated])
    ends = [last[i] - np.linspace(reach[i], 0, n_origins[i]).astype(np.int64) for i in validated]
    train_ends = np.where(lengths >= min_history + 2 * horizon, last - reach, np.maximum(lengths - horizon, 0))
    validation = (rows, np.concatenate(ends) if ends else np.array([], np.int64))
    return Split(train_ends, validation, (tested, lengths[tested] - horizon))
