"""Instance scaling as operators, the same arithmetic as `service.training.scale`, in float64."""

from dataclasses import dataclass

import numpy as np

from service.domain.recipes.recipe import Recipe
from service.domain.scaling import ABSOLUTE_FLOOR, LOG_FLOOR, NORMAL_IQR, RELATIVE_FLOOR
from service.training.translation.builder import DOUBLE, FLOAT, INT64, Builder, Value, ints, scalar


@dataclass(frozen=True, slots=True)
class Scale:
    """Shift, scale and, for logarithms, floor of each row: float64 [batch, 1]; None where nothing is scaled."""

    shift: Value | None
    scale: Value | None
    floor: Value | None = None

    def transform(self, b: Builder, values: Value) -> Value:
        """User's units to the model's: float32 [batch, any length]."""
        if self.scale is None and self.floor is None:
            return values
        values = b.cast(values, DOUBLE)
        if self.floor is not None:
            values = b.op("Log", b.op("Max", values, self.floor))
        if self.shift is not None:
            values = b.op("Sub", values, self.shift)
        if self.scale is not None:
            values = b.op("Div", values, self.scale)
        return b.cast(values, FLOAT)

    def inverse(self, b: Builder, values: Value) -> Value:
        """The model's units to the user's: float32 [batch, any length]."""
        if self.scale is not None:
            values = b.op("Mul", values, b.cast(self.scale, FLOAT))
        if self.shift is not None:
            values = b.op("Add", values, b.cast(self.shift, FLOAT))
        return values if self.floor is None else b.op("Exp", values)


def measure(b: Builder, values: Value, own: Value, recipe: Recipe) -> Scale:
    """The scale of each row's own points.

    Args:
        values: float32 [batch, time], zeros where `own` [batch, time] is false.
    """
    if recipe.scaling == "none" and not recipe.log:
        return Scale(None, None)
    values = b.cast(values, DOUBLE)
    weights = b.cast(own, DOUBLE)
    count = b.op("ReduceSum", weights, ints(1), keepdims=1)

    def mean(x: Value) -> Value:
        return b.op("Div", b.op("ReduceSum", b.op("Mul", x, weights), ints(1), keepdims=1), count)

    floor = None
    if recipe.log:
        magnitude = b.op("Max", mean(b.op("Abs", values)), scalar(ABSOLUTE_FLOOR, np.float64))
        floor = b.op("Mul", magnitude, scalar(LOG_FLOOR, np.float64))
        values = b.op("Log", b.op("Max", values, floor))
        if recipe.scaling == "mean":
            return Scale(b.op("Log", magnitude), None, floor)
        if recipe.scaling == "none":
            return Scale(None, None, floor)
    largest = b.op("ReduceMax", b.op("Mul", b.op("Abs", values), weights), ints(1), keepdims=1)
    least = b.op("Max", b.op("Mul", largest, scalar(RELATIVE_FLOOR, np.float64)), scalar(ABSOLUTE_FLOOR, np.float64))
    if recipe.scaling == "mean":
        return Scale(None, b.op("Max", mean(b.op("Abs", values)), least), floor)
    center = mean(values)
    distance = b.op("Sub", values, center)
    deviation = b.op("Sqrt", mean(b.op("Mul", distance, distance)))
    if recipe.scaling == "standard":
        return Scale(center, b.op("Max", deviation, least), floor)
    low, median, high = _quantiles(b, values, own, count)
    spread = b.op("Div", b.op("Sub", high, low), scalar(NORMAL_IQR, np.float64))
    chosen = b.op("Where", b.op("Greater", spread, least), spread, deviation)
    return Scale(median, b.op("Max", chosen, least), floor)


def _quantiles(b: Builder, values: Value, own: Value, count: Value) -> list[Value]:
    """Each row's own lower quartile, median and upper quartile, linear between neighbours: [batch, 1] each."""
    padded = b.op("Where", own, values, scalar(np.inf, np.float64))
    ascending = b.ops("TopK", 2, padded, b.size(values, 1), axis=1, largest=0)[0]
    last = b.op("Sub", count, scalar(1, np.float64))
    quantiles = []
    for share in (0.25, 0.5, 0.75):
        position = b.op("Mul", last, scalar(share, np.float64))
        floor = b.op("Floor", position)
        below = b.cast(floor, INT64)
        above = b.op("Min", b.op("Add", below, scalar(1, np.int64)), b.cast(last, INT64))
        low, high = b.op("GatherElements", ascending, below, axis=1), b.op("GatherElements", ascending, above, axis=1)
        rest = b.op("Sub", position, floor)
        quantiles.append(b.op("Add", low, b.op("Mul", b.op("Sub", high, low), rest)))
    return quantiles
