"""Training against Keras: its own layers, written as the chapter writes them, give the same answers and gradients, and
its optimisers and losses make the same steps."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.training.layer_norm import LayerNormCell
from service.domain.panel_windows import TrainingWindows
from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import PanelData, Recipe
from service.networks.cells import N_STATES, STEPS
from service.networks.jax_operations import JaxOperations
from service.networks.network import Network
from service.networks.operations import CellWeights, Operations
from service.training.data.wave_data import prepare_waves
from service.training.epoch import Epoch
from service.training.fit import MOST_UNCOMPILED_ROWS, predict
from service.training.jax_trainer.fitting import BATCHES_AT_ONCE, fit_with_jax, predict_with_jax
from service.training.jax_trainer.optimizers import make_optimizer
from service.training.jax_trainer.program import UNCOMPILED, Batches, find_program
from tests.networks.samples import Array, answer, fresh, recipe_of, series

EXHAUSTIVE = pytest.mark.exhaustive
# Another preset has their cell.
ALIKE = ("simple_rnn", "deep_rnn", "vector_rnn")
LAYERS = keras.layers
RECURRENT: dict[str, Any] = {"simple_rnn": LAYERS.SimpleRNN, "lstm": LAYERS.LSTM, "gru": LAYERS.GRU}


def as_the_chapter(recipe: Recipe) -> Any:
    """The chapter's own model of a recipe, layer by layer."""
    body, head, units, horizon = recipe.preset.body, recipe.head, recipe.units, recipe.horizon
    is_sequence = head == "sequence"
    x = any_length = keras.Input([None, 1])
    if body == "linear":
        return keras.Sequential([keras.Input([recipe.window, 1]), LAYERS.Flatten(), LAYERS.Dense(horizon)])
    if body == "wavenet":
        for rate in (1, 2, 4, 8) * recipe.layers:
            x = LAYERS.Conv1D(units, 2, padding="causal", activation="relu", dilation_rate=rate)(x)
            x = _normalised(recipe, x)
        x = LAYERS.Conv1D(horizon, 1)(x)
        return keras.Model(any_length, x if is_sequence else x[:, -1])
    if body == "conv_gru":
        x = LAYERS.Conv1D(units, 4, strides=2, padding="valid")(x)
        body = "gru"
    widths = [units] * recipe.layers
    if recipe.readout == "recurrent" and units != 1:
        widths.append(1)
    for i, width in enumerate(widths):
        goes_on = is_sequence or i < len(widths) - 1
        if body == "simple_rnn" and recipe.normalization == "layer":
            x = LAYERS.RNN(LayerNormCell(width), return_sequences=goes_on)(x)
        else:
            x = _normalised(recipe, RECURRENT[body](width, return_sequences=goes_on)(x))
    if recipe.readout == "dense":
        x = LAYERS.TimeDistributed(LAYERS.Dense(horizon))(x) if is_sequence else LAYERS.Dense(horizon)(x)
    return keras.Model(any_length, x)


def _normalised(recipe: Recipe, x: Any) -> Any:
    kinds = {"none": LAYERS.Identity, "layer": LAYERS.LayerNormalization, "batch": LAYERS.BatchNormalization}
    return kinds[recipe.normalization]()(x)


def encoder_decoder(recipe: Recipe) -> Any:
    """Two GRUs: the second starts from the state of the first and is fed its own answers."""
    past = keras.Input([recipe.window, 1])
    _, state = LAYERS.GRU(recipe.units, return_state=True)(past)
    cell, dense = LAYERS.GRUCell(recipe.units), LAYERS.Dense(1)
    value, answers = past[:, -1], []
    for _ in range(recipe.horizon):
        output, (state,) = cell(value, [state])
        value = dense(output)
        answers.append(value)
    return keras.Model(past, LAYERS.Concatenate()(answers))


