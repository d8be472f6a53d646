"""Recurrent layers as native operators, and the layer-normalised cell as a scan.

Sequences are [time, batch, features] here, as the operators want them; a layer's state is [1, batch, units].
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.training.translation.builder import INT64, Builder, Value, ints, scalar
from service.training.translation.layers import normalize
from service.zoo.cells import LayerNormSimpleRNNCell
from service.zoo.recurrent import RecurrentBody

State = list[Value]
# Keras' gates are input, forget, cell, output; the operator's are input, output, forget, cell.
_LSTM_GATES = (0, 3, 1, 2)


class RecurrentLayer:
    """One recurrent layer of Keras."""

    def __init__(self, cell: Any) -> None:
        """Args: `cell` is a built SimpleRNN, LSTM, GRU or layer-normalised cell."""
        self._cell = cell
        self.units = int(cell.units)
        name = type(cell).__name__
        self.n_states = 2 if name == "LSTMCell" else 1
        weights = [np.asarray(w) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)]
        make = {"LSTMCell": _lstm, "GRUCell": _gru}.get(name, _simple)
        self._operator, self._weights, self._attributes = make(*weights)

    def run(self, b: Builder, x: Value, state: State | None, lengths: Value | None) -> tuple[Value, State]:
        """Reads a sequence.

        Args:
            x: [time, batch, features].
            state: where to begin; None for zeros.
            lengths: int32 [batch], each row's own steps; None where all count.

        Returns:
            The output at every step [time, batch, units], anything after a row's own; the state after its last.
        """
        if isinstance(self._cell, LayerNormSimpleRNNCell):
            return self._scan(b, x, state, lengths)
        initial = state or []
        outputs = b.ops(
            self._operator,
            1 + self.n_states,
            x,
            *self._weights,
            lengths,
            *initial,
            hidden_size=self.units,
            **self._attributes,
        )
        return b.op("Squeeze", outputs[0], ints(1)), outputs[1:]

    def _scan(self, b: Builder, x: Value, state: State | None, lengths: Value | None) -> tuple[Value, State]:
        """All products with inputs at once, then one step after the other."""
        kernel, recurrent, bias = (
            np.asarray(w) for w in (self._cell.kernel, self._cell.recurrent_kernel, self._cell.bias)
        )
        projected = b.op("Add", b.op("MatMul", x, kernel), bias)  # [time, batch, units]

        def step(inner: Builder, before: Value, value: Value) -> Value:
            linear = inner.op("Gemm", before, recurrent, value)
            return inner.op("Tanh", normalize(inner, linear, self._cell.layer_norm))

        if state is None:
            before = b.op("Expand", scalar(0), b.op("Concat", b.size(projected, 1), ints(self.units), axis=0))
        else:
            before = b.op("Squeeze", state[0], ints(0))
        states = b.scan(before, projected, step)
        if lengths is None:
            return states, [b.slice(states, -1, None, 0)]
        ends = b.op("Unsqueeze", b.op("Sub", b.cast(lengths, INT64), scalar(1, np.int64)), ints(1))
        last = b.pick(b.op("Transpose", states, perm=[1, 0, 2]), ends)  # [batch, 1, units]
        return states, [b.op("Transpose", last, perm=[1, 0, 2])]


class RecurrentStack:
    """A stack of recurrent layers with what normalises between them: `service.zoo.recurrent.RecurrentBody`."""

    def __init__(self, body: RecurrentBody) -> None:
        self._layers = [RecurrentLayer(layer.cell) for layer in body.recurrent]
        self._norms = body.norms

    def run(self, b: Builder, x: Value, state: State | None, lengths: Value | None) -> tuple[Value, Value, State]:
        """As `RecurrentLayer.run`, through all layers; after the outputs the features [batch, units] after the last."""
        after: State = []
        for i, (layer, norm) in enumerate(zip(self._layers, self._norms, strict=True)):
            n = layer.n_states
            x, layer_state = layer.run(b, x, None if state is None else state[i * n : (i + 1) * n], lengths)
            after += layer_state
            last, x = layer_state[0], normalize(b, x, norm)
            last = normalize(b, last, norm)
        return x, b.op("Squeeze", last, ints(0)), after


Weights = tuple[str, list[NDArray[np.float32]], dict[str, Any]]


def _lstm(kernel: Any, recurrent: Any, bias: Any) -> Weights:
    def arrange(w: Any) -> Any:
        gates = np.split(w, 4, axis=-1)
        return np.concatenate([gates[i] for i in _LSTM_GATES], axis=-1)

    both = np.concatenate([arrange(bias), np.zeros_like(bias)])
    return "LSTM", [arrange(kernel).T[None], arrange(recurrent).T[None], both[None]], {}


def _gru(kernel: Any, recurrent: Any, bias: Any) -> Weights:
    # The gates stand in the same order. Keras applies the reset gate after the recurrent product.
    return "GRU", [kernel.T[None], recurrent.T[None], bias.reshape(1, -1)], {"linear_before_reset": 1}


def _simple(kernel: Any, recurrent: Any, bias: Any) -> Weights:
    both = np.concatenate([bias, np.zeros_like(bias)])
    return "RNN", [kernel.T[None], recurrent.T[None], both[None]], {}
