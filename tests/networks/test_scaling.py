"""Scaling in graphs is the scaling that networks are trained with: one formula, and three libraries that compute it."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.domain.scaling import Scale, measure, measure_scale
from service.networks.onnx_graph import BOOL, FLOAT
from service.networks.onnx_operations import OnnxOperations
from service.networks.tensorflow_operations import TensorFlowOperations

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 20))
VALUES = hnp.arrays(np.float32, SHAPES, elements=st.floats(-1e6, 1e6, width=32))
SCALINGS = [(scaling, log) for scaling in ("none", "standard", "mean", "robust") for log in (False, True)]


def _there_and_back(xp: Any, scaling: Any, log: bool, values: Any, own: Any, scaled: Any) -> tuple[Any, Any]:
    scale: Scale = measure_scale(xp, xp.where(own, values, 0.0), own, scaling, log=log)
    return scale.transform(xp, values), scale.inverse(xp, scaled)


def by_tensorflow(scaling: Any, log: bool, *arrays: Any) -> list[Any]:
    return [one.numpy() for one in _there_and_back(TensorFlowOperations(), scaling, log, *map(tf.constant, arrays))]


class ByOnnx:
    def __init__(self, scaling: Any, log: bool) -> None:
        xp = OnnxOperations()
        inputs: dict[str, tuple[int, list[str]]] = {
            name: (kind, ["batch", "time"]) for name, kind in (("x", FLOAT), ("own", BOOL), ("y", FLOAT))
        }
        there, back = _there_and_back(xp, scaling, log, xp.traced("x"), xp.traced("own", "bool"), xp.traced("y"))
        self._session = onnxruntime.InferenceSession(
            xp.graph.model(inputs, {"there": (there.name, FLOAT), "back": (back.name, FLOAT)})
        )

    def __call__(self, *arrays: Any) -> list[Any]:
        return list(self._session.run(None, dict(zip(("x", "own", "y"), arrays, strict=True))))


@pytest.mark.parametrize(("scaling", "log"), SCALINGS)
def test_graphs_scale_as_numpy_does_whatever_the_padding(scaling: Any, log: bool) -> None:
    by_onnx = ByOnnx(scaling, log)

    @settings(max_examples=25, deadline=None)
    @given(values=VALUES, data=st.data())
    def check(values: np.ndarray, data: st.DataObject) -> None:
        lengths = np.array([data.draw(st.integers(1, values.shape[1])) for _ in values])
        own = np.arange(values.shape[1]) < lengths[:, None]
        statistics = measure(np.where(own, values, np.nan), scaling, log=log)
        expected = statistics.transform(values)
        unit = np.maximum(np.abs(expected), 1)
        # Of a constant row nothing is left but rounding, in units of rounding.
        is_constant = statistics.scale <= 1e-8 * np.abs(statistics.shift)
        magnitude = np.abs(np.where(own, values, 0)).max(axis=1, keepdims=True)
        for scaled, back in (by_tensorflow(scaling, log, values, own, expected), by_onnx(values, own, expected)):
            assert (np.abs(scaled - expected) <= np.where(is_constant, 1e-3, 1e-5) * unit)[own].all()
            off = np.abs(back - statistics.inverse(expected))
            assert (off <= 1e-5 * np.maximum(magnitude, np.abs(back)) + 1e-30).all()

    check()


def test_an_unknown_scaling_is_measured_by_nobody() -> None:
    scaling: Any = "minmax"
    with pytest.raises(ValueError, match="minmax"):
        measure(np.ones((2, 5)), scaling)
    with pytest.raises(ValueError, match="minmax"):
        measure_scale(TensorFlowOperations(), tf.ones((2, 5)), tf.ones((2, 5), tf.bool), scaling)
