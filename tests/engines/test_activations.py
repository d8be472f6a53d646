"""The gates and states of recurrent layers are those that the graph itself computes."""

from dataclasses import replace
from functools import cache
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from service.domain.recipes.recipe import Recipe
from service.domain.recipes.resolve import resolve
from service.engines.activations import VALUES, NoRecurrentLayers, RecurrentGraph
from service.engines.onnx import open_session
from service.networks.network import Network
from service.training.export.onnx_export import make_onnx_graphs
from tests.networks.samples import fresh

OPERATORS = ("LSTM", "GRU", "RNN")
REQUESTS: dict[str, dict[str, Any]] = {
    "lstm": {"architecture": "lstm"},
    "one layer": {"architecture": "lstm", "layers": 1, "units": 3},
    "deep and normalised": {"architecture": "lstm", "layers": 4, "units": 9, "normalization": "layer"},
    "scaled": {"architecture": "lstm", "scaling": "standard", "normalization": "batch"},
    "gru": {"architecture": "gru"},
    "deep gru": {"architecture": "gru", "layers": 3, "units": 12, "scaling": "mean", "head": "vector"},
    "behind a convolution": {"architecture": "conv_gru", "scaling": "robust"},
    "encoder": {"architecture": "encoder_decoder"},
    "recurrent readout": {"architecture": "deep_rnn"},
    "simple": {"architecture": "sequence_rnn", "scaling": "standard"},
}
SERIES = np.random.default_rng(3).normal(size=50).astype(np.float32).cumsum(dtype=np.float32)


@cache
def build(name: str) -> tuple[Recipe, Network, bytes]:
    recipe = resolve(REQUESTS[name])
    network = fresh(recipe)
    # Biases begin at zero, where one that is left out, or applied at another place, would not show.
    rng = np.random.default_rng(5)
    network.set_weights([w + 0.3 * rng.normal(size=w.shape).astype(np.float32) for w in network.get_weights()])
    return recipe, network, make_onnx_graphs([network], recipe)["forecast"]


def outputs_of_nodes(graph: bytes, series: np.ndarray) -> list[np.ndarray]:
    """What the recurrent operators of a graph compute: hidden states [steps, units], of LSTM the last cell too."""
    model = onnx.load_from_string(graph)
    nodes = [node for node in model.graph.node if node.op_type in OPERATORS]
    wanted = [name for node in nodes for name in node.output]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted)
    inputs = {"series": series[None], "lengths": np.array([len(series)], np.int32)}
    found = open_session(model.SerializeToString()).run(wanted, inputs)
    # Hidden states are [steps, 1, 1, units], last states [1, 1, units].
    return [one[:, 0, 0] if one.ndim == 4 else one[0, 0] for one in found]


@pytest.mark.parametrize("name", REQUESTS)
def test_states_from_the_gates_are_those_of_the_graph(name: str) -> None:
    _, _, graph = build(name)
    read, layers = RecurrentGraph(graph).run(SERIES)
    expected = iter(outputs_of_nodes(graph, SERIES))
    for kind, values in layers:
        hidden = next(expected)
        assert tuple(values) == VALUES[kind]
        assert {array.shape for array in values.values()} == {hidden.shape}
        assert all(array.dtype == np.float32 for array in values.values())
        np.testing.assert_allclose(values["hidden_state"], hidden, rtol=0, atol=1e-5)
        np.testing.assert_allclose(values["hidden_state"][-1], next(expected), rtol=0, atol=1e-5)
        if kind == "lstm":
            np.testing.assert_allclose(values["cell_state"][-1], next(expected), rtol=1e-5, atol=1e-5)
        for gate in ("input_gate", "forget_gate", "output_gate", "update_gate", "reset_gate"):
            if gate in values:
                assert 0 <= values[gate].min() < values[gate].max() <= 1
        assert np.abs(values["hidden_state"]).max() > 0.01
    assert next(expected, None) is None
    assert read.shape == SERIES.shape


