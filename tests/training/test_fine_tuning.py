"""The zero-shot model as something to train: it begins as what is served without training, and learns from series."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.domain.seasons import Seasons
from service.engines.onnx import OnnxZeroShot
from service.networks.network import make_network
from service.networks.operations import NumPyOperations
from service.store.pretrained import FOLDER
from tests.training.bench import Bench, values_of

Array = NDArray[np.float64]
HORIZON = 6


def monthly(n: int, time: int = 72, seed: int = 0) -> list[Array]:
    """Series whose next year is the last one, a tenth higher: what no classical method expects by itself."""
    rng = np.random.default_rng(seed)
    t = np.arange(time)
    patterns = np.exp(0.3 * rng.normal(size=(n, 12)))[:, t % 12]
    levels = 50 * 1.1 ** (t // 12) * np.exp(rng.normal(size=(n, 1)))
    return list(levels * patterns * np.exp(0.02 * rng.normal(size=(n, time))))


def recipes_of(bench: Bench, architecture: str) -> tuple[Recipe, ...]:
    plan, _ = bench.plan(monthly(20), "MS", architecture=architecture, horizon=HORIZON)
    return plan.recipes


@pytest.mark.parametrize("length", [96, 40, 13, 3])
def test_unfitted_it_forecasts_as_the_model_in_the_package(bench: Bench, length: int) -> None:
    (recipe,) = recipes_of(bench, "zero_shot")
    values = np.stack(monthly(4, 96)).astype(np.float32)[:, :length]
    padded = np.full((4, recipe.window), np.nan, np.float32)
    kept = min(length, recipe.window)
    padded[:, :kept] = values[:, -kept:]
    answer = make_network(recipe).forward(NumPyOperations(), padded)
    lengths = np.full(4, kept, np.int32)
    served = OnnxZeroShot(FOLDER / "zero-shot").combine(values[:, -kept:], lengths, Seasons(12), HORIZON)
    np.testing.assert_allclose(answer, served.forecast, rtol=2e-4)


def test_fine_tuning_learns_from_the_series_and_is_published_as_any_model(bench: Bench) -> None:
    series = monthly(60)
    fit = {"architecture": "zero_shot", "horizon": HORIZON, "max_windows": 1000, "batch_size": 50}
    untouched = bench.fit(series, "MS", **fit, epochs=1, learning_rate=1e-9)
    manifest = bench.train(series, "MS", **fit, epochs=6, learning_rate=2e-3, name="tuned")
    assert manifest.metrics["validation"]["mase"] < 0.97 * untouched.metrics["validation"]["mase"]
    assert manifest.gate is not None
    assert manifest.gate["passed"], manifest.gate
    # It knows the season of its training, and is no model for any season.
    assert not manifest.is_zero_shot
    assert manifest.engines["onnx"].get("difference", 1) < 1e-4, manifest.engines
    (forecast,) = bench.forecast(manifest, [series[0].tolist()])
    assert len(values_of(forecast)) == HORIZON


def test_auto_takes_it_as_one_kind_of_its_ensemble(bench: Bench) -> None:
    for architecture in ("auto", "flagship"):
        kinds = [recipe for recipe in recipes_of(bench, architecture) if recipe.architecture == "zero_shot"]
        assert len(kinds) == 1
        assert kinds[0].epochs > 0
