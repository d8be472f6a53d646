"""What the recurrent layers of a version compute inside: the gates and states at every step of one series.

The native operators of a graph tell their outputs alone. So these, and what each layer reads, are made outputs of the
graph, and the gates follow from them and the weights by the operators' own equations:
https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html and onnx__RNN.html.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engines.engine import Array
from service.engines.onnx import MOST_GRAPH_BYTES, graph_path, open_session
from service.errors import VersionDamaged
from service.storage.regular_files import read_regular
from service.store.manifest import Manifest

Kind = Literal["lstm", "gru", "simple"]
Floats = NDArray[np.float64]
_KINDS: dict[str, Kind] = {"LSTM": "lstm", "GRU": "gru", "RNN": "simple"}
VALUES: dict[Kind, tuple[str, ...]] = {
    "lstm": ("input_gate", "forget_gate", "output_gate", "candidate", "cell_state", "hidden_state"),
    "gru": ("update_gate", "reset_gate", "candidate", "hidden_state"),
    "simple": ("hidden_state",),
}


class NoRecurrentLayers(ValueError):
    """The graph has no recurrent operators."""


class LayerActivations(NamedTuple):
    """A layer's values by name, each float32 [steps, units]."""

    kind: Kind
    values: dict[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """A recurrent operator: its weights in the operator's order of gates, and the names of what it reads and gives.

    `kernel` is [gates * units, features], `recurrent` [gates * units, units], the biases [gates * units] each.
    """

    kind: Kind
    kernel: Floats
    recurrent: Floats
    bias: Floats
    recurrent_bias: Floats
    reads: str
    gives: str

    @property
    def units(self) -> int:
        return int(self.recurrent.shape[1])


class RecurrentGraph:
    """A version's forecast graph, from which its recurrent layers can be read. Thread-safe."""

    def __init__(self, content: bytes) -> None:
        """Args: `content` is that of a graph of `service.training.export.onnx_export`.

        Raises:
            NoRecurrentLayers.
        """
        # Not when the process starts: few requests need it.
        import onnx

        model = onnx.load_from_string(content)
        graph = model.graph
        nodes = [node for node in graph.node if node.op_type in _KINDS]
        if not nodes:
            raise NoRecurrentLayers
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._layers = [_read_layer(node, weights) for node in nodes]
        self._input = _find_input(graph, self._layers[0].reads)
        wanted = dict.fromkeys([self._input, *(name for layer in self._layers for name in (layer.reads, layer.gives))])
        self._outputs = list(wanted)
        # What only the forecast needs is not computed.
        del graph.output[:]
        graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted)
        self._session = open_session(model.SerializeToString())

    @property
    def values_per_step(self) -> int:
        """How many numbers the activations of one step are."""
        return sum(layer.units * len(VALUES[layer.kind]) for layer in self._layers)

    def run(self, series: Array) -> tuple[Array, list[LayerActivations]]:
        """What the first layer reads of a series, and the activations of each recurrent layer, in order.

        Args:
            series: float32 [time], normalized as `service.domain.normalization` does.

        Returns:
            float32 [points], and activations of as many steps, or fewer behind a strided convolution.
        """
        inputs = {"series": series[None], "lengths": np.array([len(series)], np.int32)}
        found = dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))
        layers = []
        for layer in self._layers:
            x = np.asarray(found[layer.reads][:, 0], np.float64)  # [steps, features]
            hidden = np.asarray(found[layer.gives][:, 0, 0], np.float64)  # [steps, units]
            values = dict(zip(VALUES[layer.kind], _STEPS[layer.kind](layer, x, hidden), strict=True))
            layers.append(LayerActivations(layer.kind, {name: one.astype(np.float32) for name, one in values.items()}))
        return np.asarray(found[self._input][0], np.float32), layers


def load_recurrent_graph(folder: Path, manifest: Manifest) -> RecurrentGraph:
    """The recurrent layers of a version that has fast graphs. Blocks.

    Raises:
        NoRecurrentLayers.
        VersionDamaged: its graph is not what was published.
    """
    path = graph_path("forecast")
    damaged = VersionDamaged(
        f"Version {manifest.version} of {manifest.name!r} is damaged: {path} is not what was published. Train it "
        "again, or restore the file."
    )
    try:
        content = read_regular(folder / path, MOST_GRAPH_BYTES)
    except OSError as error:
        raise damaged from error
    if hashlib.sha256(content).hexdigest() != manifest.files[path]:
        raise damaged
    return RecurrentGraph(content)


def _read_layer(node: Any, weights: Mapping[str, NDArray[np.float32]]) -> _Layer:
    kernel, recurrent, both = (np.asarray(weights[name][0], np.float64) for name in node.input[1:4])
    bias, recurrent_bias = np.split(both, 2)
    return _Layer(_KINDS[node.op_type], kernel, recurrent, bias, recurrent_bias, node.input[0], node.output[0])


def _find_input(graph: Any, name: str) -> str:
    """The value [batch, time] that the network reads: the last one in which padding was cleared."""
    made_by = {output: node for node in graph.node for output in node.output}
    while (node := made_by.get(name)) is not None and node.op_type != "Where":
        name = node.input[0]
    return name


def _compute_lstm(layer: _Layer, x: Floats, hidden: Floats) -> Iterator[Floats]:
    """`c = f c + i g`, `h = o tanh(c)`; the operator's gates are i, o, f, g."""
    linear = x @ layer.kernel.T + _before(hidden) @ layer.recurrent.T + layer.bias + layer.recurrent_bias
    into, out, forget, candidate = np.split(linear, 4, axis=1)
    into, out, forget, candidate = _sigmoid(into), _sigmoid(out), _sigmoid(forget), np.tanh(candidate)
    cells = np.empty_like(hidden)
    cell = np.zeros(layer.units)
    for step in range(len(x)):
        cell = cells[step] = forget[step] * cell + into[step] * candidate[step]
    return iter((into, forget, out, candidate, cells, out * np.tanh(cells)))


def _compute_gru(layer: _Layer, x: Floats, hidden: Floats) -> Iterator[Floats]:
    """`h = z h + (1 - z) g`, the reset gate after the product (`linear_before_reset`); the gates are z, r, g."""
    before = _before(hidden)
    projected = np.split(x @ layer.kernel.T + layer.bias, 3, axis=1)
    product = np.split(before @ layer.recurrent.T + layer.recurrent_bias, 3, axis=1)
    update, reset = _sigmoid(projected[0] + product[0]), _sigmoid(projected[1] + product[1])
    candidate = np.tanh(projected[2] + reset * product[2])
    return iter((update, reset, candidate, update * before + (1 - update) * candidate))


def _compute_simple(layer: _Layer, x: Floats, hidden: Floats) -> Iterator[Floats]:
    """`h = tanh(W x + U h + b)`."""
    linear = x @ layer.kernel.T + _before(hidden) @ layer.recurrent.T + layer.bias + layer.recurrent_bias
    return iter((np.tanh(linear),))


_STEPS = {"lstm": _compute_lstm, "gru": _compute_gru, "simple": _compute_simple}


def _before(hidden: Floats) -> Floats:
    """The hidden state that each step begins with: [steps, units]."""
    return np.concatenate([np.zeros_like(hidden[:1]), hidden[:-1]])


def _sigmoid(x: Floats) -> Floats:
    # Without an overflow at either end.
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))
