"""The cells against their equations, written out in NumPy."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from service.domain.recipes.resolve import resolve
from service.zoo.cells import LayerNormSimpleRNNCell
from service.zoo.network import make_network


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def randomise(network: Any, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, 0.4, w.shape).astype(np.float32) for w in network.get_weights()]
    network.set_weights(weights)
    return weights


def lstm_by_the_book(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The chapter's six equations, for x [time, features]; gates in Keras' order: i, f, g, o. Returns h."""
    units = recurrent.shape[0]
    wxi, wxf, wxg, wxo = np.split(kernel, 4, axis=1)
    whi, whf, whg, who = np.split(recurrent, 4, axis=1)
    bi, bf, bg, bo = np.split(bias, 4)
    h, c, outputs = np.zeros(units), np.zeros(units), []
    for x_t in x:
        i = sigmoid(x_t @ wxi + h @ whi + bi)
        f = sigmoid(x_t @ wxf + h @ whf + bf)
        o = sigmoid(x_t @ wxo + h @ who + bo)
        g = np.tanh(x_t @ wxg + h @ whg + bg)
        c = f * c + i * g
        h = o * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def test_the_lstm_is_the_chapters_six_equations() -> None:
    recipe = resolve({"architecture": "lstm", "units": 7, "horizon": 3})
    network = make_network(recipe)
    kernel_1, recurrent_1, bias_1, kernel_2, recurrent_2, bias_2, dense, dense_bias = randomise(network, 0)
    x = np.random.default_rng(1).normal(size=(50, 1)).astype(np.float32)
    hidden = lstm_by_the_book(x, kernel_1, recurrent_1, bias_1)
    hidden = lstm_by_the_book(hidden, kernel_2, recurrent_2, bias_2)
    expected = hidden @ dense + dense_bias  # [time, horizon]
    assert np.allclose(network(x[None])[0], expected, atol=1e-5)


def test_the_gru_has_one_state_of_update_reset_and_candidate() -> None:
    """z, r, g as Keras computes them with `reset_after`: the reset gate acts on the recurrent product."""
    network = make_network(resolve({"architecture": "gru", "units": 5, "layers": 1, "horizon": 2}))
    kernel, recurrent, bias, dense, dense_bias = randomise(network, 2)
    x = np.random.default_rng(3).normal(size=(20, 1)).astype(np.float32)
    h = np.zeros(5)
    for x_t in x:
        xz, xr, xg = np.split(x_t @ kernel + bias[0], 3)
        hz, hr, hg = np.split(h @ recurrent + bias[1], 3)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xg + r * hg)
    assert np.allclose(network(x[None])[0, -1], h @ dense + dense_bias, atol=1e-5)


def test_the_layer_norm_cell_normalises_before_its_activation() -> None:
    network = make_network(resolve({"architecture": "ln_rnn", "units": 6, "layers": 1, "horizon": 2}))
    weights = randomise(network, 4)
    named = dict(zip([w.path.split("/")[-1] for w in network.weights], weights, strict=True))
    dense, dense_bias = weights[-2:]
    x = np.random.default_rng(5).normal(size=(20, 1)).astype(np.float32)
    h = np.zeros(6)
    for x_t in x:
        linear = x_t @ weights[0] + h @ weights[1] + weights[2]
        normal = (linear - linear.mean()) / np.sqrt(linear.var() + 1e-3)
        h = np.tanh(normal * named["gamma"] + named["beta"])
    assert np.allclose(network(x[None])[0, -1], h @ dense + dense_bias, atol=1e-5)


def test_the_layer_norm_cell_survives_a_keras_round_trip(tmp_path: Any) -> None:
    model = keras.Sequential([keras.Input((None, 1)), keras.layers.RNN(LayerNormSimpleRNNCell(4))])
    x = np.random.default_rng(6).normal(size=(3, 9, 1)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


def test_the_gradient_of_a_shared_weight_is_the_sum_over_time_steps() -> None:
    """Backpropagation through time: one copy of the weight for each step, each with its own gradient."""
    cell = keras.layers.SimpleRNNCell(3)
    cell.build((None, 1))
    x = tf.constant(np.random.default_rng(7).normal(size=(1, 8, 1)).astype(np.float32))
    shared = cell.recurrent_kernel.value
    copies = [tf.identity(shared) for _ in range(8)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([shared, *copies])
        losses = []
        for weights in ([shared] * 8, copies):
            h = tf.zeros((1, 3))
            for step, weight in enumerate(weights):
                h = tf.tanh(x[:, step] @ cell.kernel + h @ weight + cell.bias)
            losses.append(tf.reduce_sum(h**2))
    by_step = tape.gradient(losses[1], copies)
    assert np.allclose(tape.gradient(losses[0], shared), np.sum(by_step, axis=0), atol=1e-6)
    assert np.abs(by_step[1]).max() > 0

    layer = keras.layers.RNN(cell)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    assert np.allclose(tape.gradient(loss, cell.recurrent_kernel.value), np.sum(by_step, axis=0), atol=1e-5)


@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
@pytest.mark.parametrize("architecture", ["lstm", "ln_rnn", "gru"])
def test_dropout_acts_in_training_and_never_in_a_forecast(architecture: str, rate: str) -> None:
    network = make_network(resolve({"architecture": architecture, rate: 0.5}))
    # Rows enough that not all lose their one input in both calls.
    x = np.random.default_rng(8).normal(size=(32, 30, 1)).astype(np.float32)
    assert np.array_equal(network(x), network(x))
    assert not np.allclose(network(x, training=True), network(x, training=True))
