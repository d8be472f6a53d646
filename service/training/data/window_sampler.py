"""Windows of a panel, drawn anew for every epoch: each series equally often, whatever its length and magnitude."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.domain.metrics import seasonal_scale
from service.domain.panel_windows import FlatPanel, Positions, TrainingWindows, find_level, make_training_windows, weigh
from service.domain.recipes.recipe import Recipe
from service.domain.scaling import measure

Array = NDArray[np.float64]

# How much more than a typical error one may count, or it would decide for all others...
MOST_IMPORTANCE = 5.0
# ...and how much more to be part of what is typical: their mean, of which one series could be any multiple.
MOST_TYPICAL = 20.0
# What counts less is rounding: the windows of a series that is constant there.
LEAST_IMPORTANCE = 1e-9
# Windows of one piece, where many are read.
CHUNK = 4096
# Windows whose mean importance is that of all.
SAMPLE = 2000


class Importance:
    """How much an error counts: in units of its series' own seasonal naive error, as MASE has it.

    Measured on what training may see. Where a series repeats itself the unit is the error of the naive forecast, where
    it is constant its magnitude.
    """

    def __init__(self, rows: FlatPanel, ends: Positions, season: int) -> None:
        scales = np.ones(len(ends))
        for i, end in enumerate(ends):
            history = rows.measured_history(i, int(end))
            if len(history):
                scales[i] = _measure_unit(history, season)
        self.scales = scales  # [n_series], in the user's units

    def of(self, series: Positions) -> Array:
        """What an error of one in the user's units counts: [n]."""
        return 1 / self.scales[series]


def _measure_unit(history: Array, season: int) -> float:
    """The unit of a series' errors, of its points [time] that training may see."""
    for lag in (season, 1):
        unit = seasonal_scale(history, lag)
        if unit > 0:  # NaN is not
            return unit
    largest = float(np.nanmax(np.abs(history)))
    return largest if largest > 0 else 1.0


def bounded(examples: TrainingWindows, typical: float) -> TrainingWindows:
    """Weights in units of a typical one, none above `MOST_IMPORTANCE`."""
    weights = np.minimum(examples.weights / typical, MOST_IMPORTANCE).astype(np.float32)
    weights[weights < LEAST_IMPORTANCE] = 0
    counts = weights.reshape(len(weights), -1).any(axis=1)
    if counts.all() or not counts.any():
        return TrainingWindows(examples.x, examples.targets, weights)
    # Where a window does not count, its gradient must not either: of a window of zeros that of a normalising cell grows
    # beyond all numbers, and no weight makes nothing of infinity. Another window stands in its place.
    stand_in = np.where(counts, np.arange(len(counts)), np.flatnonzero(counts)[0])
    return TrainingWindows(examples.x[stand_in], examples.targets[stand_in], weights)


def find_typical(weights: Array) -> float:
    """The mean of weights [n] that count, no one as more than `MOST_TYPICAL` times the median."""
    counting = weights[weights > np.finfo(np.float32).tiny]
    if not len(counting):
        return 1.0
    return float(np.minimum(counting, MOST_TYPICAL * np.median(counting)).mean())


class WindowSampler:
    """Batches of training windows. The same recipe and panel give the same batches in the same order.

    Not a Keras dataset: between two epochs Keras reads one ahead in a thread of its own, and what it then gets depends
    on the machine's load.
    """

    def __init__(self, recipe: Recipe, rows: FlatPanel, ends: Positions, importance: Importance) -> None:
        """Args: `ends` [n_series] is how many points of each series training may see, targets included."""
        self._recipe = recipe
        self._rows = rows
        self._importance = importance
        self.rng = np.random.default_rng(recipe.seed)
        # Each series' number of windows: by how many points at least `min_history` come before a whole horizon.
        self._counts = np.maximum(ends - recipe.horizon - recipe.min_history + 1, 0) * rows.learnable(ends)
        self._usable = np.flatnonzero(self._counts)
        self._n_batches = max(1, recipe.max_windows // recipe.batch_size)
        if self.n_windows < recipe.max_windows and len(self._usable):
            self._n_batches = max(1, min(self._n_batches, -(-2 * self.n_windows // recipe.batch_size)))
        self._typical_weight = self._find_typical_weight()

    @property
    def width(self) -> int:
        """How many points a window holds."""
        return self._recipe.window - self._recipe.lag

    @property
    def is_tried(self) -> bool:
        """Whether the recipe's base is tried on each window's own past."""
        return bool(self._recipe.seasons)

    @property
    def n_windows(self) -> int:
        """How many different windows there are."""
        return int(self._counts.sum())

    def __len__(self) -> int:
        return self._n_batches

    def every(self, most: int) -> Iterator[TrainingWindows]:
        """Each window once, in chunks, all windows of one series together counting as much as those of another.

        Of more than `most` windows as many are drawn.
        """
        if self.n_windows > most:
            chunks = (self._draw(min(CHUNK, most - i)) for i in range(0, most, CHUNK))
            yield from (self.windows(*chunk) for chunk in chunks)
            return
        series = np.repeat(np.arange(len(self._counts)), self._counts)
        ends = self._recipe.min_history + np.concatenate([np.arange(count) for count in self._counts])
        share = self.n_windows / len(self._usable) / np.maximum(self._counts, 1)
        for i in range(0, len(series), CHUNK):
            chunk = series[i : i + CHUNK]
            examples = self.windows(chunk, ends[i : i + CHUNK])
            yield replace(examples, weights=(examples.weights * share[chunk]).astype(np.float32))

    def __iter__(self) -> Iterator[TrainingWindows]:
        """Batch after batch, without end; `len` of them are an epoch."""
        while True:
            yield self.windows(*self._draw(self._recipe.batch_size))

    def windows(self, series: Positions, ends: Positions, *, last_only: bool = False) -> TrainingWindows:
        """The windows that end at `ends`, weighted as in training."""
        recipe = self._recipe
        ends = self._rows.last_measured(series, ends, recipe.min_history)
        learns_at_steps = recipe.head == "sequence" and not self._rows.is_complete
        windows = make_training_windows(
            recipe,
            self._rows.inputs(series, ends, recipe.window),
            self._rows.futures(series, ends, recipe.horizon),
            self._importance.of(series),
            measured=self._rows.measured_inputs(series, ends, recipe.window) if learns_at_steps else None,
            last_only=last_only,
        )
        return bounded(windows, self._typical_weight)

    def _draw(self, n: int) -> tuple[Positions, Positions]:
        series = self.rng.choice(self._usable, n)
        ends = self._recipe.min_history + (self.rng.random(n) * self._counts[series]).astype(np.int64)
        return series, ends

    def _find_typical_weight(self) -> float:
        series, ends = self._draw(SAMPLE)
        inputs = self._rows.inputs(series, ends, self._recipe.window)
        inputs = inputs - find_level(self._recipe, inputs)
        statistics = measure(inputs, self._recipe.scaling, log=self._recipe.log)
        return find_typical(weigh(self._recipe, inputs, statistics, self._importance.of(series)))
