"""The compiled fit against Keras: the same answers, gradients, steps and epochs."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.resolve import resolve
from service.training.compiled.fitting import fit_compiled, predict_compiled
from service.training.compiled.forward import Pass, answer
from service.training.compiled.optimizers import make_optimizer
from service.training.compiled.program import find_program
from service.training.data.wave_data import prepare_waves
from service.training.epoch import Epoch
from service.training.fit_keras import fit_keras, predict_keras
from service.zoo.network import Network, make_network

FITTED = [name for name, preset in PRESETS.items() if preset.is_fitted]
OPTIONS: list[dict[str, Any]] = [
    *({"architecture": name} for name in FITTED),
    {"architecture": "deep_rnn", "readout": "dense"},
    {"architecture": "lstm", "normalization": "layer", "layers": 1},
    {"architecture": "gru", "normalization": "batch", "layers": 1},
    {"architecture": "wavenet", "normalization": "batch", "layers": 1},
    {"architecture": "lstm", "head": "vector", "loss": "mae"},
    {"architecture": "ln_rnn", "head": "one_step"},
    {"architecture": "conv_gru", "head": "vector", "window": 31},
    {"architecture": "flagship", "head": "sequence"},
    {"architecture": "theta_mlp", "season": 7, "focus": 15},
    {"architecture": "mlp", "season": 7},
]
BESIDE = ("readout", "window", "season", "focus")


def settle(options: dict[str, Any]) -> Recipe:
    given = {key: value for key, value in options.items() if key not in BESIDE}
    recipe = resolve({**given, "units": 7} if PRESETS[options["architecture"]].units > 1 else given)
    return replace(recipe, **{key: value for key, value in options.items() if key in BESIDE})


def of_panel(recipe: Recipe) -> Recipe:
    """The recipe for series of one's own, whose windows are padded."""
    return replace(recipe, data=PanelData("series", "kept", "digest", 3, 180, None))


def fresh(recipe: Recipe, seed: int = 3) -> Network:
    """A network with weights that are nowhere zero."""
    keras.utils.set_random_seed(seed)
    network = make_network(recipe)
    rng = np.random.default_rng(seed)
    network.set_weights(
        [
            (np.abs(w) + 0.5 if "variance" in v.path else w + rng.normal(size=w.shape) * 0.1).astype(np.float32)
            for v, w in zip(network.weights, network.get_weights(), strict=True)
        ]
    )
    return network


def rows(recipe: Recipe, n: int = 6, *, ragged: bool = False) -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, recipe.window, 1)).astype(np.float32)
    if ragged:
        for i in range(1, n):
            x[i, recipe.window - 3 * i :] = np.nan
    return x


def places(network: Network) -> dict[int, int]:
    return {id(variable): i for i, variable in enumerate(network.weights)}