@pytest.mark.parametrize("name", ["one layer", "deep gru", "simple"])
def test_gates_are_those_of_keras_cells(name: str) -> None:
    """Keras' own equations and order of gates, from the layer's input on."""
    recipe, network, graph = build(name)
    _, layers = RecurrentGraph(graph).run(SERIES)
    read, _ = RecurrentGraph(graph).run(SERIES)
    cell = network.backbone.cells[0].cell
    kind, values = layers[0]
    state = [np.zeros((1, recipe.units), np.float32)] * (2 if kind == "lstm" else 1)
    for step, value in enumerate(read):
        kernel, recurrent = (np.asarray(w) for w in (cell.kernel, cell.recurrent_kernel))
        if kind == "lstm":
            linear = value * kernel[0] + state[0][0] @ recurrent + np.asarray(cell.bias)
            into, forget, candidate, out = np.split(linear, 4)
            expected = {"input_gate": into, "forget_gate": forget, "output_gate": out}
            for gate, one in expected.items():
                np.testing.assert_allclose(values[gate][step], keras.ops.sigmoid(one), atol=1e-5)
            np.testing.assert_allclose(values["candidate"][step], np.tanh(candidate), atol=1e-5)
        elif kind == "gru":
            bias, second = np.asarray(cell.bias)
            update, reset, _ = np.split(value * kernel[0] + bias + state[0][0] @ recurrent + second, 3)
            np.testing.assert_allclose(values["update_gate"][step], keras.ops.sigmoid(update), atol=1e-5)
            np.testing.assert_allclose(values["reset_gate"][step], keras.ops.sigmoid(reset), atol=1e-5)
        _, state = cell(np.full((1, 1), value, np.float32), state)
        state = [np.asarray(one) for one in state]
        np.testing.assert_allclose(values["hidden_state"][step], state[0][0], atol=1e-5)
        if kind == "lstm":
            np.testing.assert_allclose(values["cell_state"][step], state[1][0], atol=1e-5)


def test_the_input_is_what_the_network_reads() -> None:
    plain, _ = RecurrentGraph(build("lstm")[2]).run(SERIES)
    np.testing.assert_array_equal(plain, SERIES)
    for name in ("scaled", "simple"):
        scaled, _ = RecurrentGraph(build(name)[2]).run(SERIES)
        np.testing.assert_allclose(scaled, (SERIES - SERIES.mean()) / SERIES.std(), atol=1e-5)
    robust, layers = RecurrentGraph(build("behind a convolution")[2]).run(SERIES)
    assert np.corrcoef(robust, SERIES)[0, 1] == pytest.approx(1)
    assert [len(values["hidden_state"]) for _, values in layers] == [24, 24]


def test_of_a_model_that_learns_differences_they_are_the_input() -> None:
    recipe = replace(resolve({"architecture": "lstm"}), difference="seasonal", season=12)
    read, layers = RecurrentGraph(make_onnx_graphs([fresh(recipe)], recipe)["forecast"]).run(SERIES)
    # Padding takes the place of the first season.
    np.testing.assert_allclose(read[: 50 - 12], SERIES[12:] - SERIES[:-12], atol=1e-5)
    assert [len(values["hidden_state"]) for _, values in layers] == [len(read)] * 2


def test_series_of_other_lengths_are_read_by_the_same_graph() -> None:
    graph = RecurrentGraph(build("lstm")[2])
    for length in (1, 2, 50, 300):
        series = np.resize(SERIES, length)
        read, layers = graph.run(series)
        np.testing.assert_array_equal(read, series)
        assert all(len(values["hidden_state"]) == length for _, values in layers)


@pytest.mark.parametrize("architecture", ["ln_rnn", "linear", "wavenet"])
def test_graphs_without_recurrent_operators_are_refused(architecture: str) -> None:
    recipe = resolve({"architecture": architecture})
    with pytest.raises(NoRecurrentLayers):
        RecurrentGraph(make_onnx_graphs([fresh(recipe)], recipe)["forecast"])
