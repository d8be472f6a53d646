"""The cells against their equations, written out in NumPy."""

from typing import Any

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf

from service.domain.recipes.resolve import resolve
from service.networks.cells import Cell
from service.networks.jax_recurrences import run
from service.networks.network import make_network
from service.networks.onnx_operations import OnnxOperations
from service.networks.operations import NumPyOperations, Operations
from service.networks.tensorflow_operations import TensorFlowOperations
from tests.networks.samples import answer


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
    x = np.random.default_rng(1).normal(size=50).astype(np.float32)
    hidden = lstm_by_the_book(x[:, None], kernel_1, recurrent_1, bias_1)
    hidden = lstm_by_the_book(hidden, kernel_2, recurrent_2, bias_2)
    expected = hidden @ dense + dense_bias  # [time, horizon]
    assert np.allclose(answer(network, x[None])[0], expected, atol=1e-5)


def test_the_gru_has_one_state_of_update_reset_and_candidate() -> None:
    """z, r, g as Keras computes them with `reset_after`: the reset gate acts on the recurrent product."""
    network = make_network(resolve({"architecture": "gru", "units": 5, "layers": 1, "horizon": 2}))
    kernel, recurrent, bias, dense, dense_bias = randomise(network, 2)
    x = np.random.default_rng(3).normal(size=20).astype(np.float32)
    h = np.zeros(5)
    for x_t in x[:, None]:
        xz, xr, xg = np.split(x_t @ kernel + bias[0], 3)
        hz, hr, hg = np.split(h @ recurrent + bias[1], 3)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xg + r * hg)
    assert np.allclose(answer(network, x[None])[0, -1], h @ dense + dense_bias, atol=1e-5)


def test_the_layer_norm_cell_normalises_before_its_activation() -> None:
    network = make_network(resolve({"architecture": "ln_rnn", "units": 6, "layers": 1, "horizon": 2}))
    weights = randomise(network, 4)
    named = dict(zip([w.path.split("/")[-1] for w in network.weights], weights, strict=True))
    dense, dense_bias = weights[-2:]
    x = np.random.default_rng(5).normal(size=20).astype(np.float32)
    h = np.zeros(6)
    for x_t in x[:, None]:
        linear = x_t @ weights[0] + h @ weights[1] + weights[2]
        normal = (linear - linear.mean()) / np.sqrt(linear.var() + 1e-3)
        h = np.tanh(normal * named["gamma"] + named["beta"])
    assert np.allclose(answer(network, x[None])[0, -1], h @ dense + dense_bias, atol=1e-5)


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


def test_an_unknown_kind_of_cell_is_refused() -> None:
    recipe = resolve({"architecture": "gru"})
    with pytest.raises(KeyError, match="mgu"):
        Cell("mgu", 3, recipe)


@pytest.mark.parametrize("xp", [NumPyOperations(), TensorFlowOperations()], ids=["NumPy", "TensorFlow"])
def test_weights_of_an_unknown_kind_are_run_by_nobody(xp: Operations) -> None:
    cell = Cell("gru", 3, resolve({"architecture": "gru"}))
    cell.build((None, 1))
    weights = cell.weights_of(xp)._replace(kind="mgu")
    with pytest.raises(KeyError, match="mgu"):
        xp.recurrent(weights, np.zeros((2, 4, 1), np.float32), None, None)


def test_weights_of_an_unknown_kind_have_no_gradient_and_no_operator() -> None:
    cell = Cell("gru", 3, resolve({"architecture": "gru"}))
    cell.build((None, 1))
    weights = cell.weights_of(NumPyOperations())._replace(kind="mgu")
    with pytest.raises(KeyError, match="mgu"):
        run(weights, jax.numpy.zeros((4, 2, 1)), None)
    xp = OnnxOperations()
    with pytest.raises(ValueError, match="mgu"):
        xp.recurrent(weights, xp.traced("x"), None, None)
