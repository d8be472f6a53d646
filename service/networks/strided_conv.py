"""A strided convolution over a series: features of windows of which each begins a stride after the one before."""

from typing import Any

import keras
import numpy as np

from service.domain.recipes.recipe import Recipe
from service.networks.operations import Tensor


class StridedConv(keras.layers.Layer):
    """`Conv1D(units, kernel, strides)` without padding, of the preset's kernel and stride.

    The oldest (time - kernel) mod stride points are dropped, so that the last window ends at the last point.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel, self.stride = recipe.preset.kernel, recipe.preset.stride
        if self.kernel % self.stride:
            raise ValueError(f"a kernel of {self.kernel} is no multiple of its stride of {self.stride}")
        self.filters = recipe.units
        self.conv = keras.layers.Conv1D(
            recipe.units,
            self.kernel,
            strides=self.stride,
            padding="valid",
            kernel_initializer=recipe.kernel_initializer,
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.conv.build((None, None, 1))
        self.built = True

    def downsample(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Features of each row's windows, the last one ending with it.

        Args:
            x: [batch, time].
            lengths: [batch]; None where all rows are of one length.

        Returns:
            [batch, steps, units], and each row's count of steps [batch].
        """
        time = xp.size(x, 1)
        if lengths is None:
            oldest = (time - self.kernel) % self.stride
            return self.convolve(xp, x[:, oldest:], time - oldest), None
        oldest = (lengths - self.kernel) % self.stride  # [batch]
        positions = xp.expand_dims(xp.arange(time), 0) + xp.expand_dims(oldest, 1)
        shifted = xp.pick(x, xp.minimum(positions, time - 1))
        return self.convolve(xp, shifted, time), (lengths - self.kernel) // self.stride + 1

    def convolve(self, xp: Any, x: Tensor, time: Any) -> Tensor:
        """As one product of windows and kernel: [batch, time] -> [batch, steps, units]."""
        if isinstance(time, int):
            starts = np.arange((time - self.kernel) // self.stride + 1) * self.stride
            windows = xp.take(x, (starts[:, None] + np.arange(self.kernel)).astype(np.int32), axis=1)
        else:
            # Positions would have to be computed: strides side by side are windows too.
            n_parts, per_window = time // self.stride, self.kernel // self.stride
            parts = xp.reshape(x[:, : n_parts * self.stride], (-1, n_parts, self.stride))
            windows = xp.concatenate([parts[:, i : i + 1 - per_window or None] for i in range(per_window)], axis=2)
        kernel = xp.weight(self.conv.kernel)[:, 0]
        return xp.matmul(windows, kernel) + xp.weight(self.conv.bias)