def vector_to_sequence(recipe: Recipe) -> Any:
    past = keras.Input([recipe.window, 1])
    first = LAYERS.Reshape([1, recipe.window])(past)
    x = LAYERS.ZeroPadding1D((0, recipe.horizon - 1))(first)
    x = LAYERS.GRU(recipe.units, return_sequences=True)(x)
    return keras.Model(past, LAYERS.Flatten()(LAYERS.TimeDistributed(LAYERS.Dense(1))(x)))


OTHERS = {"encoder_decoder": encoder_decoder, "vector_to_sequence": vector_to_sequence}
OPTIONS: list[Any] = [
    *(
        pytest.param({"architecture": name}, marks=EXHAUSTIVE if name in ALIKE else ())
        for name, preset in PRESETS.items()
        if preset.in_chapter and preset.is_fitted
    ),
    *({"architecture": name} for name in OTHERS),
    pytest.param({"architecture": "deep_rnn", "readout": "dense"}, marks=EXHAUSTIVE),
    {"architecture": "lstm", "normalization": "layer", "layers": 1},
    pytest.param({"architecture": "gru", "normalization": "batch", "layers": 2}, marks=EXHAUSTIVE),
    {"architecture": "wavenet", "normalization": "batch", "layers": 1},
    pytest.param(
        {"architecture": "wavenet", "head": "vector", "normalization": "layer", "layers": 1}, marks=EXHAUSTIVE
    ),
    pytest.param({"architecture": "ln_rnn", "head": "one_step", "layers": 1}, marks=EXHAUSTIVE),
    {"architecture": "conv_gru", "head": "vector", "window": 31},
]


def oracle(recipe: Recipe, network: Network) -> Any:
    model = OTHERS.get(recipe.architecture, as_the_chapter)(recipe)
    # A convolution of one point is a dense layer: their weights have other shapes.
    ours = [w.numpy() for w in _in_order(network)]
    model.set_weights([w.reshape(of.shape) for w, of in zip(ours, model.weights, strict=True)])
    return model


def _in_order(network: Network) -> list[Any]:
    """A network's weights in the order of layers, as the chapter has them."""
    backbone, head = network.backbone, network.head
    layers: list[Any] = [backbone.conv] if hasattr(backbone, "conv") else []
    stack = getattr(backbone, "recurrent", backbone)
    for part, norm in zip(
        getattr(stack, "cells", getattr(stack, "convs", [])), getattr(stack, "norms", []), strict=True
    ):
        layers += [part, norm]
    layers += [*getattr(head, "cells", []), *([head.answer] if hasattr(head, "answer") else [])]
    return [w for layer in layers for w in _weights(layer)]


def _weights(layer: Any) -> list[Any]:
    if isinstance(layer, LAYERS.BatchNormalization):
        return [layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]
    return list(layer.weights)


def places(network: Network) -> dict[int, int]:
    return {id(variable): i for i, variable in enumerate(network.weights)}


