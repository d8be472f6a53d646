"""Recurrent layers as native operators or, where there is none or a slow one, as scans.

The native operator of a simple cell computes its tanh one value at a time: for many rows a scan is faster (two layers
of 20 units and 50 steps: 0.12 ms against 0.15 at 8 rows, 0.7 against 2.8 at 128). The operators of gated cells a scan
does not beat.

Sequences are [time, batch, features] here, as the operators want them; a layer's state is [1, batch, units].
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.training.translation.builder import INT32, Builder, Value, ints, scalar
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

    def run(
        self, b: Builder, x: Value, state: State | None, lengths: Value | None, *, scan: bool = False
    ) -> tuple[Value, State]:
        """Reads a sequence.

        Args:
            x: [time, batch, features].
            state: where to begin; None for zeros.
            lengths: int64 [batch], each row's own steps; None where all count.
            scan: whether a simple cell is a scan.

        Returns:
            The output at every step [time, batch, units], anything after a row's own; the state after its last.
        """
        if isinstance(self._cell, LayerNormSimpleRNNCell) or (scan and self._operator == "RNN"):
            return self._scan(b, x, state, lengths)
        return self._run(b, x, state, lengths)

    def _run(self, b: Builder, x: Value, state: State | None, lengths: Value | None) -> tuple[Value, State]:
        """The native operator."""
        outputs = b.ops(
            self._operator,
            1 + self.n_states,
            x,
            *self._weights,
            None if lengths is None else b.cast(lengths, INT32),
            *(state or []),
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
        norm = getattr(self._cell, "layer_norm", None)

        def step(inner: Builder, before: Value, value: Value) -> Value:
            return inner.op("Tanh", normalize(inner, inner.op("Gemm", before, recurrent, value), norm))

        if state is None:
            before = b.op("Expand", scalar(0), b.op("Concat", b.size(projected, 1), ints(self.units), axis=0))
        else:
            before = b.op("Squeeze", state[0], ints(0))
        states = b.scan(before, projected, step)
        if lengths is None:
            return states, [b.slice(states, -1, None, 0)]
        ends = b.op("Sub", lengths, scalar(1, np.int64))
        places = [b.op("Unsqueeze", positions, ints(1)) for positions in (ends, b.range(b.size(states, 1)))]
        last = b.op("GatherND", states, b.op("Concat", *places, axis=1))  # [batch, units]
        return states, [b.op("Unsqueeze", last, ints(0))]


class RecurrentStack:
    """A stack of recurrent layers with what normalises between them: `service.zoo.recurrent.RecurrentBody`."""

    def __init__(self, body: RecurrentBody, *, many: bool) -> None:
        """Args: `many` is whether batches are large."""
        self._many = many
        self._layers = [RecurrentLayer(layer.cell) for layer in body.recurrent]
        self._norms = body.norms

    def run(self, b: Builder, x: Value, state: State | None, lengths: Value | None) -> tuple[Value, Value, State]:
        """As `RecurrentLayer.run`, through all layers; after the outputs the features [batch, units] after the last."""
        after: State = []
        for i, (layer, norm) in enumerate(zip(self._layers, self._norms, strict=True)):
            n = layer.n_states
            own = None if state is None else state[i * n : (i + 1) * n]
            x, layer_state = layer.run(b, x, own, lengths, scan=self._many and state is None)
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
