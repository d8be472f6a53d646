"""What is taken off series before anything becomes a 32-bit number, and put back afterwards in 64 bits.

A 32-bit number has seven digits: of a counter at 3e11 they are gone before its last step shows. So each row is moved
by a level and divided by a unit of its own in 64 bits; the network, and the graph that is served, read what is left.
Both are only taken as far as the model's forecast follows them (`Equivariance`), so that no answer changes.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

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
# Answers are rounded to this share of how much the series moves, which 32-bit arithmetic does not resolve.
ROUNDING = 2e-6
# A movement under this share of the unit is that of rounding.
NO_MOVEMENT = 3e-8
# What is smaller than any movement that is told apart from none.
TINY = 1e-290
# Under it squares lose digits, at last all of them.
LEAST_ROOT = 1e-140
# Of a level over so many steps a 64-bit number has no decimals left to be rounded.
MOST_STEPS = 2.0**52
# What answers may be rounded to: 1, 2 and 5 times each power of ten, so that decimals stay short. Those below 1 are no
# binary numbers, their inverses are.
_ROUND = [(digit, exponent) for exponent in range(-305, 50) for digit in (1, 2, 5)]
STEPS = np.array([float(f"{digit}e{exponent}") for digit, exponent in _ROUND])
INVERSES = np.where(STEPS < 1, np.rint(1 / STEPS), 1 / STEPS)
_STEPS: list[float] = STEPS.tolist()
_INVERSES: list[float] = INVERSES.tolist()


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
    """What was taken off rows: the unit of one is a number, of several [batch, 1]."""

    @property
    def unit(self) -> Any:
        """What differences of values were divided by."""
        ...

    def restore(self, answers: NDArray[np.floating]) -> Array:
        """Answers of normalized rows [batch, ..] in the units of the series, float64."""
        ...


class BatchReference(NamedTuple):
    """Level and unit of each row, and into how many parts its answers' 1 is divided, to which they are rounded.

    All [batch, 1].
    """

    level: Array
    unit: Array
    parts: Array

    def restore(self, answers: NDArray[np.floating]) -> Array:
        level, unit, parts = self
        if answers.ndim > 2:
            shape = (len(answers), *(1,) * (answers.ndim - 1))
            level, unit, parts = (part.reshape(shape) for part in self)
        offsets: Array = answers * (unit * parts)
        level_in_parts = level * parts
        is_exact = np.rint(level_in_parts) / parts == level
        is_repeated = None if np.logical_and.reduce(is_exact, axis=None) else np.abs(offsets) < 0.5
        offsets += level_in_parts
        np.rint(offsets, out=offsets)
        offsets /= parts
        if np.minimum.reduce(parts, axis=None) < 1:
            # Of steps above 1 the inverses are no binary numbers.
            np.rint(offsets, out=offsets, where=parts < 1)
        # What is repeated comes back as it was, whatever its digits.
        return offsets if is_repeated is None else np.where(is_repeated, level, offsets)


class RowReference(NamedTuple):
    """As `BatchReference`, of one row: in a fifth of the time that arrays of one number take."""

    level: float
    unit: float
    parts: float

    def restore(self, answers: NDArray[np.floating]) -> Array:
        level, unit, parts = self
        offsets: Array = np.multiply(answers, unit * parts, dtype=np.float64)
        level_in_parts = level * parts
        is_repeated = None if round(level_in_parts) / parts == level else np.abs(offsets) < 0.5
        offsets += level_in_parts
        np.rint(offsets, out=offsets)
        offsets /= parts
        if parts < 1:
            np.rint(offsets, out=offsets)
        return offsets if is_repeated is None else np.where(is_repeated, level, offsets)


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
    counts = lengths[:, None]
    is_whole = bool((lengths == longest).all())
    own = None if is_whole else np.arange(longest) < counts
    if own is not None:
        series = np.where(own, series, 0.0)
    if equivariance == "affine":
        # Of a model that repeats the last value nothing is left to be rounded.
        level = series[:, -1:] if is_whole else np.take_along_axis(series, counts.astype(np.intp) - 1, axis=1)
        moved = _move(series, level, own)
        movement = unit = _root_mean_squares(moved, counts)
    else:
        mean, movement = _moments(series, own, counts)
        level = _excess(mean, movement)
        moved = _move(series, level, own) if level.any() else series
        unit = np.hypot(mean - level, movement)
    if not np.minimum.reduce(unit, axis=None) > TINY:
        unit = np.where(unit > TINY, unit, np.maximum(np.abs(level), 1.0))
    rounded = ROUNDING * np.where(movement > NO_MOVEMENT * unit, movement, unit)
    parts = INVERSES[np.searchsorted(STEPS, rounded, side="right") - 1]
    is_beyond = np.abs(level) * parts > MOST_STEPS
    if is_beyond.any():
        # A power of two rounds nothing that the number has not.
        parts = np.where(is_beyond, np.exp2(np.ceil(np.log2(parts))), parts)
    normalized = np.empty(series.shape, np.float32)
    np.divide(moved, unit, out=normalized, casting="same_kind")
    return normalized, BatchReference(level, unit, parts)


def _normalize_one(row: Array, equivariance: Equivariance) -> tuple[Floats, Reference]:
    """As the rest of `normalize`, in a fifth of the time that arrays of one number take."""
    if equivariance == "affine":
        level = float(row[-1])
        moved = row - level
        movement = unit = _root_mean_square(moved)
    else:
        mean = float(np.add.reduce(row)) / len(row)
        moved = row - mean
        movement = _root_mean_square(moved)
        level = math.copysign(max(abs(mean) - MOST_DEVIATIONS * movement, 0.0), mean)
        moved = row - level if level else row
        unit = math.hypot(mean - level, movement)
    if not unit > TINY:
        unit = max(abs(level), 1.0)
    rounded = ROUNDING * (movement if movement > NO_MOVEMENT * unit else unit)
    parts = _INVERSES[bisect_right(_STEPS, rounded) - 1]
    if abs(level) * parts > MOST_STEPS:
        parts = 2.0 ** math.ceil(math.log2(parts))
    normalized = np.empty((1, len(row)), np.float32)
    np.divide(moved, unit, out=normalized, casting="same_kind")
    return normalized, RowReference(level, unit, parts)


def _move(series: Array, level: Array, own: NDArray[np.bool_] | None) -> Array:
    moved: Array = series - level
    if own is not None:
        moved *= own
    return moved


def dominant_level(values: Array, own: NDArray[np.bool_] | None = None) -> Array:
    """What is to be taken off rows whose level is over `MOST_DEVIATIONS` of their standard deviations: [batch, 1].

    It is the part beyond, so that it begins at 0 and rows of any level below keep theirs.

    Args:
        values: [batch, time].
        own: [batch, time], where there is a value; by default everywhere.
    """
    if own is None:
        return _excess(*_moments(values, None, np.full((len(values), 1), values.shape[1])))
    counts = np.maximum(own.sum(axis=1, keepdims=True), 1)
    return _excess(*_moments(np.where(own, values, 0.0), own, counts))


def _moments(values: Array, own: NDArray[np.bool_] | None, counts: NDArray[np.integer]) -> tuple[Array, Array]:
    """Means and standard deviations of rows [batch, time], which are 0 where there is no value: both [batch, 1]."""
    mean = np.add.reduce(values, axis=1, keepdims=True) / counts
    around = _move(values, mean, own)
    return mean, _root_mean_squares(around, counts)


def _root_mean_squares(moved: Array, counts: NDArray[np.integer]) -> Array:
    """Of rows [batch, time] which are 0 where there is no value: [batch, 1]."""
    roots = np.sqrt(np.einsum("ij,ij->i", moved, moved)[:, None] / counts)
    if np.minimum.reduce(roots, axis=None) < LEAST_ROOT:
        # The squares of what is so small are no numbers any more.
        largest = np.abs(moved).max(axis=1, keepdims=True)
        shares = moved / np.where(largest > 0, largest, 1.0)
        careful = largest * np.sqrt(np.einsum("ij,ij->i", shares, shares)[:, None] / counts)
        roots = np.where(roots < LEAST_ROOT, careful, roots)
    return np.asarray(roots)


def _root_mean_square(moved: Array) -> float:
    """As `_root_mean_squares`, of one row [time]."""
    root = math.sqrt(float(moved @ moved) / len(moved))
    if root < LEAST_ROOT:
        return float(_root_mean_squares(moved[None], np.full((1, 1), len(moved)))[0, 0])
    return root


def _excess(mean: Array, deviation: Array) -> Array:
    level: Array = np.copysign(np.maximum(np.abs(mean) - MOST_DEVIATIONS * deviation, 0.0), mean)
    return level
