"""The attention backbone: a transformer over patches of the series."""

import math
from typing import Any

import keras
import numpy as np

from service.domain.recipes.recipe import Recipe
from service.networks.backbone import Backbone
from service.networks.layers import dense, last_of, make_normalization, normalize
from service.networks.operations import State, Tensor
from service.networks.strided_conv import StridedConv

MOST_HEADS = 4
# What a patch is not to look at is so unlikely.
UNSEEN = -1e9


class AttentionBlock(keras.layers.Layer):
    """Self-attention and two dense layers, each normalised before it begins and added to what it reads.

    A patch looks at itself and at those before it, at older ones the less the farther they are, by a slope of each
    head's own. So series of any length are read, and a patch's features don't change by what comes after.
    Sources: A. Vaswani et al., "Attention Is All You Need", 2017; O. Press et al., "Train Short, Test Long: Attention
    with Linear Biases Enables Input Length Extrapolation", 2022.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.rate = recipe.units, recipe.dropout
        self.heads = math.gcd(recipe.units, MOST_HEADS)
        self.norms = [make_normalization(recipe.normalization) for _ in range(2)]
        widths = (3 * self.units, self.units, 2 * self.units, self.units)
        activations = ("linear", "linear", "gelu", "linear")
        self.project, self.join, self.wide, self.narrow = self.layers = [
            keras.layers.Dense(width, activation=activation, kernel_initializer=recipe.kernel_initializer)
            for width, activation in zip(widths, activations, strict=True)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for norm in self.norms:
            norm.build((None, None, self.units))
        for layer in self.layers:
            layer.build((None, None, 2 * self.units if layer is self.narrow else self.units))
        self.built = True

    def forward(self, xp: Any, x: Tensor) -> Tensor:
        """[batch, patches, units] -> [batch, patches, units]."""
        attended = self._attend(xp, normalize(xp, self.norms[0], x))
        x = x + xp.dropout(dense(xp, self.join, attended), self.rate)
        inside = dense(xp, self.wide, normalize(xp, self.norms[1], x))
        return x + xp.dropout(dense(xp, self.narrow, inside), self.rate)

    def _attend(self, xp: Any, x: Tensor) -> Tensor:
        n_patches, size = xp.size(x, 1), self.units // self.heads
        projected = xp.reshape(dense(xp, self.project, x), (-1, n_patches, 3 * self.heads, size))
        projected = xp.transpose(projected, (0, 2, 1, 3))  # [batch, 3 heads, patches, size]
        queries, keys, values = xp.split(projected, 3, axis=1)
        position = xp.arange(n_patches)
        distance = xp.expand_dims(position, 1) - xp.expand_dims(position, 0)  # [patches, patches]
        slopes = (2.0 ** (-8 * np.arange(1, self.heads + 1) / self.heads)).astype(np.float32)[:, None, None]
        seen = xp.where(distance >= 0, xp.cast(distance, "float32"), -UNSEEN)
        scores = xp.matmul(queries, xp.transpose(keys, (0, 1, 3, 2))) * float(size**-0.5) - seen * slopes
        attended = xp.matmul(xp.softmax(scores), values)  # [batch, heads, patches, size]
        return xp.reshape(xp.transpose(attended, (0, 2, 1, 3)), (-1, n_patches, self.units))


class PatchTransformerBackbone(Backbone):
    """Attention blocks over patches, of which the last ends with the series.

    It begins anew for each block that is fed back: its state would be all patches.
    Source: Y. Nie et al., "A Time Series is Worth 64 Words: Long-term Forecasting with Transformers" (PatchTST), 2023,
    with causal attention, and the features of the last patch in place of those of all.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = recipe.units
        self.patches = StridedConv(recipe)
        self.blocks = [AttentionBlock(recipe) for _ in range(recipe.layers)]
        self.norm = make_normalization(recipe.normalization)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.patches.build(input_shape)
        for layer in (*self.blocks, self.norm):
            layer.build((None, None, self.width))
        self.built = True

    def can_resume(self, block: int) -> bool:
        del block
        return False

    def steps(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        features, n_patches = self.patches.downsample(xp, x, lengths)
        for block in self.blocks:
            features = block.forward(xp, features)
        return normalize(xp, self.norm, features), n_patches

    def begin(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        return last_of(xp, *self.steps(xp, x, lengths)), []
