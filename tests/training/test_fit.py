from dataclasses import replace
from itertools import product
from typing import Any

import keras
import numpy as np
import pytest

from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.resolve import resolve
from service.networks.network import Network, make_network
from service.training.data.panel_split import prepare_panel
from service.training.data.wave_data import prepare_waves
from service.training.data.window_sampler import Importance, WindowSampler
from service.training.epoch import Epoch
from service.training.fit import fit
from service.training.wave_scores import score_waves

SMALL: dict[str, Any] = {"data": {"n_series": 200}, "epochs": 2}


def run(recipe: Recipe, **callbacks: Any) -> tuple[Network, list[Epoch]]:
    waves = prepare_waves(recipe)
    return fit(
        recipe,
        waves.train.windows,
        waves.validation.windows,
        **{"on_batch": lambda: None, "on_epoch": lambda epoch: None, **callbacks},
    )


@pytest.mark.parametrize(
    "request_",
    [
        {"architecture": "linear"},
        {"architecture": "vector_rnn", "layers": 1, "dropout": 0.2, "recurrent_dropout": 0.2},
        pytest.param({"architecture": "wavenet", "layers": 1, "dropout": 0.2}, marks=pytest.mark.exhaustive),
    ],
)
def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(request_: dict[str, Any]) -> None:
    recipes = [resolve({**SMALL, **request_, "seed": seed}) for seed in (1, 1, 2)]
    first, second, other = (run(recipe)[0].get_weights() for recipe in recipes)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_a_fit_gets_better_and_tells_every_epoch() -> None:
    seen: list[Epoch] = []
    recipe = resolve({"architecture": "linear", "data": {"n_series": 500}, "epochs": 5})
    _, epochs = run(recipe, on_epoch=seen.append)
    assert seen == epochs
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5]
    assert epochs[-1].loss < epochs[0].loss
    assert epochs[-1].val_loss < epochs[0].val_loss


def test_what_a_callback_raises_ends_the_fit() -> None:
    batches = 0

    def stop_at_the_third() -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(resolve({**SMALL, "architecture": "linear"}), on_batch=stop_at_the_third)
    assert batches == 3


def test_early_stopping_ends_when_validation_no_longer_gains_and_keeps_the_best_weights() -> None:
    request = {
        "architecture": "linear",
        "data": {"n_series": 60},
        "learning_rate": 0.5,
        "epochs": 100,
        "early_stopping": {"patience": 1},
    }
    recipe = resolve(request)
    network, epochs = run(recipe)
    assert len(epochs) < 100
    best = min(epoch.val_loss for epoch in epochs)
    assert best < epochs[-1].val_loss
    material = prepare_waves(recipe)
    assert score_waves(recipe, [network], material)["validation"]["mse"] == pytest.approx(best, rel=1e-3)


def initial(recipe: Recipe) -> list[np.ndarray]:
    """The weights that a fit begins with: one whose steps are too small for float32."""
    return [np.asarray(w) for w in run(replace(recipe, learning_rate=1e-30))[0].get_weights()]


