"""The choice of scaling and logarithm by a linear model."""

import numpy as np
import pytest

from service.domain.recipes.recipe import PanelData
from service.domain.recipes.resolve import resolve
from service.training.data.panel_split import prepare_panel
from service.training.scaling_selection import choose_transform


@pytest.mark.parametrize("architecture", [pytest.param("gru", marks=pytest.mark.exhaustive), "mlp"])
def test_a_season_longer_than_what_the_linear_model_reads_is_no_obstacle(architecture: str) -> None:
    time = np.arange(1500)
    series = [np.exp(np.sin(2 * np.pi * time / 150) + i + 0.001 * time) for i in range(2)]
    data = PanelData("series", "kept", "digest", 2, 3000, None)
    recipe = resolve({"architecture": architecture, "horizon": 20, "season": 150}, data, np.array([1500, 1500]))
    chosen = choose_transform(recipe, prepare_panel(series, recipe, "interpolate"))
    assert not chosen.chosen_on_validation
    # What grows by a constant share is even in logarithms.
    assert chosen.log
