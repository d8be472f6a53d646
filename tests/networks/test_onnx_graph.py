"""What the graphs' builder leaves out, computes once, and computes before a loop."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from service.networks.onnx_graph import FLOAT, INT64
from service.networks.onnx_operations import OnnxOperations
from service.networks.onnx_tensor import Traced
from service.networks.operations import State

SHAPE = (FLOAT, ["batch", "time"])


def finish(xp: OnnxOperations, output: Traced, **more: Any) -> onnx.ModelProto:
    model = xp.graph.model({"x": SHAPE, **more}, {"y": (output.name, FLOAT)})
    return onnx.load_from_string(model)


def run(model: onnx.ModelProto, x: np.ndarray, **more: Any) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"x": x.astype(np.float32), **more})[0])


def kinds(graph: Any) -> Counter[str]:
    return Counter(node.op_type for node in graph.node)


def test_what_no_output_needs_is_left_out() -> None:
    xp = OnnxOperations()
    x = xp.traced("x")
    xp.exp(x * np.float32(3.5)) + xp.matmul(x, np.ones((4, 9), np.float32))
    model = finish(xp, x + 1.0)
    assert kinds(model.graph) == {"Add": 1, "Identity": 1}
    assert len(model.graph.initializer) == 1
    np.testing.assert_allclose(run(model, np.eye(4)), np.eye(4) + 1)


def test_what_was_computed_before_is_not_computed_again() -> None:
    xp = OnnxOperations()
    x = xp.traced("x")
    model = finish(xp, xp.exp(x * 2.0) + xp.exp(x * 2.0))
    assert kinds(model.graph) == {"Mul": 1, "Exp": 1, "Add": 1, "Identity": 1}


def test_a_transposition_and_its_inverse_cancel_each_other() -> None:
    xp = OnnxOperations()
    x = xp.expand_dims(xp.traced("x"), 2)
    turned = xp.transpose(x, (2, 0, 1))
    model = finish(xp, xp.transpose(turned, (1, 2, 0)))
    assert "Transpose" not in kinds(model.graph)
    assert run(model, np.ones((2, 3))).shape == (2, 3, 1)


def test_a_transposition_that_is_no_inverse_stays() -> None:
    xp = OnnxOperations()
    turned = xp.transpose(xp.expand_dims(xp.traced("x"), 2), (2, 0, 1))
    model = finish(xp, xp.transpose(turned, (2, 0, 1)))
    assert kinds(model.graph)["Transpose"] == 2
    assert run(model, np.ones((2, 3))).shape == (3, 1, 2)


def test_an_axis_that_is_added_and_taken_away_is_neither() -> None:
    xp = OnnxOperations()
    x = xp.expand_dims(xp.traced("x"), 1)
    back = xp.op("Squeeze", x, np.array([1], np.int64), dtype="float32")
    assert kinds(finish(xp, back).graph) == {"Identity": 1}


def looped(width: int = 3) -> onnx.ModelProto:
    """Adds exp(x) @ w, which no trip changes, to what is carried, and answers it times the trip's number."""
    xp = OnnxOperations()
    x = xp.traced("x")
    w = np.full((width, width), 0.5, np.float32)

    def step(trip: Any, carried: State) -> tuple[State, Any]:
        after = carried[0] + xp.matmul(xp.exp(x), w)
        return [after], after * xp.cast(trip, "float32")

    return finish(xp, xp.loop(step, [x], xp.traced("n", "int64"), width=width), n=(INT64, []))


def test_what_no_trip_changes_is_computed_before_the_loop() -> None:
    model = looped()
    assert kinds(model.graph) >= Counter({"Exp": 1, "MatMul": 1, "Loop": 1})
    (loop,) = [node for node in model.graph.node if node.op_type == "Loop"]
    (body,) = [attribute.g for attribute in loop.attribute if attribute.name == "body"]
    inside = kinds(body)
    assert {kind: inside[kind] for kind in ("Exp", "MatMul", "Add", "Mul", "Cast")} == {
        "Exp": 0,
        "MatMul": 0,
        "Add": 1,
        "Mul": 1,
        "Cast": 1,
    }


def test_a_loop_makes_as_many_trips_as_it_is_told_none_among_them() -> None:
    x = np.array([[0.0, 1.0, -1.0]])
    added = np.exp(x) @ np.full((3, 3), 0.5)
    assert run(looped(), x, n=np.array(0)).size == 0
    for n in (1, 4):
        found = run(looped(), x, n=np.array(n))
        expected = np.stack([(x + (trip + 1) * added) * trip for trip in range(n)], axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_weights_are_constants_once_each_however_often_they_are_read() -> None:
    xp = OnnxOperations()
    x = xp.traced("x")
    weights = np.arange(9, dtype=np.float32).reshape(3, 3)
    model = finish(xp, xp.matmul(xp.tanh(xp.matmul(x, weights)), weights.copy()))
    assert len(model.graph.initializer) == 1


def test_values_of_two_types_are_not_mixed() -> None:
    xp = OnnxOperations()
    with pytest.raises(TypeError, match="cast"):
        xp.traced("x") + xp.traced("n", "int64")
