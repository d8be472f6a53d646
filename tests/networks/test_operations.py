"""One network, and four libraries that compute it."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import PanelData, Recipe
from service.networks.jax_operations import JaxOperations
from service.networks.network import Network
from service.networks.onnx_graph import FLOAT
from service.networks.onnx_operations import OnnxOperations
from service.networks.operations import NumPyOperations
from service.networks.tensorflow_operations import TensorFlowOperations
from tests.networks.samples import Array, answer, calm, recipe_of, series

# Beside every preset with its own head, those of other heads, and what normalises.
CHOICES: list[dict[str, Any]] = [
    *({"architecture": name} for name in PRESETS),
    {"architecture": "gru", "head": "one_step"},
    {"architecture": "conv_gru", "head": "vector"},
    {"architecture": "wavenet", "head": "vector", "normalization": "batch"},
    {"architecture": "linear", "head": "sequence"},
    {"architecture": "flagship", "head": "sequence"},
    {"architecture": "lstm", "normalization": "layer"},
    {"architecture": "deep_rnn", "readout": "dense", "normalization": "batch"},
    {"architecture": "theta_mlp", "season": 7, "focus": 15},
]


def own(recipe: Recipe) -> Recipe:
    """The recipe for series of one's own, whose windows are padded."""
    return replace(recipe, data=PanelData("series", "kept", "digest", 3, 180, None))


def by_jax(network: Network, x: Array) -> Array:
    places = {id(variable): i for i, variable in enumerate(network.weights)}
    forward = jax.jit(lambda weights, x: network.forward(JaxOperations(places, weights, None), x))
    return np.asarray(forward(network.get_weights(), x))


def by_tensorflow(network: Network, x: Array) -> Array:
    forward = tf.function(lambda x: network.forward(TensorFlowOperations(), x), autograph=False)
    return np.asarray(forward(tf.constant(x)))


def by_onnx(network: Network, x: Array) -> Array:
    xp = OnnxOperations()
    forecast = network.forward(xp, xp.traced("series"))
    model = xp.graph.model({"series": (FLOAT, ["batch", "time"])}, {"forecast": (forecast.name, FLOAT)})
    return np.asarray(onnxruntime.InferenceSession(model).run(None, {"series": x})[0])


def assert_close(found: Any, expected: Any, share: float = 2e-5) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * max(1e-3, float(np.abs(expected).max())))


@pytest.mark.parametrize("options", CHOICES, ids=lambda options: "-".join(map(str, options.values())))
def test_every_library_gives_the_same_answers(options: dict[str, Any]) -> None:
    recipe = recipe_of(**options)
    network, x = calm(recipe), series(3, recipe.window)
    expected = answer(network, x)
    assert expected.dtype == np.float32
    for by in (by_jax, by_tensorflow, by_onnx):
        assert_close(by(network, x), expected)


# One of each backbone and of each cell.
PADDED = ("simple_rnn", "ln_rnn", "lstm", "gru", "conv_gru", "wavenet", "encoder_decoder")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in PADDED else pytest.mark.exhaustive)
        for name, preset in PRESETS.items()
        if not preset.is_fixed_length
    ],
)
def test_padded_windows_are_answered_as_each_alone(name: str) -> None:
    recipe = recipe_of(architecture=name, head=PRESETS[name].head)
    padded = own(recipe)
    network, x = calm(padded), series(4, recipe.window)
    lengths = [recipe.window, 31, 17, recipe.min_length]
    for row, length in zip(x, lengths, strict=True):
        row[length:] = np.nan
    alone = calm(recipe)
    for by in (answer, by_jax, by_tensorflow):
        found = by(network, x)
        for row, length, got in zip(x, lengths, found, strict=True):
            expected = answer(alone, row[None, :length])[0]
            assert_close(got[: len(expected)] if expected.ndim == 2 else got, expected)


# A transformer begins anew with each block.
@pytest.mark.parametrize("name", [name for name in PRESETS if name != "patchtst"])
def test_resuming_after_a_block_is_beginning_with_the_whole_series(name: str) -> None:
    recipe = recipe_of(architecture=name)
    network, xp = calm(recipe), NumPyOperations()
    x = series(3, recipe.window + 20)
    # A block that fits a stride of two.
    _, state = network.begin(xp, x[:, :-20], None)
    for first in range(recipe.window, recipe.window + 20, 4):
        found, state = network.resume(xp, x[:, first : first + 4], state)
    assert_close(found, network.begin(xp, x, None)[0])


@pytest.mark.parametrize("head", ["one_step", "vector"])
@pytest.mark.parametrize("name", ["gru", "wavenet", "flagship"])
def test_the_forecast_from_the_last_point_is_a_sequence_heads_last_answer(name: str, head: Any) -> None:
    recipe = recipe_of(architecture=name, head=head)
    network, x = calm(recipe), series(3, recipe.window)
    features, _ = network.backbone.steps(NumPyOperations(), x, None)
    assert_close(answer(network, x), network.head.forward(NumPyOperations(), features[:, -1]))
