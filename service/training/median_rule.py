"""When a trial ends early: once its validation loss is above the median of the trials before it.

The rule is that of D. Golovin et al., Google Vizier, 2017, as Optuna has it (T. Akiba et al., 2019). The trials before
are those of completed rounds, so the bounds are known before a fit begins: whoever does it ends it at the same epoch.
"""

import math
from collections.abc import Sequence

import numpy as np

# By epoch; None where a fit goes on in any case. Epochs beyond have no bound.
Bounds = tuple[float | None, ...]

# Trials that all others are measured by, and epochs before one can be ended.
TRIALS_BEFORE_PRUNING = 4
EPOCHS_BEFORE_PRUNING = 3


def make_bounds(histories: Sequence[Sequence[float]], n_epochs: int) -> Bounds:
    """The bounds of trials of so many epochs.

    A trial that has come to its last epoch is complete, whatever its loss is there.

    Args:
        histories: the validation losses of complete trials, by epoch. Those that are not finite don't count.
    """
    if len(histories) < TRIALS_BEFORE_PRUNING:
        return ()
    bounds: list[float | None] = [None] * (EPOCHS_BEFORE_PRUNING - 1)
    for place in range(EPOCHS_BEFORE_PRUNING - 1, n_epochs - 1):
        losses = [losses[place] for losses in histories if place < len(losses) and math.isfinite(losses[place])]
        bounds.append(float(np.percentile(losses, 50)) if losses else None)
    return tuple(bounds)


def is_above(losses: Sequence[float], bounds: Bounds) -> bool:
    """Whether a fit ends with its last epoch: the least of its validation losses so far is above the epoch's bound."""
    if not losses or len(losses) > len(bounds) or not math.isfinite(losses[-1]):
        return False
    bound = bounds[len(losses) - 1]
    return bound is not None and min(loss for loss in losses if math.isfinite(loss)) > bound
