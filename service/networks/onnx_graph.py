"""Building ONNX graphs: operators as calls, arrays as constants, loops with bodies of their own."""

from collections.abc import Callable, Iterable, Sequence
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
        self._outer = outer
        # The names of values that belong to this graph, and not to one around it.
        self._own: set[str] = set()
        self._nodes: list[NodeProto] = []
        self._constants: dict[Any, TensorProto] = {}
        self._known: dict[Any, list[Value]] = {}
        # What made each value: operator, inputs, attributes.
        self._makers: dict[str, tuple[str, list[str], dict[str, Any]]] = {}
        self._n_names = 0

    def op(self, kind: str, *inputs: Input, **attributes: Any) -> Value:
        """The first output of an operator."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, n_outputs: int, *inputs: Input, **attributes: Any) -> list[Value]:
        """The first outputs of an operator."""
        names = [self._input(value) for value in inputs]
        # A loop stands by itself, and an identity is there for the sake of its own name.
        is_shared = "body" not in attributes and kind != "Identity"
        if is_shared and self._outer is not None and self._own.isdisjoint(names):
            # What no trip changes is computed before the loop.
            return self._outer.ops(kind, n_outputs, *names, **attributes)
        key = (kind, n_outputs, *names, repr(sorted(attributes.items()))) if is_shared else None
        if key in self._known:
            return self._known[key]
        shortcut = self._shortcut(kind, names, attributes)
        if shortcut is not None:
            return [shortcut]
        outputs = [self._name() for _ in range(n_outputs)]
        self._nodes.append(helper.make_node(kind, names, outputs, **attributes))
        self._makers[outputs[0]] = (kind, names, attributes)
        if is_shared:
            self._known[key] = outputs
        return outputs

    def _shortcut(self, kind: str, names: list[str], attributes: dict[str, Any]) -> str | None:
        """A value that is there already, or takes an operator less: what is changed back, an axis of one that moves."""
        before, inputs, how = self._makers.get(names[0] if names else "", ("", [], {}))
        if kind == before == "Transpose" and [how["perm"][i] for i in attributes["perm"]] == sorted(how["perm"]):
            return inputs[0]
        if {kind, before} == {"Squeeze", "Unsqueeze"} and names[1:] == inputs[1:]:
            return inputs[0]
        is_one_step = before == "Unsqueeze" and inputs[1] == self._constant(ints(1))
        if kind == "Transpose" and is_one_step and attributes["perm"] == [1, 0, 2]:
            # Features of one step: the axis of time comes first at once.
            return self.op("Unsqueeze", inputs[0], ints(0))
        return None

    def cast(self, value: Value, kind: int) -> Value:
        return self.op("Cast", value, to=kind)

    def loop(
        self,
        n_trips: Input,
        carried: Sequence[Value],
        body: Callable[["Builder", Value, list[Value]], tuple[list[Value], Value]],
    ) -> Value:
        """Runs a body again and again.

        Args:
            n_trips: int64 [].
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
            _needed(inner._nodes, outputs),
            "body",
            [_info(number, INT64, []), _info(going, BOOL, []), *(_info(name, FLOAT) for name in names)],
            [
                _info(outputs[0], BOOL, []),
                *(_info(name, FLOAT) for name in outputs[1:-1]),
                # Without trips nothing else would tell the rank of what was kept.
                _info(outputs[-1], FLOAT, ["batch", "block"]),
            ],
        )
        return self.ops("Loop", len(carried) + 1, n_trips, None, *carried, body=graph)[-1]

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
            _needed(inner._nodes, [after, kept]),
            "body",
            [_info(before, FLOAT), _info(value, FLOAT)],
            # A loop around it tells nothing of the state's rank, which it must know.
            [_info(name, FLOAT, ["batch", "units"]) for name in (after, kept)],
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
        nodes = _needed(self._nodes, outputs)
        read = {name for node in nodes for name in _reads(node)}
        graph = helper.make_graph(
            nodes,
            "forecast",
            [_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [_info(name, kind) for name, (_, kind) in outputs.items()],
            initializer=[constant for constant in self._constants.values() if constant.name in read],
        )
        model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPERATOR_SET)])
        model.ir_version = REPRESENTATION
        serialized: bytes = model.SerializeToString()
        return serialized

    def _input(self, value: Input) -> str:
        if value is None:
            return ""
        return value if isinstance(value, str) else self._constant(value)

    def _constant(self, array: NDArray[Any]) -> str:
        constants = self._root._constants
        key = (array.dtype, array.shape, array.tobytes())
        if key not in constants:
            constants[key] = numpy_helper.from_array(
                np.ascontiguousarray(array).reshape(array.shape), self._root._name()
            )
        return constants[key].name

    def _name(self) -> str:
        self._root._n_names += 1
        name = f"v{self._root._n_names}"
        self._own.add(name)
        return name


def _info(name: str, kind: int, shape: list[Any] | None = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _reads(node: NodeProto) -> set[str]:
    """The names of values that an operator reads, those of its loop's body among them."""
    names = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= _reads(inner)
        names |= {output.name for output in attribute.g.output}
    return names


def _needed(nodes: Sequence[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
    """The operators that outputs depend on, in their order."""
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= _reads(node)
    return kept[::-1]
