"""Training examples from windows of a panel: windows of different lengths, scaled, differenced, with their targets."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from service.domain.differencing import difference, phase
from service.domain.normalization import dominant_level
from service.domain.recipes.recipe import Recipe
from service.domain.scaling import Statistics, measure

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Positions = NDArray[np.int64]
Number = TypeVar("Number", bound=NDArray[np.floating])


# A window that is constant has no scale but rounding, and what comes after a change is any number of them.
FARTHEST = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class FlatPanel:
    """All values of a panel in one array, to cut windows from; what lies between its series is not looked at.

    The arrays may be files that are mapped into memory.
    """

    flat: Array  # [all points], missing ones filled
    offsets: Positions  # [n_series]: where each series begins
    lengths: Positions  # [n_series]
    measured: Array  # [all points], NaN for missing ones; `flat` itself where none is missing
    behind: NDArray[np.int32] | None  # [all points]: how far before each the last measured one stands; None: none is

    def inputs(self, series: Positions, ends: Positions, window: int) -> Array:
        """The last `window` points before each end, to the left, NaN after those of a shorter history: [n, window]."""
        return self._cut(self.flat, series, ends, window)

    def measured_inputs(self, series: Positions, ends: Positions, window: int) -> Array:
        """As `inputs`, with NaN also for missing values."""
        return self._cut(self.measured, series, ends, window)

    def _cut(self, flat: Array, series: Positions, ends: Positions, window: int) -> Array:
        starts = np.maximum(ends - window, 0)
        positions = starts[:, None] + np.arange(window)
        own = positions < ends[:, None]
        taken = flat[self.offsets[series][:, None] + np.where(own, positions, 0)]
        return np.asarray(np.where(own, taken, np.nan))

    def futures(self, series: Positions, ends: Positions, horizon: int) -> Array:
        """The `horizon` points from each end on, NaN for missing ones: [n, horizon]."""
        futures: Array = self.measured[(self.offsets[series] + ends)[:, None] + np.arange(horizon)]
        return futures

    def last_measured(self, series: Positions, ends: Positions, fewest: int) -> Positions:
        """Ends [n], those in a gap moved back to where it begins, if `fewest` points are left before.

        No series is ever forecast from a value that was filled, least of all from one between it and what follows.
        """
        if self.behind is None:
            return ends
        last = np.maximum(ends, 1) - 1
        moved = last - self.behind[self.offsets[series] + last] + 1
        return np.where(moved >= fewest, moved, ends)

    def learnable(self, ends: Positions) -> NDArray[np.bool_]:
        """Which series [n_series] have two different values before their ends; all, if none has.

        From a constant one nothing is learnt, and what is drawn in its place would be one window less of another.
        """
        histories = (self.measured_history(i, int(end)) for i, end in enumerate(ends))
        moving = np.array([len(history) > 0 and bool(np.nanmin(history) < np.nanmax(history)) for history in histories])
        return moving if moving.any() else np.ones(len(ends), bool)

    @property
    def is_complete(self) -> bool:
        """Whether no value is missing."""
        return self.measured is self.flat

    def history(self, series: int, end: int) -> Array:
        """All points of a series before an end: [time]."""
        start = self.offsets[series]
        return self.flat[start : start + end]

    def measured_history(self, series: int, end: int) -> Array:
        """As `history`, with NaN for missing values."""
        start = self.offsets[series]
        return self.measured[start : start + end]


class Slices(list[Array]):
    """Series [time] that are slices of one array, in its order: what has to join them need not copy them."""

    def __init__(self, values: Iterable[Array], flat: Array) -> None:
        super().__init__(values)
        self.flat = flat

    @property
    def offsets(self) -> Positions:
        """Where each begins in the array."""
        begin, size = _address(self.flat), self.flat.itemsize
        return (np.array([_address(values) for values in self], np.int64) - begin) // size


def flatten_panel(
    values: list[Array],
    fill: Callable[[int], Array] | None = None,
    allocate: Callable[[int, Any], NDArray[Any]] = np.empty,
) -> FlatPanel:
    """Joins series, which need not be copied where they are `Slices` without a missing value.

    Args:
        values: each [time], NaN for missing values.
        fill: gives a series by its number without missing values; by default none is missing.
        allocate: makes the arrays of a panel with missing values, of a size and a type.
    """
    lengths = np.array([len(series) for series in values], dtype=np.int64)
    if isinstance(values, Slices):
        measured, offsets = values.flat, values.offsets
    else:
        measured, offsets = np.concatenate(values), np.cumsum(lengths) - lengths
    if fill is None:
        return FlatPanel(measured, offsets, lengths, measured, None)
    flat, behind = allocate(len(measured), np.float64), allocate(len(measured), np.int32)
    for i, (series, start) in enumerate(zip(values, offsets.tolist(), strict=True)):
        stop = start + len(series)
        flat[start:stop] = fill(i)
        behind[start:stop] = _count_behind(series)
    return FlatPanel(flat, offsets, lengths, measured, behind)


def _count_behind(values: Array) -> Positions:
    """How far before each point [time] the last measured one stands."""
    positions = np.arange(len(values))
    return positions - np.maximum.accumulate(np.where(np.isnan(values), -1, positions))


def _address(values: Array) -> int:
    return int(values.__array_interface__["data"][0])


@dataclass(frozen=True, slots=True, eq=False)
class TrainingWindows:
    """What a network learns from, in its own units.

    `x` is [n, steps read], NaN on the right of shorter ones; `targets` [n, horizon], or [n, output steps, horizon] for
    sequence heads, NaN where nothing was measured, with `weights` [n] or [n, output steps]: how much each answer
    counts, 0 where a step is padding.
    """

    x: Floats
    targets: Floats
    weights: Floats


def make_training_windows(
    recipe: Recipe,
    inputs: Array,
    futures: Array,
    importance: Array,
    *,
    measured: Array | None = None,
    last_only: bool = False,
) -> TrainingWindows:
    """Scales windows by their own statistics and makes the targets that the recipe's head learns.

    Args:
        inputs: [n, window], NaN on the right of shorter ones.
        futures: [n, horizon], NaN where nothing was measured.
        importance: [n], how much an error of one in the user's units counts.
        measured: the inputs with NaN also for what was filled, of which a sequence head learns nothing.
        last_only: of a sequence head, let only the forecast from the last point count.
    """
    level = find_level(recipe, inputs)
    inputs, futures = inputs - level, futures - level
    statistics = measure(inputs, recipe.scaling, log=recipe.log)
    weights = weigh(recipe, inputs, statistics, importance)
    lag = recipe.lag
    known = (~np.isnan(inputs)).sum(axis=1)  # [n]
    scaled = statistics.transform(inputs)
    joined = np.full((len(inputs), inputs.shape[1] + futures.shape[1]), np.nan, np.float32)
    joined[:, : inputs.shape[1]] = scaled
    steps = np.arange(futures.shape[1])
    with np.errstate(over="ignore"):
        joined[np.arange(len(inputs))[:, None], known[:, None] + steps] = statistics.transform(futures)
    x = difference(scaled, lag)
    if recipe.head != "sequence":
        targets = _targets(joined, joined, known[:, None], futures.shape[1], lag)
        return TrainingWindows(x, targets[:, 0], weights.astype(np.float32))
    ends, counts = _output_ends(recipe, known - lag)
    is_step: Any = np.arange(ends.shape[1]) < counts[:, None]
    if last_only:
        # Keras divides by all steps: the one that counts stands for the others.
        is_step = (np.arange(ends.shape[1]) == counts[:, None] - 1) * ends.shape[1]
    values = joined
    if measured is not None:
        values = joined.copy()
        values[:, : inputs.shape[1]][np.isnan(measured) & ~np.isnan(inputs)] = np.nan
        # What is read at a gap's end was filled with what comes after it.
        read = np.take_along_axis(measured, np.minimum(ends + lag - 1, measured.shape[1] - 1), axis=1)
        is_step = is_step * ~np.isnan(read)
    by_step = (weights[:, None] * is_step).astype(np.float32)
    targets = _targets(values, joined, ends + lag, futures.shape[1], lag)
    return TrainingWindows(x, np.where(by_step[:, :, None] > 0, targets, 0), by_step)


def find_level(recipe: Recipe, inputs: Array) -> Array:
    """What is taken off windows [n, window] in training: [n, 1], as what serves does (`service.domain.normalization`).

    Where forecasts follow any level, the part that is far beyond the movement is enough, so that no statistics of the
    window are lost in rounding.
    """
    own = ~np.isnan(inputs)
    return np.zeros((len(inputs), 1)) if recipe.equivariance == "none" else dominant_level(inputs, own)


def weigh(recipe: Recipe, inputs: Array, statistics: Statistics, importance: Array) -> Array:
    """How much an error of one in the model's units counts: [n]. In logarithms, at the window's mean magnitude."""
    unit = statistics.scale[:, 0]
    if statistics.floor is not None:
        unit = unit * np.nanmean(np.abs(inputs), axis=1)
    weights = importance * unit
    return weights if recipe.loss == "mae" else np.square(weights)


def _targets(values: Floats, joined: Floats, ends: Positions, horizon: int, lag: int) -> Floats:
    """The `horizon` values after the first `ends` [n, steps] of each row, less their base: [n, steps, horizon].

    `joined` are the values, with those that were filled.
    """
    after = np.minimum(ends[:, :, None] + np.arange(horizon), joined.shape[1] - 1)
    rows = np.arange(len(joined))[:, None, None]
    targets: Floats = values[rows, after]
    if lag == 0:
        return drop_unscalable(targets)
    before = np.maximum(ends[:, :, None] - phase(horizon, lag), 0)
    with np.errstate(over="ignore"):
        return drop_unscalable(np.asarray(targets - joined[rows, before], dtype=np.float32))


def drop_unscalable(targets: Number) -> Number:
    """Targets of any shape, in the model's units, NaN for those that are too many of them to be learnt from."""
    return cast(Number, np.where(np.abs(targets) <= FARTHEST, targets, np.nan).astype(targets.dtype))


def _output_ends(recipe: Recipe, lengths: Positions) -> tuple[Positions, Positions]:
    """How many points are known at each output step of a sequence head [n, steps], and each row's count of steps [n].

    A strided convolution answers at every second step, counted back from the last point.
    """
    longest = recipe.window - recipe.lag
    kernel, stride = recipe.preset.kernel, recipe.preset.stride
    counts = (lengths - kernel) // stride + 1
    first = (lengths - kernel) % stride + kernel
    # As the network has them: it downsamples the padded width, whatever is in a row.
    n_steps = (longest - kernel) // stride + 1
    return first[:, None] + stride * np.arange(n_steps), counts
