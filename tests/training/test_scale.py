"""Scaling inside the graph is the scaling that networks were trained with."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.domain import scaling as plain
from service.domain.recipes.resolve import resolve
from service.training.scale import measure

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 20))
VALUES = hnp.arrays(np.float32, SHAPES, elements=st.floats(-1e6, 1e6, width=32))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("scaling", ["none", "standard", "mean", "robust"])
@settings(max_examples=25, deadline=None)
@given(values=VALUES, data=st.data())
def test_the_graph_scales_as_numpy_does_whatever_the_padding(
    scaling: str, log: bool, values: np.ndarray, data: st.DataObject
) -> None:
    lengths = np.array([data.draw(st.integers(1, values.shape[1])) for _ in values])
    own = np.arange(values.shape[1]) < lengths[:, None]
    recipe = replace(resolve({"architecture": "lstm"}), scaling=scaling, log=log)  # type: ignore[arg-type]
    statistics = plain.measure(np.where(own, values, np.nan), recipe.scaling, log=log)
    scale = measure(tf.constant(np.where(own, values, 0.0)), tf.constant(own), recipe)
    expected = statistics.transform(values)
    scaled = scale.transform(tf.constant(values)).numpy()
    unit = np.maximum(np.abs(expected), 1)
    # Of a constant row nothing is left but rounding, in units of rounding.
    is_constant = statistics.scale <= 1e-8 * np.abs(statistics.shift)
    assert (np.abs(scaled - expected) <= np.where(is_constant, 1e-3, 1e-5) * unit)[own].all()
    back = scale.inverse(tf.constant(expected)).numpy()
    magnitude = np.abs(np.where(own, values, 0)).max(axis=1, keepdims=True)
    assert (np.abs(back - statistics.inverse(expected)) <= 1e-5 * np.maximum(magnitude, np.abs(back)) + 1e-30).all()
