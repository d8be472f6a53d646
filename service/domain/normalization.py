"""What is taken off series before anything becomes a 32-bit number, and put back afterwards in 64 bits.

A 32-bit number has seven digits: of a counter at 3e11 they are gone before its last step shows. So each row is moved
by a level and divided by a unit of its own in 64 bits; the network, and the graph that is served, read what is left.
Both are only taken as far as the model's forecast follows them (`Equivariance`), so that no answer changes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Lengths = NDArray[np.integer]

# What may be done to a series so that its forecast becomes that of the original, done likewise: `affine` moved and
# scaled, `scale` scaled alone, `none` neither.
Equivariance = Literal["affine", "scale", "none"]
_WEAKEST_FIRST: tuple[Equivariance, ...] = ("none", "scale", "affine")

# A model that reads values in units of their own level sees nothing of a movement much smaller than it: of a level over
# so many standard deviations the rest is taken off. Competition series stay below.
MOST_DEVIATIONS = 100.0
# Answers are rounded to this share of the series' standard deviation, which 32-bit arithmetic does not resolve: of the
# unit it would, beside one far value, be more than all others move...
ROUNDING = 2e-6
# ...and, with the level, to so many significant digits: all that a 64-bit number writes without an odd last one. Where
# they don't hold the movement, as of counters at 1e16, it counts more.
DIGITS = 15
# Of numbers within -1 and 1, that of rounding.
NO_VARIANCE = 1e-15
TINY = 1e-300


def find_equivariance(hyper_parameters: Mapping[str, Any]) -> Equivariance:
    """How forecasts follow their series, from a recipe's fields; of an ensemble as its weakest member's do."""
    members: Sequence[Mapping[str, Any]] = hyper_parameters.get("members") or ()
    if members:
        return min(map(find_equivariance, members), key=_WEAKEST_FIRST.index)
    scaling, readout = hyper_parameters.get("scaling", "none"), hyper_parameters.get("readout")
    log = bool(hyper_parameters.get("log"))
    if readout == "repeat" and not log:
        return "affine"
    if scaling == "none":
        # The Theta method needs no unit; logarithms and networks read what they are given.
        return "scale" if readout == "base" and not log else "none"
    return "scale" if scaling == "mean" or log else "affine"


@dataclass(frozen=True, slots=True)
class Reference:
    """What was taken off rows: level and unit, both [batch, 1]. `resolution` [batch, 1] is what answers round to."""

    level: Array
    unit: Array
    resolution: Array

    def restore(self, answers: NDArray[np.floating]) -> Array:
        """Answers of normalized rows [batch, ..] in the units of the series, float64."""
        if len(answers) == 1:
            return self._restore_one(answers)
        shape = (len(answers), *(1,) * (answers.ndim - 1))
        level, unit, step = (part.reshape(shape) for part in (self.level, self.unit, self.resolution))
        offsets = _round(answers.astype(np.float64) * unit, step)
        restored = offsets + level
        axes = tuple(range(1, answers.ndim))
        largest = np.maximum(np.abs(restored).max(axis=axes, keepdims=True, initial=0.0), TINY)
        with np.errstate(all="ignore"):
            rounded = _round(restored, np.minimum(10.0 ** (np.floor(np.log10(largest)) + 1 - DIGITS), step))
        # What is repeated comes back as it was, whatever its digits.
        return np.where(offsets == 0, level, rounded)

    def _restore_one(self, answers: NDArray[np.floating]) -> Array:
        """As `restore`, of one row: in a tenth of the time that broadcasting takes."""
        level, step = self.level.item(), self.resolution.item()
        offsets = _round_all(answers.astype(np.float64) * self.unit.item(), step)
        restored = offsets + level
        largest = float(np.abs(restored).max(initial=0.0))
        if not TINY < largest < math.inf:
            return restored
        rounded = _round_all(restored, min(10.0 ** (math.floor(math.log10(largest)) + 1 - DIGITS), step))
        return np.where(offsets == 0, level, rounded)


def normalize(series: Array, lengths: Lengths, equivariance: Equivariance) -> tuple[Floats, Reference | None]:
    """Rows as a model reads them, and what puts its answers back; None where they stay as they are.

    Args:
        series: [batch, time], padded on the right with anything.
        lengths: [batch], each at least 1.

    Returns:
        float32 [batch, time]; padding becomes 0.
    """
    if equivariance == "none":
        return series.astype(np.float32), None
    longest = series.shape[1]
    is_whole = bool((lengths == longest).all())
    own = None if is_whole else np.arange(longest) < lengths[:, None]
    if own is not None:
        series = np.where(own, series, 0.0)
    if equivariance == "affine":
        # Of a model that repeats the last value nothing is left to be rounded.
        level = series[:, -1:] if is_whole else np.take_along_axis(series, lengths[:, None].astype(np.intp) - 1, axis=1)
    else:
        level = dominant_level(series, own)
    moved = series - level
    if own is not None:
        moved = np.where(own, moved, 0.0)
    unit = np.abs(moved).max(axis=1, keepdims=True)
    unit = np.where(unit > TINY, unit, np.maximum(np.abs(level), 1.0))
    normalized = moved / unit
    return normalized.astype(np.float32), Reference(level, unit, _resolution(unit * _deviation(normalized, lengths)))


def _deviation(normalized: Array, lengths: Lengths) -> Array:
    """The standard deviations of rows [batch, time] within -1 and 1, zeros behind their lengths; 1 of constant ones."""
    counts = lengths[:, None]
    mean = normalized.sum(axis=1, keepdims=True) / counts
    squares = np.einsum("ij,ij->i", normalized, normalized)[:, None] / counts
    variance = squares - mean * mean
    return np.sqrt(np.where(variance > NO_VARIANCE, variance, 1.0))


def dominant_level(values: Array, own: NDArray[np.bool_] | None = None) -> Array:
    """What is to be taken off rows whose level is over `MOST_DEVIATIONS` of their standard deviations: [batch, 1].

    It is the part beyond, so that it begins at 0 and rows of any level below keep theirs.

    Args:
        values: [batch, time].
        own: [batch, time], where there is a value; by default everywhere.
    """
    if own is None:
        mean = values.mean(axis=1, keepdims=True)
        deviation = np.sqrt(np.square(values - mean).mean(axis=1, keepdims=True))
    else:
        count = np.maximum(own.sum(axis=1, keepdims=True), 1)
        mean = np.where(own, values, 0.0).sum(axis=1, keepdims=True) / count
        deviation = np.sqrt(np.where(own, np.square(values - mean), 0.0).sum(axis=1, keepdims=True) / count)
    level: Array = np.sign(mean) * np.maximum(np.abs(mean) - MOST_DEVIATIONS * deviation, 0.0)
    return level


def _resolution(deviation: Array) -> Array:
    """The largest 1, 2 or 5 times a power of ten of at most `ROUNDING` of each deviation: decimals stay short."""
    share = ROUNDING * deviation
    power = 10.0 ** np.floor(np.log10(share))
    return np.where(share >= 5 * power, 5 * power, np.where(share >= 2 * power, 2 * power, power))


def _round(values: Array, step: Array) -> Array:
    """Values to multiples of steps, which are 1, 2 or 5 times powers of ten; correctly rounded decimals."""
    with np.errstate(all="ignore"):
        # Powers of ten below 1 are no binary numbers, their inverses are.
        inverse = np.round(1 / step)
        fine = np.rint(values * inverse) / inverse
        coarse = np.rint(values / step) * step
        rounded = np.where(step < 1, fine, coarse)
    return np.where(np.isfinite(rounded), rounded, values)


def _round_all(values: Array, step: float) -> Array:
    if step >= 1:
        return np.rint(values / step) * step
    inverse = round(1 / step) if step > 1e-300 else math.inf
    if inverse > 1e290:
        return values
    return np.rint(values * float(inverse)) / float(inverse)
