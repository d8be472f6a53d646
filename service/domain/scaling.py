"""Instance scaling: each window is shifted and scaled by statistics of its own input, in logarithms where asked.

The formulas are written once, for NumPy in training and for the graphs that are served (`xp` is what
`service.domain.array_operations` says). Statistics are in float64: squares of large float32 values would overflow, and
small spreads on large levels would vanish.
"""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from service.domain.array_operations import NUMPY
from service.domain.recipes.recipe import Scaling

Tensor = Any

# A spread under this share of the largest magnitude is rounding noise of the 64 bits that it is computed in.
RELATIVE_FLOOR = 1e-12
# For series of zeros; far below any standard deviation that float32 can hold without being denormal.
ABSOLUTE_FLOOR = 1e-30
# Logarithms take values under this share of the window's mean magnitude, zeros and negative ones, for that share.
LOG_FLOOR = 1e-3
# The interquartile range of a normal distribution, in standard deviations.
NORMAL_IQR = 1.3489795


@dataclass(frozen=True, slots=True)
class Scale:
    """Shift, scale and, for logarithms, floor of each row: float64 [batch, 1]; None where there is none."""

    shift: Tensor | None = None
    scale: Tensor | None = None
    floor: Tensor | None = None

    @property
    def is_identity(self) -> bool:
        return self.shift is None and self.scale is None and self.floor is None

    def transform(self, xp: Any, values: Tensor) -> Tensor:
        """The user's units to the model's: [batch, any length] -> float32 [batch, any length]."""
        if self.is_identity:
            return xp.cast(values, "float32")
        values = xp.cast(values, "float64")
        if self.floor is not None:
            values = xp.log(xp.maximum(values, self.floor))
        if self.shift is not None:
            values = values - self.shift
        if self.scale is not None:
            values = values / self.scale
        return xp.cast(values, "float32")

    def inverse(self, xp: Any, values: Tensor, dtype: str = "float32") -> Tensor:
        """The model's units to the user's, computed in `dtype`: [batch, any length]."""
        if self.scale is not None:
            values = values * xp.cast(self.scale, dtype)
        if self.shift is not None:
            values = values + xp.cast(self.shift, dtype)
        return values if self.floor is None else xp.exp(values)


def measure_scale(xp: Any, values: Tensor, own: Tensor, scaling: Scaling, *, log: bool = False) -> Scale:
    """The scale of each row, from its own points alone and never from its targets.

    `none` leaves them as they are; `standard` takes mean and (population) standard deviation, `robust` median and
    interquartile range over that of a normal distribution, both floored so that a constant window is scaled to zeros;
    `mean` divides by the mean magnitude. Under `log` they are those of the logarithms, where `mean` shifts by the
    logarithm of the mean magnitude.

    Args:
        values: [batch, time], zeros where `own` [batch, time] is false.

    Raises:
        ValueError: there is no such scaling.
    """
    if scaling not in get_args(Scaling):
        raise ValueError(f"no scaling is called {scaling!r}")
    if scaling == "none" and not log:
        return Scale()
    values = xp.cast(values, "float64")
    weights = xp.cast(own, "float64")
    count = xp.sum(weights, axis=1, keepdims=True)

    def mean(x: Tensor) -> Tensor:
        return xp.sum(x * weights, axis=1, keepdims=True) / count

    floor = None
    if log:
        magnitude = xp.maximum(mean(xp.abs(values)), ABSOLUTE_FLOOR)
        floor = magnitude * LOG_FLOOR
        values = xp.log(xp.maximum(values, floor))
        if scaling == "mean":
            return Scale(xp.log(magnitude), None, floor)
        if scaling == "none":
            return Scale(None, None, floor)
    least = xp.maximum(xp.max(xp.abs(values) * weights, axis=1, keepdims=True) * RELATIVE_FLOOR, ABSOLUTE_FLOOR)
    if scaling == "mean":
        return Scale(None, xp.maximum(mean(xp.abs(values)), least), floor)
    center = mean(values)
    distance = values - center
    deviation = xp.sqrt(mean(distance * distance))
    if scaling == "standard":
        return Scale(center, xp.maximum(deviation, least), floor)
    low, median, high = _quartiles(xp, values, own, count)
    spread = (high - low) / NORMAL_IQR
    # Of a window that is constant for the most part, the standard deviation still tells the size of the rest.
    return Scale(median, xp.maximum(xp.where(spread > least, spread, deviation), least), floor)


def _quartiles(xp: Any, values: Tensor, own: Tensor, count: Tensor) -> list[Tensor]:
    """Each row's own lower quartile, median and upper quartile, linear between neighbours: [batch, 1] each."""
    ascending = xp.sort(xp.where(own, values, np.float64(np.inf)), axis=1)
    last = count - 1
    quartiles = []
    for share in (0.25, 0.5, 0.75):
        position = last * share
        below = xp.floor(position)
        low = xp.pick(ascending, xp.cast(below, "int32"))
        high = xp.pick(ascending, xp.cast(xp.minimum(below + 1, last), "int32"))
        quartiles.append(low + (high - low) * (position - below))
    return quartiles


@dataclass(frozen=True, slots=True)
class Statistics:
    """Shift, scale and, for logarithms, floor of each training window; all float64 [n, 1]."""

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    floor: NDArray[np.float64] | None = None

    def transform(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """The user's units to the model's; values [n, any length]."""
        scaled: NDArray[np.float32] = Scale(self.shift, self.scale, self.floor).transform(NUMPY, values)
        return scaled

    def inverse(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """The model's units to the user's; values [n, any length]."""
        unscaled: NDArray[np.float64] = Scale(self.shift, self.scale, self.floor).inverse(NUMPY, values, "float64")
        return unscaled


def measure(inputs: NDArray[np.floating], scaling: Scaling, *, log: bool = False) -> Statistics:
    """Statistics of the input windows alone, never of their targets: `measure_scale`, by NumPy.

    Args:
        inputs: [n, window]; NaN stands for padding and does not count.
    """
    own = ~np.isnan(inputs)
    found = measure_scale(NUMPY, np.where(own, inputs, 0.0), own, scaling, log=log)
    shift = np.zeros((len(inputs), 1)) if found.shift is None else found.shift
    scale = np.ones((len(inputs), 1)) if found.scale is None else found.scale
    return Statistics(shift, scale, found.floor)
