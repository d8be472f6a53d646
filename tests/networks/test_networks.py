import math
from dataclasses import replace
from typing import Any, get_args

import keras
import numpy as np
import pytest

from service.domain.recipes.options import Initializer
from service.domain.recipes.presets import PRESETS
from service.domain.recipes.resolve import resolve
from service.networks.layers import dense, make_normalization, normalize
from service.networks.network import Network, make_network
from service.networks.onnx_operations import OnnxOperations
from service.networks.operations import NumPyOperations
from service.networks.tensorflow_operations import TensorFlowOperations
from service.networks.wavenet import DilatedConv
from tests.networks.samples import answer, fresh, series

# The chapter's counts of weights, and those of its two topologies in words.
PARAMETERS = {
    "naive": 0,
    "linear": 510,
    "simple_rnn": 3,
    "deep_rnn": 1282,
    "vector_rnn": 1470,
    "sequence_rnn": 1470,
    "ln_rnn": 1550,
    "lstm": 5250,
    "gru": 4110,
    "conv_gru": 5350,
    "wavenet": 6010,
}


def network_of(**request: Any) -> Network:
    keras.utils.set_random_seed(1)
    return make_network(resolve(request))


@pytest.mark.parametrize(("architecture", "count"), PARAMETERS.items())
def test_presets_have_the_chapters_count_of_weights(architecture: str, count: int) -> None:
    assert network_of(architecture=architecture).count_params() == count


def test_other_readouts_have_the_chapters_counts_too() -> None:
    assert network_of(architecture="deep_rnn", readout="dense").count_params() == 1281
    assert network_of(architecture="linear", head="one_step").count_params() == 51


def test_every_row_of_the_chapter_is_a_preset() -> None:
    assert {name for name, preset in PRESETS.items() if preset.in_chapter} == PARAMETERS.keys()


