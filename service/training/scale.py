"""Instance scaling inside the graph, as `service.domain.scaling` does it in NumPy.

In float64: squares of large float32 values would overflow, small spreads on large levels would vanish.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from service.domain.recipes.recipe import Recipe
from service.domain.scaling import ABSOLUTE_FLOOR, LOG_FLOOR, NORMAL_IQR, RELATIVE_FLOOR

Tensor = Any


@dataclass(frozen=True, slots=True)
class Scale:
    """Shift, scale and, for logarithms, floor of each row: float64 [batch, 1]; None where nothing is scaled."""

    shift: Tensor | None
    scale: Tensor | None
    floor: Tensor | None = None

    def transform(self, values: Tensor) -> Tensor:
        """User's units to the model's: float32 [batch, any length]."""
        if self.shift is None and self.floor is None:
            return values
        values = tf.cast(values, tf.float64)
        if self.floor is not None:
            values = tf.math.log(tf.maximum(values, self.floor))
        if self.shift is not None:
            values = (values - self.shift) / self.scale
        return tf.cast(values, tf.float32)

    def inverse(self, values: Tensor) -> Tensor:
        """The model's units to the user's: float32 [batch, any length]."""
        if self.shift is not None:
            values = values * tf.cast(self.scale, tf.float32) + tf.cast(self.shift, tf.float32)
        return values if self.floor is None else tf.exp(values)


def measure(values: Tensor, own: Tensor, recipe: Recipe) -> Scale:
    """The scale of each row's own points.

    Args:
        values: [batch, time], zeros where `own` [batch, time] is false.
    """
    if recipe.scaling == "none" and not recipe.log:
        return Scale(None, None)
    values = tf.cast(values, tf.float64)
    weights = tf.cast(own, tf.float64)
    count = tf.reduce_sum(weights, axis=1, keepdims=True)

    def mean(x: Tensor) -> Tensor:
        return tf.reduce_sum(x * weights, axis=1, keepdims=True) / count

    floor = None
    if recipe.log:
        magnitude = tf.maximum(mean(tf.abs(values)), ABSOLUTE_FLOOR)
        floor = LOG_FLOOR * magnitude
        values = tf.math.log(tf.maximum(values, floor))
        if recipe.scaling == "mean":
            return Scale(tf.math.log(magnitude), tf.ones_like(magnitude), floor)
        if recipe.scaling == "none":
            return Scale(None, None, floor)
    largest = tf.reduce_max(tf.abs(values) * weights, axis=1, keepdims=True)
    least = tf.maximum(RELATIVE_FLOOR * largest, tf.constant(ABSOLUTE_FLOOR, tf.float64))
    if recipe.scaling == "mean":
        return Scale(tf.zeros_like(count), tf.maximum(mean(tf.abs(values)), least), floor)
    center = mean(values)
    deviation = tf.sqrt(mean(tf.square(values - center)))
    if recipe.scaling == "standard":
        return Scale(center, tf.maximum(deviation, least), floor)
    low, median, high = (_quantile(values, own, count, share) for share in (0.25, 0.5, 0.75))
    spread = (high - low) / NORMAL_IQR
    return Scale(median, tf.maximum(tf.where(spread > least, spread, deviation), least), floor)


def _quantile(values: Tensor, own: Tensor, count: Tensor, share: float) -> Tensor:
    """Each row's own quantile, linear between neighbours: [batch, 1]."""
    ascending = tf.sort(tf.where(own, values, tf.constant(float("inf"), tf.float64)), axis=1)
    position = share * (count - 1)
    below = tf.cast(tf.floor(position), tf.int32)
    above = tf.minimum(below + 1, tf.cast(count, tf.int32) - 1)
    low, high = tf.gather(ascending, below, batch_dims=1), tf.gather(ascending, above, batch_dims=1)
    return low + (high - low) * (position - tf.floor(position))
