"""Instance scaling: each window is shifted and scaled by statistics of its own input, in logarithms where asked.

The SavedModel does the same inside its graph (`service.training.scale`); a test holds the two together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.recipe import Scaling

# A spread under this share of the largest magnitude is rounding noise of the 64 bits that it is computed in.
RELATIVE_FLOOR = 1e-12
# For series of zeros; far below any standard deviation that float32 can hold without being denormal.
ABSOLUTE_FLOOR = 1e-30
# Logarithms take values under this share of the window's mean magnitude, zeros and negative ones, for that share.
LOG_FLOOR = 1e-3
# The interquartile range of a normal distribution, in standard deviations.
NORMAL_IQR = 1.3489795


@dataclass(frozen=True, slots=True)
class Statistics:
    """Shift, scale and, for logarithms, floor of each window; all float64 [n, 1]."""

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    floor: NDArray[np.float64] | None = None

    def transform(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """User's units to the model's; values [n, any length]."""
        if self.floor is not None:
            values = np.log(np.maximum(values, self.floor))
        return ((values - self.shift) / self.scale).astype(np.float32)

    def inverse(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """The model's units to the user's; values [n, any length]."""
        unscaled: NDArray[np.float64] = values * self.scale + self.shift
        return unscaled if self.floor is None else np.exp(unscaled)


def measure(inputs: NDArray[np.floating], scaling: Scaling, *, log: bool = False) -> Statistics:
    """Statistics of the input windows alone, never of their targets.

    `none` shifts by 0 and scales by 1; `standard` takes mean and (population) standard deviation, `robust` median and
    interquartile range over that of a normal distribution, both floored so that a constant window is scaled to zeros;
    `mean` divides by the mean magnitude. Under `log` they are those of the logarithms, where `mean` shifts by the
    logarithm of the mean magnitude.

    Args:
        inputs: [n, window]; NaN stands for padding and does not count.
    """
    n = len(inputs)
    values = inputs.astype(np.float64)
    floor = None
    if log:
        magnitude = np.maximum(_mean(np.abs(values)), ABSOLUTE_FLOOR)
        floor = LOG_FLOOR * magnitude
        values = np.log(np.maximum(values, floor))
        if scaling == "mean":
            return Statistics(np.log(magnitude), np.ones((n, 1)), floor)
    if scaling == "none":
        return Statistics(np.zeros((n, 1)), np.ones((n, 1)), floor)
    least = np.maximum(RELATIVE_FLOOR * np.nanmax(np.abs(values), axis=1, keepdims=True), ABSOLUTE_FLOOR)
    if scaling == "mean":
        return Statistics(np.zeros((n, 1)), np.maximum(_mean(np.abs(values)), least), floor)
    mean = _mean(values)
    deviation = np.sqrt(_mean(np.square(values - mean)))
    if scaling == "standard":
        return Statistics(mean, np.maximum(deviation, least), floor)
    quartiles = np.nanquantile(values, [0.25, 0.5, 0.75], axis=1, keepdims=True)
    range_ = (quartiles[2] - quartiles[0]) / NORMAL_IQR
    # Of a window that is constant for the most part, the standard deviation still tells the size of the rest.
    return Statistics(quartiles[1], np.maximum(np.where(range_ > least, range_, deviation), least), floor)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, window] -> [n, 1], NaN left out."""
    own = ~np.isnan(values)
    mean: NDArray[np.float64] = np.where(own, values, 0.0).sum(axis=1, keepdims=True) / own.sum(axis=1, keepdims=True)
    return mean
