"""Building ONNX graphs: operators as calls, arrays as constants, loops with bodies of their own."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

# Gelu came with operator set 20; the intermediate representation 10 is the oldest that holds it.
OPERATOR_SET = 20
REPRESENTATION = 10

# A value inside a graph, by its name; or an array, which becomes a constant of the graph; or nothing.
Value = str
Input = Value | NDArray[Any] | None
FLOAT, DOUBLE, INT32, INT64, BOOL = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.BOOL,
)


def ints(*values: int) -> NDArray[np.int64]:
    """A constant of integers [n]: axes, shapes, bounds."""
    return np.array(values, np.int64)


def scalar(value: float, kind: type[np.generic] = np.float32) -> NDArray[Any]:
    """A constant of no dimension."""
    return np.array(value, kind)


class Builder:
    """One graph under construction. Values are named by it; constants of a loop's body belong to the whole graph.

    What was computed before is not computed again: members of an ensemble share what they have in common.
    """

    def __init__(self, outer: "Builder | None" = None) -> None:
        self._root: Builder = self if outer is None else outer._root
        self._nodes: list[NodeProto] = []
        self._constants: dict[Any, TensorProto] = {}
        self._known: dict[Any, list[Value]] = {}
        self._n_names = 0

    def op(self, kind: str, *inputs: Input, **attributes: Any) -> Value:
        """The first output of an operator."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, n_outputs: int, *inputs: Input, **attributes: Any) -> list[Value]:
        """The first outputs of an operator."""
        names = [self._input(value) for value in inputs]
        # A loop stands by itself, and an identity is there for the sake of its own name.
        is_shared = "body" not in attributes and kind != "Identity"
        key = (kind, n_outputs, *names, repr(sorted(attributes.items()))) if is_shared else None
        if key in self._known:
            return self._known[key]
        outputs = [self._name() for _ in range(n_outputs)]
        self._nodes.append(helper.make_node(kind, names, outputs, **attributes))
        if is_shared:
            self._known[key] = outputs
        return outputs

    def cast(self, value: Value, kind: int) -> Value:
        return self.op("Cast", value, to=kind)

    def slice(self, value: Value, start: int, end: int | None, axis: int) -> Value:
        """`value[start:end]` along an axis, negative bounds from its end."""
        last = np.iinfo(np.int64).max if end is None else end
        return self.op("Slice", value, ints(start), ints(int(last)), ints(axis))

    def size(self, value: Value, axis: int) -> Value:
        """The length of an axis: int64 [1]."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def range(self, count: Value) -> Value:
        """0, 1, 2, .. [count] of a count [1]."""
        n = self.op("Squeeze", count)
        return self.op("Range", scalar(0, np.int64), n, scalar(1, np.int64))

    def pick(self, values: Value, positions: Value) -> Value:
        """Rows' own positions: values [batch, time, ..], positions [batch, k] -> [batch, k, ..]."""
        return self.op("GatherND", values, self.op("Unsqueeze", positions, ints(-1)), batch_dims=1)

    def loop(
        self,
        n_trips: Value,
        carried: Sequence[Value],
        body: Callable[["Builder", Value, list[Value]], tuple[list[Value], Value]],
    ) -> Value:
        """Runs a body again and again.

        Args:
            n_trips: int64 [1].
            carried: float32 values that each trip gets from the one before.
            body: from the body's own builder, the trip's number (from 0) and what is carried to what is carried on
                and what is kept of the trip, [batch, block].

        Returns:
            What was kept, float32 [trips, batch, block].
        """
        inner = Builder(self)
        number, going = inner._name(), inner._name()
        names = [inner._name() for _ in carried]
        next_values, kept = body(inner, number, names)
        outputs = [inner.op("Identity", value) for value in (going, *next_values, kept)]
        graph = helper.make_graph(
            inner._nodes,
            "body",
            [_info(number, INT64, []), _info(going, BOOL, []), *(_info(name, FLOAT) for name in names)],
            [
                _info(outputs[0], BOOL, []),
                *(_info(name, FLOAT) for name in outputs[1:-1]),
                # Without trips nothing else would tell the rank of what was kept.
                _info(outputs[-1], FLOAT, ["batch", "block"]),
            ],
        )
        trips = self.op("Squeeze", n_trips)
        return self.ops("Loop", len(carried) + 1, trips, None, *carried, body=graph)[-1]

    def scan(self, state: Value, values: Value, body: Callable[["Builder", Value, Value], Value]) -> Value:
        """Runs a body along time.

        Args:
            state: float32, what the first step gets.
            values: float32 [time, ..].
            body: from the body's own builder, the state and one step's values to the next state.

        Returns:
            The states [time, ..].
        """
        inner = Builder(self)
        before, value = inner._name(), inner._name()
        after = body(inner, before, value)
        kept = inner.op("Identity", after)
        graph: GraphProto = helper.make_graph(
            inner._nodes,
            "body",
            [_info(before, FLOAT), _info(value, FLOAT)],
            [_info(after, FLOAT), _info(kept, FLOAT)],
        )
        return self.ops("Scan", 2, state, values, body=graph, num_scan_inputs=1)[1]

    def model(self, inputs: dict[str, tuple[int, list[Any]]], outputs: dict[str, tuple[Value, int]]) -> bytes:
        """The finished graph.

        Args:
            inputs: by name their element type and shape, in which a word stands for any length.
            outputs: by name the value and its element type.
        """
        for name, (value, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self._nodes,
            "forecast",
            [_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [_info(name, kind) for name, (_, kind) in outputs.items()],
            initializer=list(self._constants.values()),
        )
        model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPERATOR_SET)])
        model.ir_version = REPRESENTATION
        return model.SerializeToString()

    def _input(self, value: Input) -> str:
        if value is None:
            return ""
        return value if isinstance(value, str) else self._constant(value)

    def _constant(self, array: NDArray[Any]) -> str:
        constants = self._root._constants
        key = (array.dtype, array.shape, array.tobytes())
        if key not in constants:
            constants[key] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), self._name())
        return constants[key].name

    def _name(self) -> str:
        self._root._n_names += 1
        return f"v{self._root._n_names}"


def _info(name: str, kind: int, shape: list[Any] | None = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)
