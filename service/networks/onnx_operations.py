"""Networks as operators of an ONNX graph. What depends on weights and numbers alone is computed when it is built."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from service.networks.onnx_cells import native_operator
from service.networks.onnx_graph import BOOL, DOUBLE, FLOAT, INT32, INT64, Builder, ints, scalar
from service.networks.onnx_tensor import Traced
from service.networks.operations import CellWeights, LoopStep, NumPyOperations, ScanStep, State, Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

KINDS = {"float32": FLOAT, "float64": DOUBLE, "int32": INT32, "int64": INT64, "bool": BOOL}
# A trip of a loop by itself costs as much as several operators. Behind the first step one trip makes the ten of an
# autoregression without a horizon.
STEPS_PER_TRIP = 9


def _unary(kind: str, function: Callable[[Any], Any]) -> Callable[["OnnxOperations", Any], Any]:
    """An operator of one value, and what computes it of an array."""
    return lambda xp, x: xp.op(kind, x, dtype=x.dtype) if isinstance(x, Traced) else function(x)


def _reduction(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """An operator along an axis, and what computes it of an array."""

    def reduce(xp: "OnnxOperations", x: Any, axis: int, keepdims: bool = False) -> Any:
        if not isinstance(x, Traced):
            return function(x, axis=axis, keepdims=keepdims)
        return xp.op(kind, x, ints(axis), dtype=x.dtype, keepdims=int(keepdims))

    return reduce


class OnnxOperations(NumPyOperations):
    """Operators for traced values; what none of them takes part in is left to NumPy."""

    steps_per_trip = STEPS_PER_TRIP
    folds_weights = True

    def __init__(self, *, many: bool = False) -> None:
        """Args: `many` is whether batches are large."""
        super().__init__()
        self.graph = Builder()
        self._many = many

    def traced(self, name: str, dtype: str = "float32") -> Traced:
        return Traced(self, name, dtype)

    def binary(self, kind: str, x: Any, y: Any, dtype: str | None = None) -> Traced:
        """An operator of two values of one type; numbers and arrays take that of the traced one."""
        common = _dtype_of(x, y)
        return self.op(kind, self._constant(x, common), self._constant(y, common), dtype=dtype or common)

    def slice(self, x: Traced, index: tuple[Any, ...]) -> Traced:
        """`x[index]` of slices, integers, `None` and one ellipsis."""
        starts, ends, axes, gathered, added = [], [], [], [], []
        after = len(index) - index.index(Ellipsis) - 1 if Ellipsis in index else None
        axis = out = 0
        for part in index:
            if part is Ellipsis:
                assert after is not None
                axis = -after
            elif part is None:
                added.append(out)
                out += 1
            elif isinstance(part, slice):
                if part.start is not None or part.stop is not None:
                    starts.append(0 if part.start is None else part.start)
                    ends.append(np.iinfo(np.int64).max if part.stop is None else part.stop)
                    axes.append(axis)
                axis, out = axis + 1, out + 1
            else:
                gathered.append((axis, part))
                axis += 1
        if axes:
            x = self.op("Slice", x, self._shape(starts), self._shape(ends), ints(*axes), dtype=x.dtype)
        for axis, place in reversed(gathered):
            x = self.op("Gather", x, np.array(place, np.int64), dtype=x.dtype, axis=axis)
        return self.op("Unsqueeze", x, ints(*added), dtype=x.dtype) if added else x

    def size(self, x: Any, axis: int) -> Any:
        if not isinstance(x, Traced):
            return x.shape[axis]
        end = {} if axis == -1 else {"end": axis + 1}
        shape = self.op("Shape", x, dtype="int64", start=axis, **end)
        return self.op("Squeeze", shape, ints(0), dtype="int64")

    def cast(self, x: Any, dtype: str) -> Any:
        # Integers are of 64 bits, as most operators want them.
        dtype = "int64" if dtype == "int32" else dtype
        if not isinstance(x, Traced):
            return np.asarray(x).astype(dtype)
        return x if x.dtype == dtype else self.op("Cast", x, dtype=dtype, to=KINDS[dtype])

    def arange(self, stop: Any) -> Any:
        if not isinstance(stop, Traced):
            return np.arange(stop)
        return self.op("Range", scalar(0, np.int64), stop, scalar(1, np.int64), dtype="int64")

    def equal(self, x: Any, y: Any) -> Any:
        return self.binary("Equal", x, y, dtype="bool") if _is_traced(x, y) else np.equal(x, y)

    def maximum(self, x: Any, y: Any) -> Any:
        return self.binary("Max", x, y) if _is_traced(x, y) else np.maximum(x, y)

    def minimum(self, x: Any, y: Any) -> Any:
        return self.binary("Min", x, y) if _is_traced(x, y) else np.minimum(x, y)

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        if not _is_traced(condition, x, y):
            return np.where(condition, x, y)
        if isinstance(x, float) and isinstance(y, float) and (x, y) == (1.0, 0.0) and isinstance(condition, Traced):
            # A third of the time.
            return self.cast(condition, "float32")
        dtype = _dtype_of(x, y) if _is_traced(x, y) else "float32"
        return self.op("Where", condition, self._constant(x, dtype), self._constant(y, dtype), dtype=dtype)

    def matmul(self, x: Any, y: Any) -> Any:
        return self.binary("MatMul", x, y) if _is_traced(x, y) else np.matmul(x, y)

    def multiply_add(self, x: Any, weights: Any, addend: Any) -> Any:
        return self.op("Gemm", x, weights, addend, dtype="float32")

    def split(self, x: Any, count: int, axis: int) -> list[Any]:
        return [
            self.traced(part, x.dtype) for part in self.graph.ops("Split", count, x.name, axis=axis, num_outputs=count)
        ]

    def concatenate(self, tensors: Sequence[Any], axis: int) -> Any:
        if not _is_traced(*tensors):
            return np.concatenate(tensors, axis=axis)
        dtype = _dtype_of(*tensors)
        return self.op("Concat", *(self._constant(x, dtype) for x in tensors), dtype=dtype, axis=axis)

    def repeat(self, x: Any, count: int, axis: int) -> Any:
        return self.concatenate([x] * count, axis)

    def take(self, x: Any, indices: Any, axis: int) -> Any:
        if not _is_traced(x, indices):
            return np.take(x, indices, axis=axis)
        return self.op("Gather", x, self._constant(indices, "int64"), dtype=x.dtype, axis=axis)

    def pick(self, values: Any, positions: Any) -> Any:
        positions = self.expand_dims(self._constant(positions, "int64"), -1)
        return self.op("GatherND", values, positions, dtype=values.dtype, batch_dims=1)

    def pick_numbers(self, values: Any, positions: Any) -> Any:
        """A tenth of the time that the general operator takes."""
        return self.op("GatherElements", values, self._constant(positions, "int64"), dtype=values.dtype, axis=1)

    def pad(self, x: Any, before: Any, after: Any, axis: int = 1) -> Any:
        return self.op("Pad", x, self._shape([before, after]), scalar(0), ints(axis), dtype=x.dtype)

    def expand_dims(self, x: Any, axis: int) -> Any:
        if not isinstance(x, Traced):
            return np.expand_dims(x, axis)
        return self.op("Unsqueeze", x, ints(axis), dtype=x.dtype)

    def reshape(self, x: Any, shape: Sequence[Any]) -> Any:
        if not isinstance(x, Traced):
            return np.reshape(x, shape)
        return self.op("Reshape", x, self._shape(shape), dtype=x.dtype)

    def transpose(self, x: Any, axes: Sequence[int]) -> Any:
        if not isinstance(x, Traced):
            return np.transpose(x, axes)
        return self.op("Transpose", x, dtype=x.dtype, perm=list(axes))

    def full(self, shape: Sequence[Any], value: Any) -> Any:
        return self.op("Expand", self._constant(value, "int64"), self._shape(shape), dtype="int64")

    def zeros(self, shape: Sequence[Any], dtype: Any = np.float32) -> Any:
        del dtype
        return self.op("Expand", scalar(0), self._shape(shape), dtype="float32")

    def ones_like(self, x: Any) -> Any:
        return self.op("Expand", scalar(1), self.op("Shape", x, dtype="int64"), dtype="float32")

    def zeros_like(self, x: Any) -> Any:
        return self.op("Expand", scalar(0), self.op("Shape", x, dtype="int64"), dtype="float32")

    def constant(self, x: Any) -> Traced:
        return self.op("Identity", x, dtype="float32")

    def sort(self, x: Any, axis: int) -> Any:
        count = self.op("Shape", x, dtype="int64", start=axis, end=axis + 1)
        ascending = self.graph.ops("TopK", 2, x.name, count.name, axis=axis, largest=0)[0]
        return self.traced(ascending, x.dtype)

    def cumsum(self, x: Any, axis: int) -> Any:
        return self.op("CumSum", x, scalar(axis, np.int64), dtype=x.dtype)

    abs = _unary("Abs", np.abs)
    exp = _unary("Exp", np.exp)
    floor = _unary("Floor", np.floor)
    log = _unary("Log", np.log)
    sqrt = _unary("Sqrt", np.sqrt)
    tanh = _unary("Tanh", np.tanh)
    max = _reduction("ReduceMax", np.max)
    mean = _reduction("ReduceMean", np.mean)
    min = _reduction("ReduceMin", np.min)
    sum = _reduction("ReduceSum", np.sum)

    def relu(self, x: Any) -> Any:
        return self.op("Relu", x, dtype="float32")

    def gelu(self, x: Any) -> Any:
        return self.op("Gelu", x, dtype="float32")

    def sigmoid(self, x: Any) -> Any:
        return self.op("Sigmoid", x, dtype="float32")

    def softmax(self, x: Any) -> Any:
        return self.op("Softmax", x, dtype="float32", axis=-1)

    def layer_normalize(self, x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
        """One operator in place of nine, each of which costs about as much for few rows."""
        return self.op("LayerNormalization", x, gamma, beta, dtype="float32", axis=-1, epsilon=epsilon)

    def recurrent(
        self, weights: CellWeights, x: Tensor, state: State | None, lengths: Tensor | None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Native operators, which a scan does not beat; but for cells that have none, and simple cells for many rows.

        The native operator of a simple cell computes its tanh one value at a time: for many rows a scan is faster (two
        layers of 20 units and 50 steps: 0.12 ms against 0.15 at 8 rows, 0.7 against 2.8 at 128).
        """
        if weights.kind == "layer_norm" or (weights.kind == "simple" and self._many and state is None):
            return super().recurrent(weights, x, state, lengths, mask)
        operator, arrays, attributes = native_operator(weights)
        before = [self.op("Unsqueeze", one, ints(0), dtype="float32").name for one in state or []]
        n_states = 2 if weights.kind == "lstm" else 1
        outputs = self.graph.ops(
            operator,
            1 + n_states,
            self.transpose(x, (1, 0, 2)).name,
            *arrays,
            None if lengths is None else self.graph.cast(lengths.name, INT32),
            *before,
            hidden_size=len(weights.recurrent),
            **attributes,
        )
        steps = self.op("Squeeze", self.traced(outputs[0]), ints(1), dtype="float32")  # [time, batch, units]
        after = [self.op("Squeeze", self.traced(one), ints(0), dtype="float32") for one in outputs[1:]]
        return self.transpose(steps, (1, 0, 2)), after

    def scan(self, step: ScanStep, state: State, values: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        """Of cells with one state, which is the output: the state after a row's own steps is picked from all."""

        def body(inner: Builder, before: str, value: str) -> str:
            outer, self.graph = self.graph, inner
            (after,) = step([self.traced(before)], self.traced(value))
            self.graph = outer
            return str(after.name)

        (begin,) = state
        outputs = self.traced(self.graph.scan(begin.name, values.name, body))
        if lengths is None:
            return outputs, [outputs[-1]]
        rows = self.arange(self.size(outputs, 1))
        ends = self.concatenate([self.expand_dims(lengths - 1, 1), self.expand_dims(rows, 1)], axis=1)  # [batch, 2]
        return outputs, [self.op("GatherND", outputs, ends, dtype="float32")]

    def loop(self, step: LoopStep, state: State, trips: Any, *, width: int) -> Tensor:
        del width

        def body(inner: Builder, trip: str, carried: list[str]) -> tuple[list[str], str]:
            outer, self.graph = self.graph, inner
            after, block = step(self.traced(trip, "int64"), [self.traced(name) for name in carried])
            self.graph = outer
            return [one.name for one in after], str(block.name)

        n_trips = trips.name if isinstance(trips, Traced) else scalar(trips, np.int64)
        blocks = self.graph.loop(n_trips, [one.name for one in state], body)
        return self.transpose(self.traced(blocks), (1, 0, 2))

    def op(self, kind: str, *inputs: Any, dtype: str, **attributes: Any) -> Traced:
        names = [value.name if isinstance(value, Traced) else value for value in inputs]
        return self.traced(self.graph.op(kind, *names, **attributes), dtype)

    def _constant(self, value: Any, dtype: str) -> Any:
        """Numbers and arrays in the type of what stands beside them.

        Raises:
            TypeError: a traced value has another type.
        """
        if not isinstance(value, Traced):
            return np.asarray(value, dtype)
        if value.dtype != dtype:
            raise TypeError(f"a value is {value.dtype}, what it meets is {dtype}: cast one of them")
        return value

    def _shape(self, sizes: Sequence[Any]) -> Any:
        """Lengths or bounds as one array [n]."""
        if not _is_traced(*sizes):
            return ints(*(int(size) for size in sizes))
        parts = [self.expand_dims(self._constant(size, "int64"), 0) for size in sizes]
        return parts[0] if len(parts) == 1 else self.concatenate(parts, axis=0)


def _is_traced(*values: Any) -> bool:
    return any(isinstance(value, Traced) for value in values)


def _dtype_of(*values: Any) -> str:
    return next(value.dtype for value in values if isinstance(value, Traced))