def gradients(recipe: Recipe, kernel: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
    """Of the mean loss of all windows, for a dense layer."""
    windows = prepare_waves(recipe).train.windows
    errors = windows.x @ kernel + bias - windows.targets
    of_answers = (2 * errors if recipe.loss == "mse" else np.sign(errors)) / errors.size
    return [windows.x.T @ of_answers, of_answers.sum(axis=0)]


# Each optimiser and each loss; every optimiser's steps are Keras' in test_jax_trainer too.
QUICK = {("adam", "mse"), ("sgd", "mae")}


@pytest.mark.parametrize(
    ("optimizer", "loss"),
    [
        pytest.param(*choice, marks=() if choice in QUICK else pytest.mark.exhaustive)
        for choice in product(("adam", "nadam", "rmsprop", "sgd"), ("mse", "mae"))
    ],
)
def test_the_fit_steps_as_its_optimiser_does_down_its_loss(optimizer: str, loss: str) -> None:
    request = {"optimizer": optimizer, "loss": loss, "learning_rate": 0.02, "epochs": 1, "batch_size": 140}
    # An odd count of windows, 133: of an even one absolute errors may have no slope, and what is next to none no sign.
    recipe = resolve({"architecture": "linear", **request, "data": {"n_series": 190}})
    variables = [keras.Variable(w) for w in initial(recipe)]
    slopes = gradients(recipe, *[v.numpy() for v in variables])
    by_keras = type(keras.optimizers.get(optimizer))(learning_rate=0.02)
    by_keras.apply([keras.ops.convert_to_tensor(slope) for slope in slopes], variables)
    for found, expected in zip(run(recipe)[0].get_weights(), variables, strict=True):
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("batch_size", "steps"), [(140, 1), pytest.param(7, 20, marks=pytest.mark.exhaustive), (5, 28)]
)
def test_an_epoch_has_a_step_for_each_batch(batch_size: int, steps: int) -> None:
    """Steps so small that the slope stays add up to one times their count, whatever the order of the windows."""
    rate = 1e-4
    request = {"optimizer": "sgd", "learning_rate": rate, "epochs": 1, "batch_size": batch_size}
    recipe = resolve({**SMALL, "architecture": "linear", **request})
    begin = initial(recipe)
    found = run(recipe)[0].get_weights()
    for after, before, slope in zip(found, begin, gradients(recipe, *begin), strict=True):
        np.testing.assert_allclose((before - after) / rate, steps * slope, atol=0.02 * steps * np.abs(slope).max())


def test_the_fit_begins_with_weights_of_the_initialiser_that_was_asked_for() -> None:
    for name, spread in (("he_uniform", 6 / 50), ("glorot_uniform", 6 / 60), ("lecun_uniform", 3 / 50)):
        kernel, bias = initial(resolve({**SMALL, "architecture": "linear", "kernel_initializer": name}))
        assert np.abs(kernel).max() == pytest.approx(np.sqrt(spread), rel=0.02)
        assert np.abs(bias).max() < 1e-20


def test_naive_needs_no_fit_and_scores_as_its_own_baseline() -> None:
    recipe = resolve({"architecture": "naive", "data": {"n_series": 300}})
    network, epochs = run(recipe)
    metrics = score_waves(recipe, [network], prepare_waves(recipe))
    assert epochs == []
    assert metrics["test"]["mse"] == pytest.approx(metrics["baselines"]["naive"]["test"]["mse"])
    assert len(metrics["test"]["by_step"]["mse"]) == 10


def test_scores_are_in_the_users_units_whatever_the_scaling() -> None:
    raw, scaled = (
        score_waves(recipe, [run(recipe)[0]], prepare_waves(recipe))
        for recipe in (
            resolve({"architecture": "naive", "data": {"n_series": 100}, "scaling": scaling})
            for scaling in ("none", "standard")
        )
    )
    assert scaled["test"]["mse"] == pytest.approx(raw["test"]["mse"], rel=1e-4)
    assert scaled["baselines"]["naive"] == raw["baselines"]["naive"]


def test_training_never_sees_validation_or_test_series() -> None:
    material = prepare_waves(resolve({"architecture": "linear", "data": {"n_series": 100}}))
    parts = [{row.tobytes() for row in part.inputs} for part in (material.train, material.validation, material.test)]
    assert [len(part) for part in parts] == [70, 20, 10]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_going_on_begins_as_a_first_fit_does() -> None:
    series = [np.sin(np.arange(60) / (3 + i)) * 10.0**i for i in range(3)]
    data = PanelData("series", "kept", "digest", 3, 180, None)
    recipe = resolve(
        {"architecture": "mlp", "horizon": 4, "season": 1, "window": 12, "dropout": 0, "epochs": 3, "max_windows": 200},
        data,
        np.array([60, 60, 60]),
    )
    prepared = prepare_panel(series, recipe, "interpolate")
    ends = prepared.split.train_ends

    def fit_draws(network: Network | None = None) -> Network:
        draws = WindowSampler(recipe, prepared.rows, ends, Importance(prepared.rows, ends, recipe.season))
        held_out = draws.windows(prepared.validation.series, prepared.validation.ends, last_only=True)
        return fit(recipe, draws, held_out, on_batch=lambda: None, on_epoch=lambda epoch: None, network=network)[0]

    keras.utils.set_random_seed(recipe.seed)
    start = make_network(recipe).get_weights()
    network = fit_draws()
    first = network.get_weights()
    network.set_weights(start)
    second = fit_draws(network).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
