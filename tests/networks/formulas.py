"""Formulas of windows, `forecast(xp, values, own)`, as each library computes them."""

from functools import partial
from typing import Any, Protocol

import jax
import numpy as np
import onnxruntime
import tensorflow as tf
from numpy.typing import NDArray

from service.networks.jax_operations import JaxOperations
from service.networks.onnx_graph import FLOAT
from service.networks.onnx_operations import OnnxOperations
from service.networks.operations import NumPyOperations
from service.networks.tensorflow_operations import TensorFlowOperations

Array = NDArray[np.float64]


class Formula(Protocol):
    def forecast(self, xp: Any, values: Any, own: Any) -> Any: ...


def by_numpy(formula: Formula, values: Array, own: Array) -> Array:
    return np.asarray(
        formula.forecast(NumPyOperations(), values.astype(np.float32), own.astype(np.float32)), np.float64
    )


def by_tensorflow(formula: Formula, values: Array, own: Array) -> Array:
    values, own = (tf.constant(array.astype(np.float32)) for array in (values, own))
    return np.asarray(formula.forecast(TensorFlowOperations(), values, own), np.float64)


def by_jax(formula: Formula, values: Array, own: Array) -> Array:
    forecast = jax.jit(partial(formula.forecast, JaxOperations({}, [], None)))
    return np.asarray(forecast(values.astype(np.float32), own.astype(np.float32)), np.float64)


def by_onnx(formula: Formula, values: Array, own: Array) -> Array:
    xp = OnnxOperations()
    forecast = formula.forecast(xp, xp.traced("values"), xp.traced("own")).name
    shape = (FLOAT, ["batch", values.shape[1]])
    model = xp.graph.model({"values": shape, "own": shape}, {"forecast": (forecast, FLOAT)})
    session = onnxruntime.InferenceSession(model)
    answer = session.run(None, {"values": values.astype(np.float32), "own": own.astype(np.float32)})[0]
    return np.asarray(answer, np.float64)
