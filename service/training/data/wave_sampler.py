"""Waves that never come again: every batch is drawn anew."""

from collections.abc import Iterator

import numpy as np

from service.domain.panel_windows import TrainingWindows
from service.domain.recipes.recipe import Recipe
from service.domain.scaling import measure
from service.domain.waves import draw_waves
from service.domain.windows import make_targets, split_window

# Apart from the seeds of series that are kept, so that no validation series is ever drawn.
_STREAM = 1


class WaveSampler:
    """Batches of fresh waves. The same recipe gives the same batches in the same order.

    What a network reads has noise; what it learns to answer has none: the noise to come can't be forecast, so without
    it the best answer is the same and the gradient clearer.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.rng = np.random.default_rng((_STREAM, recipe.seed, recipe.waves.seed))

    def __len__(self) -> int:
        """How many batches are an epoch."""
        return max(1, self._recipe.max_windows // self._recipe.batch_size)

    def __iter__(self) -> Iterator[TrainingWindows]:
        """Batch after batch, without end, all windows counting alike."""
        recipe = self._recipe
        while True:
            clean = draw_waves(self.rng, recipe.batch_size, recipe.waves.n_steps)
            noise = recipe.waves.noise * (self.rng.random(clean.shape) - 0.5)
            inputs, _ = split_window(clean + noise, recipe.window, recipe.horizon)
            statistics = measure(inputs, recipe.scaling)
            scaled = statistics.transform(np.hstack(split_window(clean, recipe.window, recipe.horizon)))
            targets = make_targets(scaled, recipe.window, recipe.horizon, recipe.head, recipe.preset)
            ones = np.ones(targets.shape[:-1], np.float32)
            yield TrainingWindows(statistics.transform(inputs), targets.astype(np.float32), ones)