def assert_close(found: Any, expected: Any, share: float = 2e-5) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * max(1e-3, float(np.abs(expected).max())))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_answers_and_gradients_are_those_of_the_chapters_own_model(options: dict[str, Any]) -> None:
    recipe = recipe_of(**options)
    network, x = fresh(recipe, noise=0.1), series(5, recipe.window)
    model = oracle(recipe, network)
    with tf.GradientTape() as tape:
        # The chapter's convolution drops the newest point of an odd window, ours the oldest.
        oldest = (recipe.window - recipe.preset.kernel) % recipe.preset.stride
        expected = model(x[:, oldest:, None], training=False)
        expected = tf.reshape(expected, (5, -1, recipe.horizon)) if recipe.head == "sequence" else expected
        loss = tf.reduce_sum(tf.square(expected) * tf.linspace(0.5, 1.5, recipe.horizon))
    wanted = tape.gradient(loss, [v.value for v in model.trainable_variables])
    ours = [v for v in _in_order(network) if v.trainable]
    weights = [jax.numpy.asarray(w) for w in network.get_weights()]
    fitted = [places(network)[id(v)] for v in ours]

    def measure(of_fitted: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
        placed = list(weights)
        for i, value in zip(fitted, of_fitted, strict=True):
            placed[i] = value
        found = network.forward(JaxOperations(places(network), placed, None), jax.numpy.asarray(x))
        return (found**2 * jax.numpy.linspace(0.5, 1.5, found.shape[-1])).sum(), found

    gradients, found = jax.jit(jax.grad(measure, has_aux=True))([weights[i] for i in fitted])
    assert_close(found, expected)
    assert_close(answer(network, x), expected)
    assert len(wanted) == len(gradients)
    for gradient, one in zip(gradients, wanted, strict=True):
        assert_close(gradient, tf.reshape(one, gradient.shape), 1e-3)


class PlainOperations(JaxOperations):
    """JAX with no gradients but its own: a recurrent layer is the loop over its steps."""

    def recurrent(self, weights: CellWeights, x: Any, state: Any, lengths: Any, mask: Any = None) -> Any:
        return Operations.recurrent(self, weights, x, state, lengths, mask)


N_GATES = {"simple": 1, "layer_norm": 1, "lstm": 4, "gru": 3}


@cache
def gradients(xp: type[JaxOperations], kind: str, has_mask: bool) -> Any:
    """Outputs' and last states' share of a loss, and its gradients for weights and inputs."""

    def measure(arrays: dict[str, Any], x: Any, mask: Any, lengths: Any, shares: tuple[Any, Any]) -> Any:
        weights = CellWeights(kind, **{"recurrent_bias": None, "epsilon": 1e-3, **arrays})
        outputs, state = xp({}, [], None).recurrent(weights, x, None, lengths, mask if has_mask else None)
        # What follows a row's own steps is anything.
        own = (jax.numpy.arange(x.shape[1]) < lengths[:, None])[:, :, None]
        return (outputs * shares[0] * own).sum() + (state[0] * shares[1]).sum()

    return jax.jit(jax.value_and_grad(measure, (0, 1)))


@pytest.mark.parametrize("has_mask", [False, True], ids=["without dropout", "with dropout"])
@pytest.mark.parametrize("kind", sorted(STEPS))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), sizes=st.sampled_from([(1, 1, 1, 1), (3, 12, 2, 5)]))
def test_gradients_of_recurrences_are_those_of_the_plain_loop(
    kind: str, has_mask: bool, seed: int, sizes: tuple[int, int, int, int]
) -> None:
    batch, time, width, units = sizes
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Array:
        return rng.normal(0, 0.6, shape).astype(np.float32)

    n = N_GATES[kind] * units
    arrays = {"kernel": draw(width, n), "recurrent": draw(units, n), "bias": draw(n)}
    arrays |= {"recurrent_bias": draw(n)} if kind == "gru" else {}
    arrays |= {"gamma": draw(units), "beta": draw(units)} if kind == "layer_norm" else {}
    mask = rng.integers(0, 2, (batch, units)).astype(np.float32) / 0.5
    given = (mask, rng.integers(1, time + 1, batch), (draw(batch, time, units), draw(batch, units)))
    x = draw(batch, time, width)
    value, (found, found_x) = gradients(JaxOperations, kind, has_mask)(arrays, x, *given)
    expected_value, (expected, expected_x) = gradients(PlainOperations, kind, has_mask)(arrays, x, *given)
    assert float(value) == pytest.approx(float(expected_value), rel=1e-4, abs=1e-4)
    assert_close(found_x, expected_x, 1e-3)
    for name in arrays:
        assert_close(found[name], expected[name], 1e-3)


def test_every_kind_of_cell_has_its_count_of_states() -> None:
    assert {kind: N_STATES.get(kind, 1) for kind in STEPS} == {"simple": 1, "layer_norm": 1, "lstm": 2, "gru": 1}


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


def test_an_unknown_optimiser_and_loss_are_refused() -> None:
    name: Any = "lion"
    with pytest.raises(KeyError, match="lion"):
        make_optimizer(name)
    recipe = replace(recipe_of(architecture="linear"), loss="huber")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="huber"):
        find_program(fresh(recipe), recipe)


