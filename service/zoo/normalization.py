"""Normalisation between layers."""

from typing import Any

import keras

from service.domain.recipes.presets import Normalization


def make_normalization(kind: Normalization) -> Any:
    """The layer that normalises features, not yet built; `none` passes them on."""
    if kind == "none":
        return keras.layers.Identity()
    return keras.layers.LayerNormalization() if kind == "layer" else keras.layers.BatchNormalization()
