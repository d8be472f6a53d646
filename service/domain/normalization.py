"""What is taken off series before anything becomes a 32-bit number, and put back afterwards in 64 bits.

A 32-bit number has seven digits: of a counter at 3e11 they are gone before its last step shows. So each row is moved
by a level and divided by a unit of its own in 64 bits; the network, and the graph that is served, read what is left.
Both are only taken as far as the model's forecast follows them (`Equivariance`), so that no answer changes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

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
# What is smaller than any movement that is told apart from none.
TINY = 1e-290


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


class Reference(Protocol):
    """What was taken off rows."""

    def restore(self, answers: NDArray[np.floating]) -> Array:
        """Answers of normalized rows [batch, ..] in the units of the series, float64."""
        ...


@dataclass(frozen=True, slots=True)
class BatchReference:
    """Level and unit of each row, and what its answers round to; all [batch, 1]."""

    level: Array
    unit: Array
    resolution: Array

    def restore(self, answers: NDArray[np.floating]) -> Array:
        shape = (len(answers), *(1,) * (answers.ndim - 1))
        level, unit, step = (part.reshape(shape) for part in (self.level, self.unit, self.resolution))
        offsets = _round(answers * unit, step)
        restored = offsets + level
        largest = np.abs(restored).max(axis=tuple(range(1, answers.ndim)), keepdims=True, initial=0.0)
        largest = np.where((largest > TINY) & np.isfinite(largest), largest, 1.0)
        rounded = _round(restored, np.minimum(10.0 ** (np.floor(np.log10(largest)) + 1 - DIGITS), step))
        # What is repeated comes back as it was, whatever its digits.
        return np.where(offsets == 0, level, rounded)


@dataclass(frozen=True, slots=True)
class RowReference:
    """As `BatchReference`, of one row: in a tenth of the time that arrays of one number take."""

    level: float
    unit: float
    resolution: float

    def restore(self, answers: NDArray[np.floating]) -> Array:
        offsets = _round_all(answers.astype(np.float64) * self.unit, self.resolution)
        restored = offsets + self.level
        largest = max(restored.max(initial=0.0), -restored.min(initial=0.0))
        if not TINY < largest < math.inf:
            return restored
        digits = 10.0 ** (math.floor(math.log10(largest)) + 1 - DIGITS)
        rounded = _round_all(restored, min(digits, self.resolution))
        return np.where(offsets == 0, self.level, rounded)


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
    if len(series) == 1 and lengths[0] == longest:
        return _normalize_one(series[0], equivariance)
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
    return normalized.astype(np.float32), BatchReference(
        level, unit, _resolution(unit * _deviation(normalized, lengths))
    )


def _normalize_one(row: Array, equivariance: Equivariance) -> tuple[Floats, Reference]:
    if equivariance == "affine":
        level = float(row[-1])
    else:
        mean = float(np.add.reduce(row)) / len(row)
        around = row - mean
        deviation = math.sqrt(float(around @ around) / len(row))
        level = math.copysign(max(abs(mean) - MOST_DEVIATIONS * deviation, 0.0), mean)
    moved = row - level
    unit = float(max(moved.max(), -moved.min()))
    if not unit > TINY:
        unit = max(abs(level), 1.0)
    normalized = moved / unit
    mean = float(np.add.reduce(normalized)) / len(row)
    variance = float(normalized @ normalized) / len(row) - mean * mean
    share = ROUNDING * unit * (math.sqrt(variance) if variance > NO_VARIANCE else 1.0)
    power = 10.0 ** math.floor(math.log10(share))
    step = power * (5 if share >= 5 * power else 2 if share >= 2 * power else 1)
    return normalized.astype(np.float32)[None, :], RowReference(level, unit, step)


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
    fine = step < 1
    if not fine.any():
        return np.asarray(np.rint(values / step) * step)
    # Powers of ten below 1 are no binary numbers, their inverses are.
    inverse = np.rint(1 / np.maximum(step, TINY))
    rounded = np.rint(values * inverse) / np.maximum(inverse, 1.0)
    return rounded if fine.all() else np.where(fine, rounded, np.rint(values / step) * step)


def _round_all(values: Array, step: float) -> Array:
    if step >= 1:
        return np.asarray(np.rint(values / step) * step)
    inverse = float(round(1 / max(step, TINY)))
    return np.asarray(np.rint(values * inverse) / inverse)
