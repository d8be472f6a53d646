"""Keras' dense and normalising layers as operators."""

from typing import Any

import keras
import numpy as np

from service.training.translation.builder import Builder, Value


def dense(b: Builder, x: Value, layer: Any) -> Value:
    """[.., features] -> [.., units], with the layer's activation."""
    x = b.op("Add", b.op("MatMul", x, np.asarray(layer.kernel)), np.asarray(layer.bias))
    activation = layer.activation.__name__
    if activation == "linear":
        return x
    operators = {"gelu": "Gelu", "relu": "Relu", "tanh": "Tanh"}
    return b.op(operators[activation], x)


def normalize(b: Builder, x: Value, layer: Any) -> Value:
    """What a layer of `service.zoo.normalization` makes of features [.., features]."""
    if isinstance(layer, keras.layers.LayerNormalization):
        gamma, beta = np.asarray(layer.gamma), np.asarray(layer.beta)
        return b.op("LayerNormalization", x, gamma, beta, axis=-1, epsilon=float(layer.epsilon))
    if isinstance(layer, keras.layers.BatchNormalization):
        variance = np.asarray(layer.moving_variance, np.float64)
        factor = np.asarray(layer.gamma, np.float64) / np.sqrt(variance + layer.epsilon)
        rest = np.asarray(layer.beta, np.float64) - np.asarray(layer.moving_mean, np.float64) * factor
        return b.op("Add", b.op("Mul", x, factor.astype(np.float32)), rest.astype(np.float32))
    return x