def assert_close(found: Any, expected: Any, share: float = 2e-5) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * max(1e-3, float(np.abs(expected).max())))


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_answers_and_gradients_are_those_of_keras(options: dict[str, Any], ragged: bool) -> None:
    recipe = settle(options)
    if ragged:
        recipe = of_panel(recipe)
    # What reads windows of one length has rows of one length; shorter ones where it reads differences.
    is_fixed = recipe.preset.is_fixed_length
    network, x = fresh(recipe), rows(recipe, ragged=ragged and not is_fixed)
    x = x[:, 4:] if ragged and is_fixed else x
    with tf.GradientTape() as tape:
        expected = network(x, training=False)
        loss = tf.reduce_sum(tf.square(expected) * tf.linspace(0.5, 1.5, expected.shape[-1]))
    wanted = tape.gradient(loss, [v.value for v in network.trainable_variables])
    fitted = [places(network)[id(v)] for v in network.trainable_variables]
    weights = [jax.numpy.asarray(w) for w in network.get_weights()]

    def measure(of_fitted: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
        placed = list(weights)
        for i, value in zip(fitted, of_fitted, strict=True):
            placed[i] = value
        found = answer(network, Pass(places(network), placed, None), jax.numpy.asarray(x))
        return (found**2 * jax.numpy.linspace(0.5, 1.5, found.shape[-1])).sum(), found

    gradients, found = jax.grad(measure, has_aux=True)([weights[i] for i in fitted])
    assert_close(found, expected)
    for variable, gradient, one in zip(network.trainable_variables, gradients, wanted, strict=True):
        expected_gradient = np.zeros(variable.shape) if one is None else tf.convert_to_tensor(one).numpy()
        assert_close(gradient, expected_gradient, 1e-3)


def test_the_gradient_of_a_shared_weight_is_the_sum_over_time() -> None:
    recipe = replace(settle({"architecture": "gru", "layers": 1, "head": "vector"}), window=4)
    network, x = fresh(recipe), rows(recipe)
    weights = [jax.numpy.asarray(w) for w in network.get_weights()]

    def measure(recurrent: jax.Array) -> jax.Array:
        placed = [recurrent if i == place else one for i, one in enumerate(weights)]
        return answer(network, Pass(places(network), placed, None), jax.numpy.asarray(x)).sum()

    place = places(network)[id(network.body.recurrent[0].cell.recurrent_kernel)]
    gradient = jax.grad(measure)(weights[place])
    direction = np.random.default_rng(0).normal(size=gradient.shape).astype(np.float32)
    step = 1e-2
    difference = (measure(weights[place] + step * direction) - measure(weights[place] - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(difference), rel=1e-2)


@pytest.mark.parametrize("name", ["adam", "nadam", "rmsprop", "sgd"])
def test_an_optimiser_steps_as_keras_does(name: Any) -> None:
    rng = np.random.default_rng(1)
    begin, update = make_optimizer(name)
    variable = keras.Variable(rng.normal(size=(4, 3)).astype(np.float32))
    theirs = type(keras.optimizers.get(name))(learning_rate=0.02)
    ours = [jax.numpy.asarray(variable.numpy())]
    state = begin(ours)
    for _ in range(12):
        gradient = rng.normal(size=(4, 3)).astype(np.float32)
        theirs.apply([tf.constant(gradient)], [variable])
        ours, state = update(ours, [jax.numpy.asarray(gradient)], state, jax.numpy.float32(0.02))
        assert_close(ours[0], variable.numpy(), 1e-5)


def fit_both(recipe: Recipe) -> list[tuple[list[Epoch], Network]]:
    """Keras' own fit and the compiled one, of the same network on the same hundred waves."""
    recipe = replace(recipe, batch_size=70, data=replace(recipe.waves, n_series=100))
    material = prepare_waves(recipe)
    parts = [(part.scaled_inputs, part.targets) for part in (material.train, material.validation)]
    fits = []
    for fit in (fit_keras, fit_compiled):
        network = fresh(recipe)
        epochs = fit(recipe, network, parts[0], parts[1], lambda: None, lambda epoch: None)
        fits.append((epochs, network))
    return fits


@pytest.mark.parametrize(
    "options", [{"architecture": "lstm"}, {"architecture": "wavenet"}, {"architecture": "linear"}], ids=str
)
def test_whole_epochs_are_those_of_keras_when_both_see_all_rows_in_one_batch(options: dict[str, Any]) -> None:
    theirs, ours = fit_both(replace(settle(options), epochs=4, learning_rate=0.01))
    for expected, found in zip(theirs[0], ours[0], strict=True):
        assert found.loss == pytest.approx(expected.loss, rel=1e-3)
        assert found.val_loss == pytest.approx(expected.val_loss, rel=1e-3)
    for one, other in zip(theirs[1].get_weights(), ours[1].get_weights(), strict=True):
        assert_close(other, one, 1e-2)


def test_batch_normalisation_learns_its_moving_statistics() -> None:
    recipe = settle({"architecture": "wavenet", "normalization": "batch", "layers": 1})
    theirs, ours = (
        [w for v, w in zip(network.weights, network.get_weights(), strict=True) if "moving" in v.path]
        for _, network in fit_both(replace(recipe, epochs=3))
    )
    assert theirs
    for one, other in zip(theirs, ours, strict=True):
        assert_close(other, one, 1e-2)


@pytest.mark.parametrize("n", [1, 500, 501])
def test_forecasts_are_those_of_keras_however_many_rows_there_are(n: int) -> None:
    recipe = settle({"architecture": "gru", "layers": 1})
    network, x = fresh(recipe), rows(recipe, n)[:, :, 0]
    assert_close(predict_compiled(network, recipe, x), predict_keras(network, x))


def test_a_second_fit_of_the_same_shape_compiles_nothing() -> None:
    recipe = replace(settle({"architecture": "gru", "layers": 1}), epochs=2)
    recipe = replace(recipe, data=replace(recipe.waves, n_series=100))
    material = prepare_waves(recipe)
    train, validation = ((part.scaled_inputs, part.targets) for part in (material.train, material.validation))
    counts = []
    for seed in (1, 2):
        again = replace(recipe, seed=seed, learning_rate=0.001 * seed, name=f"seed {seed}")
        network = fresh(again, seed)
        fit_compiled(again, network, train, validation, lambda: None, lambda epoch: None)
        program = find_program(network, again)
        compiled: list[Any] = [program.train, program.validate]
        counts.append((id(program), [one._cache_size() for one in compiled]))
    assert counts[0] == counts[1]


def test_programs_outlive_their_process(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
import numpy as np
from service.training.compiled.cache import keep_programs
keep_programs(Path({str(tmp_path)!r}))
from service.domain.recipes.resolve import resolve
from service.training.compiled.fitting import predict_compiled
from service.zoo.network import make_network
recipe = resolve({{"architecture": "linear"}})
predict_compiled(make_network(recipe), recipe, np.zeros((3, 50), np.float32))
"""
    kept = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        kept.append({path.name for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith("atime")})
    assert kept[0]
    assert kept[0] == kept[1]
