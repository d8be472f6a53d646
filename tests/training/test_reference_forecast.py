"""Forecasts that fits are measured by, against the graph that is served."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from service.domain.normalization import normalize
from service.domain.recipes.recipe import PanelData, Recipe
from service.training.export.serving_graph import ServingGraph
from service.training.reference_forecast import CHUNK, Forecaster
from tests.networks.samples import calm, recipe_of
from tests.training.exports import assert_same

Array = np.ndarray[Any, np.dtype[np.float64]]
SEVERAL = [
    {"architecture": "gru", "head": "vector", "scaling": "robust", "window": 24, "horizon": 4},
    {"architecture": "theta_mlp", "scaling": "mean", "window": 30, "horizon": 4, "season": 7},
]


def make_recipe(*members: dict[str, Any]) -> Recipe:
    """A recipe for series of one's own; of several members their ensemble."""
    data = PanelData("series", "kept", "digest", 3, 180, None)
    recipes = tuple(replace(recipe_of(**member), data=data) for member in members)
    return recipes[0] if len(recipes) == 1 else replace(recipes[1], members=recipes)


def make_series(recipe: Recipe, n: int) -> Array:
    """Series of all lengths that the model reads, padded with NaN."""
    rng = np.random.default_rng(0)
    time = recipe.longest_window + 9
    values = 200 + 40 * np.sin(np.arange(time) * 0.7 + rng.random((n, 1))) + rng.normal(size=(n, time))
    for i, row in enumerate(values):
        row[recipe.min_length + i % (time - recipe.min_length + 1) :] = np.nan
    return np.asarray(values, np.float64)


@pytest.fixture(scope="module", params=[SEVERAL[:1], SEVERAL[1:], SEVERAL], ids=["gru", "theta_mlp", "both"])
def graph(request: pytest.FixtureRequest) -> ServingGraph:
    recipe = make_recipe(*request.param)
    return ServingGraph([calm(member) for member in recipe.members or (recipe,)], recipe)


@pytest.mark.parametrize("horizon", [3, 4, 11])
def test_what_is_measured_is_what_the_served_graph_forecasts(graph: ServingGraph, horizon: int) -> None:
    recipe = graph.recipe
    series = make_series(recipe, CHUNK + 3)
    found = Forecaster(recipe, graph.networks).forecast(series, horizon)
    lengths = (~np.isnan(series)).sum(axis=1).astype(np.int32)
    normalized, reference = normalize(series, lengths, recipe.equivariance)
    answers = graph.rollout(tf.constant(normalized[:, :, None]), tf.constant(lengths), tf.constant(horizon))
    served = answers["forecast"].numpy()
    expected = served if reference is None else reference.restore(served)
    assert found.shape == (len(series), horizon)
    for row, ours, theirs in zip(series, found, expected, strict=True):
        assert_same(ours, theirs, row[~np.isnan(row)], share=1e-4 if horizon > recipe.horizon else 1e-5)


def test_a_series_shorter_than_the_model_needs_is_refused() -> None:
    recipe = make_recipe({"architecture": "patchtst", "scaling": "standard"})
    series = make_series(recipe, 2)
    series[1, recipe.min_length - 1 :] = np.nan
    with pytest.raises(ValueError, match=f"at least {recipe.min_length} points"):
        Forecaster(recipe, [calm(recipe)]).forecast(series, 3)
