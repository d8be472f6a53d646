"""Array code as operators: NumPy's names for an ONNX graph, so that one formula serves networks and graphs.

Numbers and float32 arrays beside traced ones become constants.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.training.translation.builder import Builder, Value, ints


class Traced:
    """A value of a graph, with Python's arithmetic."""

    # So that an array on the left leaves the operation to this class.
    __array_ufunc__ = None

    def __init__(self, builder: Builder, value: Value) -> None:
        self.builder = builder
        self.value = value

    def __add__(self, other: Any) -> "Traced":
        return self._op("Add", self, other)

    def __radd__(self, other: Any) -> "Traced":
        return self._op("Add", other, self)

    def __sub__(self, other: Any) -> "Traced":
        return self._op("Sub", self, other)

    def __rsub__(self, other: Any) -> "Traced":
        return self._op("Sub", other, self)

    def __mul__(self, other: Any) -> "Traced":
        return self._op("Mul", self, other)

    def __rmul__(self, other: Any) -> "Traced":
        return self._op("Mul", other, self)

    def __truediv__(self, other: Any) -> "Traced":
        return self._op("Div", self, other)

    def __rtruediv__(self, other: Any) -> "Traced":
        return self._op("Div", other, self)

    def __gt__(self, other: Any) -> "Traced":
        return self._op("Greater", self, other)

    def __lt__(self, other: Any) -> "Traced":
        return self._op("Less", self, other)

    def _op(self, kind: str, *inputs: Any) -> "Traced":
        return Traced(self.builder, self.builder.op(kind, *map(_input, inputs)))


class Arrays:
    """What `numpy` has by these names, for traced values."""

    def __init__(self, builder: Builder) -> None:
        self._b = builder

    def traced(self, value: Value) -> Traced:
        return Traced(self._b, value)

    def expand_dims(self, x: Any, axis: int) -> Traced:
        return self._op("Unsqueeze", x, axes=axis)

    def reshape(self, x: Any, shape: Sequence[int]) -> Traced:
        return self._op("Reshape", x, axes=shape)

    def sum(self, x: Any, axis: int, keepdims: bool = False) -> Traced:
        return self._op("ReduceSum", x, axes=axis, keepdims=int(keepdims))

    def mean(self, x: Any, axis: int, keepdims: bool = False) -> Traced:
        return self._op("ReduceMean", x, axes=axis, keepdims=int(keepdims))

    def min(self, x: Any, axis: int, keepdims: bool = False) -> Traced:
        return self._op("ReduceMin", x, axes=axis, keepdims=int(keepdims))

    def max(self, x: Any, axis: int, keepdims: bool = False) -> Traced:
        return self._op("ReduceMax", x, axes=axis, keepdims=int(keepdims))

    def maximum(self, x: Any, y: Any) -> Traced:
        return self._op("Max", x, y)

    def where(self, condition: Any, x: Any, y: Any) -> Traced:
        return self._op("Where", condition, x, y)

    def matmul(self, x: Any, y: Any) -> Traced:
        return self._op("MatMul", x, y)

    def exp(self, x: Any) -> Traced:
        return self._op("Exp", x)

    def log(self, x: Any) -> Traced:
        return self._op("Log", x)

    def abs(self, x: Any) -> Traced:
        return self._op("Abs", x)

    def _op(self, kind: str, *inputs: Any, axes: Any = None, **attributes: int) -> Traced:
        given = [_input(one) for one in inputs]
        if axes is not None:
            given.append(ints(*np.atleast_1d(axes)))
        return self.traced(self._b.op(kind, *given, **attributes))


def _input(value: Any) -> Any:
    return value.value if isinstance(value, Traced) else np.asarray(value, np.float32)
