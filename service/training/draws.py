"""Windows of a panel, drawn anew for every epoch: each series equally often, whatever its length and magnitude."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.examples import Examples, Positions, Rows, make_examples, weigh
from service.domain.intervals import spread
from service.domain.metrics import seasonal_scale
from service.domain.recipe import Recipe
from service.domain.scaling import measure

Array = NDArray[np.float64]

# An error in a series that hardly moves would outweigh all others.
MOST_IMPORTANCE = 5.0
# Windows of one piece, where many are read.
CHUNK = 4096
# Windows whose mean importance is that of all.
SAMPLE = 2000


class Importance:
    """How much an error counts: in units of its series' own seasonal naive error, as MASE has it.

    Measured on what training may see; bounded, and 1 in the mean of all series.
    """

    def __init__(self, rows: Rows, ends: Positions, season: int) -> None:
        scales = np.ones(len(ends))
        for i, end in enumerate(ends):
            history = rows.history(i, int(end))
            if len(history):
                scale = seasonal_scale(history, season if len(history) > season else 1)
                scales[i] = scale if np.isfinite(scale) else spread(history, 1)
        self.scales = scales  # [n_series], in the user's units

    def of(self, series: Positions) -> Array:
        """What an error of one in the user's units counts: [n]."""
        return 1 / self.scales[series]


def bounded(examples: Examples, mean: float) -> Examples:
    """Weights with a mean of about 1 and none above `MOST_IMPORTANCE`."""
    weights = np.minimum(examples.weights / mean, MOST_IMPORTANCE).astype(np.float32)
    return Examples(examples.x, examples.targets, weights)


class Draws:
    """Batches of training windows. The same recipe and panel give the same batches in the same order.

    Not a Keras dataset: between two epochs Keras reads one ahead in a thread of its own, and what it then gets depends
    on the machine's load.
    """

    def __init__(self, recipe: Recipe, rows: Rows, ends: Positions, importance: Importance) -> None:
        """Args: `ends` [n_series] is how many points of each series training may see, targets included."""
        self._recipe = recipe
        self._rows = rows
        self._importance = importance
        self._rng = np.random.default_rng(recipe.seed)
        # Each series' number of windows: by how many points at least `min_history` come before a whole horizon.
        self._counts = np.maximum(ends - recipe.horizon - recipe.min_history + 1, 0)
        self._usable = np.flatnonzero(self._counts)
        self._n_batches = max(1, recipe.max_windows // recipe.batch_size)
        if self.n_windows < recipe.max_windows and len(self._usable):
            self._n_batches = max(1, min(self._n_batches, -(-2 * self.n_windows // recipe.batch_size)))
        self.mean_weight = 1.0
        self.mean_weight = self._mean_weight()

    @property
    def width(self) -> int:
        """How many points a window holds."""
        return self._recipe.window - self._recipe.lag

    @property
    def n_windows(self) -> int:
        """How many different windows there are."""
        return int(self._counts.sum())

    def __len__(self) -> int:
        return self._n_batches

    def every(self, most: int) -> Iterator[Examples]:
        """Each window once, in chunks, all windows of one series together counting as much as those of another.

        Of more than `most` windows as many are drawn.
        """
        if self.n_windows > most:
            chunks = (self._draw(min(CHUNK, most - i)) for i in range(0, most, CHUNK))
            yield from (self.examples(*chunk) for chunk in chunks)
            return
        series = np.repeat(np.arange(len(self._counts)), self._counts)
        ends = self._recipe.min_history + np.concatenate([np.arange(count) for count in self._counts])
        share = self.n_windows / len(self._usable) / np.maximum(self._counts, 1)
        for i in range(0, len(series), CHUNK):
            chunk = series[i : i + CHUNK]
            examples = self.examples(chunk, ends[i : i + CHUNK])
            yield replace(examples, weights=(examples.weights * share[chunk]).astype(np.float32))

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        """Inputs, targets and weights, batch after batch, without end; `len` of them are an epoch."""
        while True:
            examples = self.examples(*self._draw(self._recipe.batch_size))
            yield examples.x[:, :, None], examples.targets, examples.weights

    def examples(self, series: Positions, ends: Positions, *, last_only: bool = False) -> Examples:
        """The examples of windows that end at `ends`, weighted as in training."""
        recipe = self._recipe
        found = make_examples(
            recipe,
            self._rows.inputs(series, ends, recipe.window),
            self._rows.futures(series, ends, recipe.horizon),
            self._importance.of(series),
            last_only=last_only,
        )
        return bounded(found, self.mean_weight)

    def _draw(self, n: int) -> tuple[Positions, Positions]:
        series = self._rng.choice(self._usable, n)
        ends = self._recipe.min_history + (self._rng.random(n) * self._counts[series]).astype(np.int64)
        return series, ends

    def _mean_weight(self) -> float:
        series, ends = self._draw(SAMPLE)
        inputs = self._rows.inputs(series, ends, self._recipe.window)
        statistics = measure(inputs, self._recipe.scaling, log=self._recipe.log)
        return float(weigh(self._recipe, inputs, statistics, self._importance.of(series)).mean())
