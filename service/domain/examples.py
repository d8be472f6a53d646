"""Training examples from windows of a panel: windows of different lengths, scaled, differenced, with their targets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.differencing import difference, phase
from service.domain.recipe import CONV_KERNEL, CONV_STRIDE, Recipe
from service.domain.scaling import Statistics, measure

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """All values of a panel in one array, to cut windows from."""

    flat: Array  # [all points]
    offsets: Positions  # [n_series]: where each series begins
    lengths: Positions  # [n_series]

    def inputs(self, series: Positions, ends: Positions, window: int) -> Array:
        """The last `window` points before each end, to the left, NaN after those of a shorter history: [n, window]."""
        starts = np.maximum(ends - window, 0)
        positions = starts[:, None] + np.arange(window)
        own = positions < ends[:, None]
        taken = self.flat[self.offsets[series][:, None] + np.where(own, positions, 0)]
        return np.asarray(np.where(own, taken, np.nan))

    def futures(self, series: Positions, ends: Positions, horizon: int) -> Array:
        """The `horizon` points from each end on: [n, horizon]."""
        futures: Array = self.flat[(self.offsets[series] + ends)[:, None] + np.arange(horizon)]
        return futures

    def history(self, series: int, end: int) -> Array:
        """All points of a series before an end: [time]."""
        start = self.offsets[series]
        return self.flat[start : start + end]


def gather(values: list[Array]) -> Rows:
    """Joins series without missing values."""
    lengths = np.array([len(one) for one in values], dtype=np.int64)
    return Rows(np.concatenate(values), np.cumsum(lengths) - lengths, lengths)


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """What a network learns from, in its own units.

    `x` is [n, steps read], NaN on the right of shorter ones; `targets` [n, horizon], or [n, output steps, horizon] for
    sequence heads, with `weights` [n] or [n, output steps]: how much each answer counts, 0 where a step is padding.
    """

    x: Floats
    targets: Floats
    weights: Floats


def make_examples(
    recipe: Recipe, inputs: Array, futures: Array, importance: Array, *, last_only: bool = False
) -> Examples:
    """Scales windows by their own statistics and makes the targets that the recipe's head learns.

    Args:
        inputs: [n, window], NaN on the right of shorter ones.
        futures: [n, horizon].
        importance: [n], how much an error of one in the user's units counts.
        last_only: of a sequence head, let only the forecast from the last point count.
    """
    statistics = measure(inputs, recipe.scaling, log=recipe.log)
    weights = weigh(recipe, inputs, statistics, importance)
    lag = recipe.lag
    known = (~np.isnan(inputs)).sum(axis=1)  # [n]
    scaled = statistics.transform(inputs)
    joined = np.full((len(inputs), inputs.shape[1] + futures.shape[1]), np.nan, np.float32)
    joined[:, : inputs.shape[1]] = scaled
    steps = np.arange(futures.shape[1])
    joined[np.arange(len(inputs))[:, None], known[:, None] + steps] = statistics.transform(futures)
    x = difference(scaled, lag)
    if recipe.head != "sequence":
        return Examples(x, _targets(joined, known[:, None], futures.shape[1], lag)[:, 0], weights.astype(np.float32))
    ends, counts = _output_ends(recipe, known - lag)
    targets = _targets(joined, ends + lag, futures.shape[1], lag)
    is_step = np.arange(ends.shape[1]) < counts[:, None]
    if last_only:
        # Keras divides by all steps: the one that counts stands for the others.
        is_step = (np.arange(ends.shape[1]) == counts[:, None] - 1) * ends.shape[1]
    by_step = (weights[:, None] * is_step).astype(np.float32)
    return Examples(x, np.where(by_step[:, :, None] > 0, targets, 0), by_step)


def weigh(recipe: Recipe, inputs: Array, statistics: Statistics, importance: Array) -> Array:
    """How much an error of one in the model's units counts: [n]. In logarithms, at the window's mean magnitude."""
    unit = statistics.scale[:, 0]
    if statistics.floor is not None:
        unit = unit * np.nanmean(np.abs(inputs), axis=1)
    weights = importance * unit
    return weights if recipe.loss == "mae" else np.square(weights)


def _targets(joined: Floats, ends: Positions, horizon: int, lag: int) -> Floats:
    """The `horizon` values after the first `ends` [n, steps] of each row, less their base: [n, steps, horizon]."""
    after = np.minimum(ends[:, :, None] + np.arange(horizon), joined.shape[1] - 1)
    rows = np.arange(len(joined))[:, None, None]
    targets: Floats = joined[rows, after]
    if lag == 0:
        return targets
    before = np.maximum(ends[:, :, None] - phase(horizon, lag), 0)
    return np.asarray(targets - joined[rows, before], dtype=np.float32)


def _output_ends(recipe: Recipe, lengths: Positions) -> tuple[Positions, Positions]:
    """How many points are known at each output step of a sequence head [n, steps], and each row's count of steps [n].

    A strided convolution answers at every second step, counted back from the last point.
    """
    longest = recipe.window - recipe.lag
    if recipe.preset.body != "conv_gru":
        return np.broadcast_to(np.arange(1, longest + 1), (len(lengths), longest)), lengths
    counts = (lengths - CONV_KERNEL) // CONV_STRIDE + 1
    first = (lengths - CONV_KERNEL) % CONV_STRIDE + CONV_KERNEL
    # As the network has them: it downsamples the padded width, whatever is in a row.
    n_steps = (longest - CONV_KERNEL) // CONV_STRIDE + 1
    return first[:, None] + CONV_STRIDE * np.arange(n_steps), counts
