"""The head of the zero-shot model: a window's experts, weighed by a combiner that begins as it was pretrained."""

from typing import Any

import keras
import numpy as np

from service.domain.recipes.recipe import Recipe
from service.networks.operations import Tensor
from service.networks.pretrained_combiner import load_combiner
from service.networks.zero_shot import backtest_experts, combine, to_combiner

# Centre and scale of the features, which the combiner was pretrained with, stay.
N_FIXED = 2


class CombinerHead(keras.layers.Layer):
    """Weighs experts that know the recipe's seasons; fitting moves the weights from the pretrained ones.

    Features are a window's values and, for each, whether it is one (`service.networks.backbones.WindowBackbone`).
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = recipe.window
        self.horizon = recipe.horizon
        seasons: tuple[int, ...] = recipe.seasons or (recipe.season,)
        self.short, self.long = seasons[0], None if len(seasons) == 1 else seasons[1]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.arrays = []
        for i, array in enumerate(load_combiner()):
            weight = self.add_weight(shape=array.shape, initializer="zeros", trainable=i >= N_FIXED)
            weight.assign(array)
            self.arrays.append(weight)
        self.built = True

    def forward(self, xp: Any, features: Tensor) -> Tensor:
        """[batch, 2 window] -> [batch, horizon]."""
        values, own = features[:, : self.window], features[:, self.window :]
        lengths = xp.cast(xp.sum(own, axis=1) + 0.5, "int32")
        # Shorter rows end at the last position; experts want them to begin at the first.
        positions = xp.expand_dims(self.window - lengths, 1) + np.arange(self.window, dtype=np.int32)
        series = xp.pick(values, xp.minimum(positions, self.window - 1))
        is_own = np.arange(self.window, dtype=np.float32) < xp.expand_dims(xp.cast(lengths, "float32"), 1)
        series = xp.where(is_own, series, 0.0)
        steps = np.arange(self.horizon, dtype=np.int32)
        backtest = backtest_experts(xp, series, lengths, self.short, self.long, steps, self.horizon)
        combiner = to_combiner([xp.weight(array) for array in self.arrays])
        return combine(xp, combiner, backtest, steps, self.horizon).forecast