@pytest.mark.parametrize("head", ["one_step", "vector", "sequence"])
@pytest.mark.parametrize("architecture", [name for name, preset in PRESETS.items() if len(preset.heads) == 3])
def test_body_and_head_are_independent_choices(architecture: str, head: str) -> None:
    network = network_of(architecture=architecture, head=head)
    horizon = 1 if head == "one_step" else 10
    answers = answer(network, series(3, 50))
    if head != "sequence":
        assert answers.shape == (3, horizon)
    else:
        kernel, stride = PRESETS[architecture].kernel, PRESETS[architecture].stride
        assert answers.shape == (3, (50 - kernel) // stride + 1, horizon)


# For 20 units: layer normalisation has a scale and a shift for each, batch normalisation two moving statistics beside,
# after both layers, or all eight of WaveNet's. Three layers of 3 units are counted by hand from the gates' matrices.
NORMALIZED = {
    ("vector_rnn", "layer"): 2 * 2 * 20,
    ("vector_rnn", "batch"): 2 * 4 * 20,
    ("lstm", "layer"): 2 * 2 * 20,
    ("lstm", "batch"): 2 * 4 * 20,
    ("gru", "layer"): 2 * 2 * 20,
    ("conv_gru", "batch"): 2 * 4 * 20,
    ("wavenet", "layer"): 8 * 2 * 20,
    ("wavenet", "batch"): 8 * 4 * 20,
}
SMALL = {
    "vector_rnn": (1 + 3 + 1) * 3 + 2 * (3 + 3 + 1) * 3,
    "lstm": 4 * (1 + 3 + 1) * 3 + 2 * 4 * (3 + 3 + 1) * 3,
    "gru": 3 * (1 + 3 + 2) * 3 + 2 * 3 * (3 + 3 + 2) * 3,
    "conv_gru": (4 + 1) * 3 + 3 * 3 * (3 + 3 + 2) * 3,
    "wavenet": (2 + 1) * 3 + 11 * (2 * 3 + 1) * 3,
}


@pytest.mark.parametrize(("choice", "more"), NORMALIZED.items())
def test_normalisation_adds_its_own_weights(choice: tuple[str, str], more: int) -> None:
    architecture, normalization = choice
    network = network_of(architecture=architecture, normalization=normalization)
    assert network.count_params() == PARAMETERS[architecture] + more
    kinds = {"layer": {"gamma", "beta"}, "batch": {"gamma", "beta", "moving_mean", "moving_variance"}}
    assert kinds[normalization] <= {weight.path.split("/")[-1] for weight in network.weights}


@pytest.mark.parametrize(("architecture", "count"), SMALL.items())
def test_units_and_layers_are_as_many_as_were_asked_for(architecture: str, count: int) -> None:
    network = network_of(architecture=architecture, units=3, layers=3)
    assert network.count_params() == count + (3 + 1) * 10


@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_features_are_normalised_before_the_head_reads_them(normalization: str) -> None:
    recipe = resolve({"architecture": "vector_rnn" if normalization == "batch" else "lstm"})
    network = fresh(replace(recipe, normalization=normalization), noise=0.3)  # type: ignore[arg-type]
    x = series(4, 20)
    xp = NumPyOperations()
    layer = network.backbone.norms[-1]
    plain = make_network(replace(recipe, normalization="none"))
    plain.set_weights([w.numpy() for w in network.weights if "normalization" not in w.path])
    # The last layer's normalisation alone: that of the first stands between the two.
    plain.backbone.norms[0] = network.backbone.norms[0]
    features, _ = plain.backbone.steps(xp, x, None)
    layer_of_keras = np.asarray(layer(features, training=False))
    found, _ = network.backbone.steps(xp, x, None)
    np.testing.assert_allclose(found, layer_of_keras, atol=1e-5)


def test_a_dilated_convolution_is_keras_own() -> None:
    ours = DilatedConv(6, dilation=4, kernel_initializer="glorot_uniform")
    theirs = keras.layers.Conv1D(6, 2, dilation_rate=4, padding="causal", activation="relu")
    x = series(3, 30)[:, :, None]
    ours.build((None, None, 1))
    theirs.build((None, None, 1))
    theirs.set_weights(ours.get_weights())
    older = np.pad(x, [(0, 0), (4, 0), (0, 0)])[:, :-4]
    assert np.allclose(ours.convolve(NumPyOperations(), older, x), theirs(x), atol=1e-6)


def test_doubling_dilations_let_wavenet_see_31_points_and_no_more() -> None:
    network = network_of(architecture="wavenet")
    x = series(1, 60)
    last = answer(network, x)[0, -1]

    def moves(age: int) -> bool:
        changed = x.copy()
        changed[0, -1 - age] += 100.0
        return not np.array_equal(answer(network, changed)[0, -1], last)

    assert moves(0)
    assert any(moves(age) for age in range(24, 31))
    assert not any(moves(age) for age in range(31, 60))


@pytest.mark.parametrize("architecture", ["lstm", "gru", "sequence_rnn", "ln_rnn", "wavenet"])
def test_no_answer_sees_what_comes_after_it(architecture: str) -> None:
    network = network_of(architecture=architecture)
    x = series(1, 40)
    changed = x.copy()
    changed[0, 25:] += 3.0
    assert np.allclose(answer(network, x)[0, :25], answer(network, changed)[0, :25], atol=1e-6)
    assert not np.allclose(answer(network, x)[0, 25:], answer(network, changed)[0, 25:], atol=1e-3)


@pytest.mark.parametrize("length", range(4, 16))
def test_conv_gru_reads_the_last_point_at_every_length(length: int) -> None:
    network = network_of(architecture="conv_gru")
    x = series(1, length)
    changed = x.copy()
    changed[0, -1] += 1.0
    assert not np.allclose(answer(network, x)[0, -1], answer(network, changed)[0, -1], atol=1e-5)


def test_an_encoder_decoder_starts_from_the_last_value_and_the_encoders_state() -> None:
    network = network_of(architecture="encoder_decoder")
    x = series(2, 30)
    early, late = x.copy(), x.copy()
    early[:, 10] += 1.0
    late[:, -1] += 1.0
    assert not np.allclose(answer(network, x), answer(network, early), atol=1e-7)
    assert not np.allclose(answer(network, x)[:, 0], answer(network, late)[:, 0], atol=1e-4)


@pytest.mark.parametrize("initializer", get_args(Initializer))
@pytest.mark.parametrize("architecture", ["lstm", "wavenet", "linear", "mlp", "vector_to_sequence", "conv_gru"])
def test_the_initialiser_is_the_one_asked_for(architecture: str, initializer: str) -> None:
    network = network_of(architecture=architecture, kernel_initializer=initializer, **UNITS.get(architecture, {}))
    # What corrects a base begins with zeros, whatever is asked for.
    zeros = network.head.answer.kernel if PRESETS[architecture].corrects else None
    kernels = [w for w in network.weights if w.path.endswith("/kernel") and w is not zeros]
    assert kernels
    for kernel in kernels:
        _assert_drawn_by(initializer, kernel.numpy())


# Enough numbers to know a distribution by.
UNITS: dict[str, dict[str, Any]] = {"mlp": {"units": 32}}


def _assert_drawn_by(initializer: str, kernel: np.ndarray) -> None:
    """Its variance, and the shape of its distribution, are those of the formula."""
    *receptive, fan_in, fan_out = kernel.shape
    fan_in, fan_out = fan_in * math.prod(receptive), fan_out * math.prod(receptive)
    if initializer == "orthogonal":
        flat = kernel.reshape(-1, kernel.shape[-1])
        rows, columns = flat.shape
        product = flat @ flat.T if rows < columns else flat.T @ flat
        np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-5)
        return
    kind, distribution = initializer.split("_")
    variance = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[kind]
    limit = math.sqrt(3 * variance) if distribution == "uniform" else 2 * math.sqrt(variance) / 0.8796
    assert np.abs(kernel).max() <= limit * 1.0001
    if kernel.size >= 400:
        assert kernel.var() == pytest.approx(variance, rel=0.25)
        # Of a truncated normal distribution more is near the middle than of a uniform one.
        near = (np.abs(kernel) < math.sqrt(variance)).mean()
        assert near == pytest.approx(0.577 if distribution == "uniform" else 0.65, abs=0.05)


def test_an_unknown_backbone_head_and_normalisation_are_refused() -> None:
    recipe = resolve({"architecture": "gru"})
    with pytest.raises(ValueError, match="telepathy"):
        make_network(replace(recipe, readout="telepathy"))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="group"):
        make_normalization("group")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="transformer"):
        replace(PRESETS["gru"], body="transformer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="oracle"):
        replace(PRESETS["theta"], base="oracle")  # type: ignore[arg-type]


def test_an_unknown_activation_and_layer_are_computed_by_nobody() -> None:
    layer = keras.layers.Dense(3, activation="selu")
    layer.build((None, 2))
    with pytest.raises(ValueError, match="selu"):
        dense(NumPyOperations(), layer, np.zeros((1, 2), np.float32))
    with pytest.raises(TypeError, match="GroupNormalization"):
        normalize(NumPyOperations(), keras.layers.GroupNormalization(1), np.zeros((1, 2), np.float32))


def test_an_operation_that_a_library_lacks_is_named() -> None:
    for xp in (TensorFlowOperations(), OnnxOperations()):
        with pytest.raises(AttributeError, match="fourier"):
            xp.fourier(np.zeros(3))
