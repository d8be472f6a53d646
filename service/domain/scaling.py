"""Instance scaling: each window is shifted and scaled by statistics of its own input.

The SavedModel does the same inside its graph (`service.training.graph`); a test holds the two together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.recipe import Scaling

# A standard deviation under this share of the largest magnitude is rounding noise of float32: the series is constant.
RELATIVE_FLOOR = 1e-6
# For series of zeros; far below any standard deviation that float32 can hold without being denormal.
ABSOLUTE_FLOOR = 1e-30


@dataclass(frozen=True, slots=True)
class Statistics:
    """Shift and scale of each window; both float64 [n, 1]."""

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]

    def transform(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """User's units to the model's; values [n, any length]."""
        return ((values - self.shift) / self.scale).astype(np.float32)

    def inverse(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """The model's units to the user's; values [n, any length]."""
        return (values * self.scale + self.shift).astype(np.float32)


def measure(inputs: NDArray[np.floating], scaling: Scaling) -> Statistics:
    """Statistics of the input windows alone, never of their targets.

    `none` shifts by 0 and scales by 1; `standard` takes mean and (population) standard deviation, floored so that a
    constant window is scaled to zeros.

    Args:
        inputs: [n, window].
    """
    n = len(inputs)
    if scaling == "none":
        return Statistics(np.zeros((n, 1)), np.ones((n, 1)))
    values = inputs.astype(np.float64)
    shift = values.mean(axis=1, keepdims=True)
    floor = np.maximum(RELATIVE_FLOOR * np.abs(values).max(axis=1, keepdims=True), ABSOLUTE_FLOOR)
    return Statistics(shift, np.maximum(values.std(axis=1, keepdims=True), floor))
