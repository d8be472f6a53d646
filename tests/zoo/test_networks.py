from typing import Any

import keras
import numpy as np
import pytest

from service.domain.recipes.presets import PRESETS
from service.domain.recipes.resolve import resolve
from service.zoo.network import Network, make_network
from service.zoo.wavenet import DilatedConv

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


def waves(n: int, time: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, time, 1)).astype(np.float32)


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
    answer = network(waves(3, 50))
    if head != "sequence":
        assert answer.shape == (3, horizon)
    else:
        assert answer.shape == (3, 24 if architecture == "conv_gru" else 50, horizon)


@pytest.mark.parametrize("options", [{"normalization": "layer"}, {"normalization": "batch"}, {"units": 3, "layers": 3}])
@pytest.mark.parametrize("architecture", ["vector_rnn", "lstm", "gru", "conv_gru", "wavenet"])
def test_hyper_parameters_change_the_network(architecture: str, options: dict[str, Any]) -> None:
    network = network_of(architecture=architecture, **options)
    assert network.count_params() != PARAMETERS[architecture]
    assert np.all(np.isfinite(network(waves(2, 50))))


def test_a_dilated_convolution_is_keras_own() -> None:
    ours = DilatedConv(6, dilation=4, kernel_initializer="glorot_uniform")
    theirs = keras.layers.Conv1D(6, 2, dilation_rate=4, padding="causal", activation="relu")
    x = waves(3, 30)
    ours.build((None, None, 1))
    theirs.build((None, None, 1))
    theirs.set_weights(ours.get_weights())
    assert np.allclose(ours(keras.ops.pad(x, [[0, 0], [4, 0], [0, 0]])), theirs(x), atol=1e-6)


def test_doubling_dilations_let_wavenet_see_31_points_and_no_more() -> None:
    network = network_of(architecture="wavenet")
    x = waves(1, 60)
    last = np.array(network(x)[0, -1])

    def moves(age: int) -> bool:
        changed = x.copy()
        changed[0, -1 - age] += 100.0
        return not np.array_equal(np.array(network(changed)[0, -1]), last)

    assert moves(0)
    assert any(moves(age) for age in range(24, 31))
    assert not any(moves(age) for age in range(31, 60))


@pytest.mark.parametrize("architecture", ["lstm", "gru", "sequence_rnn", "ln_rnn", "wavenet"])
def test_no_answer_sees_what_comes_after_it(architecture: str) -> None:
    network = network_of(architecture=architecture)
    x = waves(1, 40)
    changed = x.copy()
    changed[0, 25:] += 3.0
    assert np.allclose(network(x)[0, :25], network(changed)[0, :25], atol=1e-6)
    assert not np.allclose(network(x)[0, 25:], network(changed)[0, 25:], atol=1e-3)


@pytest.mark.parametrize("length", range(4, 16))
def test_conv_gru_reads_the_last_point_at_every_length(length: int) -> None:
    network = network_of(architecture="conv_gru")
    x = waves(1, length)
    changed = x.copy()
    changed[0, -1] += 1.0
    assert not np.allclose(network(x)[0, -1], network(changed)[0, -1], atol=1e-5)


def test_an_encoder_decoder_starts_from_the_last_value_and_the_encoders_state() -> None:
    network = network_of(architecture="encoder_decoder")
    x = waves(2, 30)
    early, late = x.copy(), x.copy()
    early[:, 10] += 1.0
    late[:, -1] += 1.0
    assert not np.allclose(network(x), network(early), atol=1e-7)
    assert not np.allclose(network(x)[:, 0], network(late)[:, 0], atol=1e-4)


@pytest.mark.parametrize("initializer", ["he_normal", "lecun_uniform", "orthogonal"])
def test_the_initialiser_is_the_one_asked_for(initializer: str) -> None:
    default = network_of(architecture="lstm").get_weights()
    other = network_of(architecture="lstm", kernel_initializer=initializer).get_weights()
    assert not np.array_equal(default[0], other[0])
