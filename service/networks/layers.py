"""Layers of Keras as functions of `xp`: dense, normalisation, dropout, causal convolution."""

from typing import Any, assert_never

import keras

from service.domain.recipes.presets import Normalization
from service.networks.operations import Tensor

ACTIVATIONS = ("linear", "relu", "tanh", "gelu")


def dense(xp: Any, layer: Any, x: Tensor) -> Tensor:
    """A built `keras.layers.Dense`: [.., features] -> [.., units].

    Raises:
        ValueError: its activation is none of `ACTIVATIONS`.
    """
    name = layer.activation.__name__
    if name not in ACTIVATIONS:
        raise ValueError(f"the activation of a dense layer is {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    linear = xp.matmul(x, xp.weight(layer.kernel)) + xp.weight(layer.bias)
    return getattr(xp, name)(linear)


def make_normalization(kind: Normalization) -> Any:
    """The layer that normalises features, not yet built; `none` passes them on."""
    match kind:
        case "none":
            return keras.layers.Identity()
        case "layer":
            return keras.layers.LayerNormalization()
        case "batch":
            return keras.layers.BatchNormalization()
        case _:
            assert_never(kind)


def normalize(xp: Any, layer: Any, x: Tensor) -> Tensor:
    """What a built layer of `make_normalization` makes of features [.., features].

    Raises:
        TypeError: it is another layer.
    """
    match layer:
        case keras.layers.Identity():
            return x
        case keras.layers.LayerNormalization():
            return xp.layer_normalize(x, xp.weight(layer.gamma), xp.weight(layer.beta), float(layer.epsilon))
        case keras.layers.BatchNormalization():
            mean, variance = xp.batch_moments(layer, x)
            factor = xp.weight(layer.gamma) / xp.sqrt(variance + float(layer.epsilon))
            return x * factor + (xp.weight(layer.beta) - mean * factor)
    raise TypeError(f"{type(layer).__name__} is no layer that normalises")


def last_of(xp: Any, values: Tensor, lengths: Tensor | None) -> Tensor:
    """Values at each row's last point: [batch, time, ..] -> [batch, ..]; without lengths rows are of one length."""
    if lengths is None:
        return values[:, -1]
    return xp.pick(values, xp.expand_dims(lengths, 1) - 1)[:, 0]
