"""Ridge regression against what its equation says, and against series that it must get right."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.resolve import resolve
from service.errors import InvalidRequest
from service.networks.network import Network
from service.networks.operations import NumPyOperations
from service.training.data.panel_split import PreparedPanel, prepare_panel
from service.training.data.window_sampler import Importance, WindowSampler
from service.training.fit import fit
from service.training.reference_forecast import forecast
from service.training.ridge import PENALTIES
from tests.networks.samples import answer


def prepared(series: list[np.ndarray], **options: Any) -> tuple[Recipe, PreparedPanel]:
    lengths = np.array([len(one) for one in series])
    data = PanelData("series", "kept", "digest", len(series), int(lengths.sum()), None)
    recipe = resolve({"architecture": "ridge", "scaling": "standard", **options}, data, lengths)
    return recipe, prepare_panel(series, recipe, "interpolate")


def solved(recipe: Recipe, panel: PreparedPanel) -> tuple[Network, WindowSampler]:
    ends = panel.split.train_ends
    draws = WindowSampler(recipe, panel.rows, ends, Importance(panel.rows, ends, recipe.season))
    held_out = draws.windows(panel.validation.series, panel.validation.ends, last_only=True)
    network, epochs = fit(recipe, draws, held_out, on_batch=lambda: None, on_epoch=lambda epoch: None)
    assert len(epochs) == 1
    return network, draws


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), season=st.sampled_from([1, 4]), horizon=st.sampled_from([1, 6]))
def test_the_weights_solve_the_normal_equations(seed: int, season: int, horizon: int) -> None:
    rng = np.random.default_rng(seed)
    series = [10.0**i * np.cumsum(rng.standard_normal(60 + 7 * i)) for i in range(3)]
    recipe, panel = prepared(series, season=season, horizon=horizon, window=8)
    network, draws = solved(recipe, panel)
    x, residuals, weights = [], [], []
    for one in draws.every(10_000):
        features, _ = network.regressors(NumPyOperations(), one.x)
        x.append(np.asarray(features, np.float64))
        residuals.append(one.targets - answer(network, one.x).astype(np.float64))
        weights.append(one.weights.astype(np.float64))
    features, left, share = np.concatenate(x), np.concatenate(residuals), np.concatenate(weights)
    share /= share.sum()
    kernel, _ = network.head.answer.get_weights()
    assert network.penalty in PENALTIES
    variance = np.average(np.square(features - share @ features), axis=0, weights=share).mean()
    size = np.abs(left).mean() + 1e-6
    assert np.abs(share @ left).max() < 1e-3 * size
    gradient = (features * share[:, None]).T @ left - network.penalty * variance * kernel
    assert np.abs(gradient).max() < 1e-3 * size


def test_what_is_linear_is_forecast_closely_whatever_its_magnitude() -> None:
    time = np.arange(120)
    series = [10.0**i * (3 + np.sin(2 * np.pi * time / (9 + i)) + np.cos(2 * np.pi * time / 5)) for i in range(-2, 3)]
    recipe, panel = prepared(series, season=1, horizon=6, window=30, scaling="mean")
    network, _ = solved(recipe, panel)
    for one in series:
        answer = forecast(recipe, [network], one[None, :-6])[0]
        assert np.abs(answer - one[-6:]).max() < 0.1 * np.ptp(one)


def test_one_long_series_does_not_outweigh_short_ones() -> None:
    rng = np.random.default_rng(3)
    series = [np.cumsum(rng.standard_normal(n)) for n in (1000, 50, 50)]
    recipe, panel = prepared(series, season=1, horizon=4, window=8)
    draws = solved(recipe, panel)[1]
    counts = panel.split.train_ends - 4 - recipe.min_history + 1
    weights = np.concatenate([one.weights for one in draws.every(10_000)])
    assert len(weights) == counts.sum() == draws.n_windows
    last_of_first = counts[0]
    # Not exactly: an error also counts by how much its series moves.
    ratio = weights[:last_of_first].sum() / weights[last_of_first : last_of_first + counts[1]].sum()
    assert 0.2 < ratio < 5 < counts[0] / counts[1]
    assert sum(len(one.weights) for one in draws.every(500)) == 500


@pytest.mark.parametrize(
    "option", [{"epochs": 3}, {"loss": "mae"}, {"learning_rate": 0.1}, {"ensemble": {"members": 2}}]
)
def test_what_is_solved_has_no_options_of_a_fit(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(option))):
        resolve({"architecture": "ridge", **option})