def waves(recipe: Recipe) -> tuple[TrainingWindows, TrainingWindows]:
    prepared = prepare_waves(recipe)
    return prepared.train.windows, prepared.validation.windows


def small(**options: Any) -> Recipe:
    recipe = recipe_of(**options)
    return replace(recipe, batch_size=70, data=replace(recipe.waves, n_series=100))


def fit_both(recipe: Recipe) -> tuple[list[Epoch], Network, Any, Any]:
    """Our fit of a hundred waves, and Keras' own of the chapter's model with the same weights."""
    train, validation = waves(recipe)
    network = fresh(recipe, noise=0.1)
    model = oracle(recipe, network)
    model.compile(loss=recipe.loss, optimizer=type(keras.optimizers.get(recipe.optimizer))(recipe.learning_rate))
    history = model.fit(
        train.x[:, :, None],
        train.targets,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        validation_data=(validation.x[:, :, None], validation.targets),
        verbose=0,
    )
    epochs = fit_with_jax(recipe, network, train, validation, lambda: None, lambda epoch: None)
    return epochs, network, history.history, model


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "gru", "layers": 1},
        {"architecture": "linear", "loss": "mae", "optimizer": "nadam"},
        {"architecture": "wavenet", "layers": 1, "normalization": "batch", "optimizer": "rmsprop"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_whole_epochs_are_those_of_keras_when_both_see_all_rows_in_one_batch(options: dict[str, Any]) -> None:
    epochs, network, history, model = fit_both(replace(small(**options), epochs=3, learning_rate=0.01))
    assert [epoch.loss for epoch in epochs] == pytest.approx(history["loss"], rel=1e-3)
    assert [epoch.val_loss for epoch in epochs] == pytest.approx(history["val_loss"], rel=1e-3)
    ours = _in_order(network)
    # Moving statistics among them.
    assert ("batch" in options.values()) == any("moving" in v.path for v in ours)
    for found, expected in zip(ours, model.get_weights(), strict=True):
        assert_close(found.numpy(), expected.reshape(found.shape), 1e-2)


@pytest.mark.parametrize("n", [1, 500, 501])
def test_forecasts_are_the_networks_however_many_rows_there_are(n: int) -> None:
    recipe = recipe_of(architecture="gru", layers=1)
    network, x = fresh(recipe), series(n, recipe.window)
    every = predict_with_jax(network, recipe, x)
    assert_close(every, answer(network, x))
    assert np.array_equal(predict_with_jax(network, recipe, x, last_only=True), every[:, -1])


@pytest.mark.parametrize("options", [{"architecture": "gru", "layers": 1}, {"architecture": "theta_mlp"}], ids=str)
def test_few_rows_are_forecast_without_a_program_and_by_the_same_numbers(options: dict[str, Any]) -> None:
    # No other test has compiled for such windows.
    recipe = recipe_of(window=43, **options)
    network, x = fresh(recipe), series(MOST_UNCOMPILED_ROWS + 1, recipe.window)
    compiled: Any = find_program(network, recipe).forecast
    before = compiled._cache_size()
    few = predict(network, recipe, x[:-1])
    assert compiled._cache_size() == before
    many = predict(network, recipe, x)
    assert few.shape == (MOST_UNCOMPILED_ROWS, recipe.horizon)
    assert_close(few, many[:-1])


@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
@pytest.mark.parametrize("architecture", ["lstm", "ln_rnn", pytest.param("gru", marks=EXHAUSTIVE), "wavenet", "mlp"])
def test_dropout_acts_in_training_and_never_in_a_forecast(architecture: str, rate: str) -> None:
    if rate == "recurrent_dropout" and architecture in ("wavenet", "mlp"):
        pytest.skip("it has no recurrent state")
    recipe = recipe_of(architecture=architecture, layers=1)
    rates: dict[str, Any] = {"dropout": 0.0, rate: 0.5}
    recipe, other = replace(recipe, dropout=0.0), replace(recipe, **rates)
    plain, dropped = fresh(recipe), fresh(other)
    dropped.set_weights(plain.get_weights())
    x = jax.numpy.asarray(series(32, recipe.window))
    weights = [jax.numpy.asarray(w) for w in plain.get_weights()]

    @jax.jit
    def forward(key: Any) -> Any:
        return dropped.forward(JaxOperations(places(dropped), weights, key), x)

    in_training = [np.asarray(forward(jax.random.key(seed))) for seed in (1, 2, 1)]
    assert np.array_equal(in_training[0], in_training[2])
    assert not np.allclose(in_training[0], in_training[1])
    assert_close(predict_with_jax(dropped, other, np.asarray(x)), answer(plain, x))


def test_what_dropout_leaves_has_the_mean_of_what_it_was_given() -> None:
    xp = JaxOperations({}, [], jax.random.key(3))
    dropped = np.asarray(xp.dropout(jax.numpy.ones((200, 30, 4)), 0.2))
    assert set(np.unique(dropped).round(5)) == {0.0, 1.25}
    assert dropped.mean() == pytest.approx(1, abs=0.02)
    over_time = np.asarray(xp.dropout(jax.numpy.ones((200, 30, 4)), 0.2, constant_over_time=True))
    assert np.array_equal(over_time, np.repeat(over_time[:, :1], 30, axis=1))
    assert not np.array_equal(dropped[:, 0], dropped[:, 1])


class Drawn:
    """Batches without end; `n_batches` of them are an epoch."""

    def __init__(self, n_batches: int, batches: list[TrainingWindows]) -> None:
        self._n_batches = n_batches
        self._batches = batches
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return self._n_batches

    def __iter__(self) -> Iterator[TrainingWindows]:
        return iter(self._batches)


@pytest.mark.parametrize("n_batches", [3, BATCHES_AT_ONCE, BATCHES_AT_ONCE + 5])
def test_an_epoch_of_drawn_batches_is_a_step_for_each_also_where_the_last_call_is_not_full(n_batches: int) -> None:
    """Plain gradient descent on series of one's own, beside NumPy's step by step."""
    data = PanelData("series", "kept", "digest", 3, 180, None)
    recipe = replace(
        recipe_of(architecture="linear", window=6, horizon=2, optimizer="sgd", learning_rate=0.05, batch_size=8),
        data=data,
        epochs=2,
    )
    rng = np.random.default_rng(3)
    batches = [
        TrainingWindows(series(8, 6, seed), series(8, 2, 100 + seed), rng.random(8).astype(np.float32) + 0.5)
        for seed in range(3 * n_batches)
    ]
    network = fresh(recipe)
    kernel, bias = network.get_weights()
    epochs = fit_with_jax(recipe, network, Drawn(n_batches, batches), batches[0], lambda: None, lambda epoch: None)
    n_steps = recipe.epochs * n_batches
    losses = []
    for step, batch in enumerate(batches[:n_steps]):
        rate = recipe.learning_rate * 0.5 * (1 + np.cos(np.pi * step / n_steps))
        errors = batch.x @ kernel + bias - batch.targets
        losses.append(float((errors**2 * batch.weights[:, None]).mean()))
        slope = 2 * errors * batch.weights[:, None] / errors.size
        kernel, bias = kernel - rate * batch.x.T @ slope, bias - rate * slope.sum(axis=0)
    for found, expected in zip(network.get_weights(), (kernel, bias), strict=True):
        assert_close(found, expected, 1e-4)
    expected_losses = np.array(losses).reshape(recipe.epochs, n_batches).mean(axis=1)
    assert [epoch.loss for epoch in epochs] == pytest.approx(expected_losses, rel=1e-4)


def test_a_second_fit_of_the_same_shape_compiles_nothing() -> None:
    recipe = replace(small(architecture="gru", layers=1), epochs=2)
    train, validation = waves(recipe)
    counts = []
    for seed in (1, 2):
        again = replace(recipe, seed=seed, learning_rate=0.001 * seed, name=f"seed {seed}")
        network = fresh(again, seed)
        fit_with_jax(again, network, train, validation, lambda: None, lambda epoch: None)
        program = find_program(network, again)
        compiled: list[Any] = [program.train, program.validate]
        counts.append((id(program), [one._cache_size() for one in compiled]))
    assert counts[0] == counts[1]


# Another value of every field of a recipe, one that its network can be built with.
CHANGED: dict[str, Any] = {
    "architecture": "lstm",
    "name": "another",
    "head": "vector",
    "readout": "recurrent",
    "window": 40,
    "horizon": 4,
    "scaling": "robust",
    "units": 5,
    "layers": 2,
    "dropout": 0.3,
    "recurrent_dropout": 0.3,
    "normalization": "layer",
    "kernel_initializer": "he_normal",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "loss": "mae",
    "epochs": 3,
    "batch_size": 16,
    "seed": 7,
    "patience": 2,
    "log": True,
    "difference": "first",
    "season": 4,
    "seasons": (4, 8),
    "evaluated_horizon": 30,
    "min_history": 5,
    "focus": 8,
    "max_windows": 100,
    "max_seconds": 9.0,
    "chosen_on_validation": True,
    "refit": True,
    "weight": 2.0,
}


def test_every_field_of_a_recipe_is_either_of_the_program_or_known_not_to_change_it() -> None:
    recipe = recipe_of(architecture="gru", layers=1)
    members = {"members": (recipe,), "data": replace(recipe.waves, n_series=7, noise=0.3)}
    changed = CHANGED | members
    assert changed.keys() == {field.name for field in fields(Recipe)}
    program = find_program(fresh(recipe), recipe)
    trace = _trace(fresh(recipe), recipe)
    for name, value in changed.items():
        other = replace(recipe, **{name: value})
        assert value != getattr(recipe, name)
        is_same = find_program(fresh(other), other) is program
        assert is_same == (name in UNCOMPILED), name
        if is_same:
            assert _trace(fresh(other), other) == trace, f"{name} changes the program"


def _trace(network: Network, recipe: Recipe) -> str:
    """A step of training as JAX sees it, for data of one shape."""
    from service.training.jax_trainer.program import Program

    program = Program(network, recipe)
    x, targets = series(4, 40), np.zeros((4, 40, recipe.horizon), np.float32)
    batches = Batches(x[None], targets[None], np.ones((1, 4), np.float32), np.ones(1, np.int32))
    fit = program.begin(network.get_weights(), 0)
    return str(jax.make_jaxpr(program.train)(fit, batches, np.ones(1, np.float32)))


def test_programs_of_padded_windows_and_of_whole_ones_are_two() -> None:
    recipe = recipe_of(architecture="gru", layers=1)
    padded = replace(recipe, data=PanelData("series", "kept", "digest", 3, 180, None))
    assert find_program(fresh(recipe), recipe) is not find_program(fresh(padded), padded)


def test_a_linear_model_of_differences_shares_no_program_with_one_of_values() -> None:
    """Of differences there are fewer than a window: it reads zeros before the start."""
    recipe = recipe_of(architecture="linear")
    of_differences = replace(recipe, difference="first")
    x = series(3, recipe.window - 1)
    network = fresh(of_differences)
    predict_with_jax(fresh(recipe), recipe, series(3, recipe.window))
    found = predict_with_jax(network, of_differences, x)
    padded = np.pad(x, [(0, 0), (1, 0)])
    kernel, bias = network.get_weights()
    assert_close(found, padded @ kernel + bias)


def test_programs_outlive_their_process(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
import numpy as np
from service.training.jax_trainer.cache import keep_programs
keep_programs(Path({str(tmp_path)!r}))
from service.domain.recipes.resolve import resolve
from service.training.jax_trainer.fitting import predict_with_jax
from service.networks.network import make_network
recipe = resolve({{"architecture": "linear"}})
predict_with_jax(make_network(recipe), recipe, np.zeros((3, 50), np.float32))
"""
    kept = []
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, env={**os.environ, "KERAS_BACKEND": "jax"}
        )
        kept.append({path.name for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith("atime")})
    assert kept[0]
    assert kept[0] == kept[1]
