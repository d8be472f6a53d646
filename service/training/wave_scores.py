"""Scores of a trained network and of the baselines it has to beat, in the user's units."""

from collections.abc import Sequence
from typing import Any

from service.domain.metrics import score
from service.domain.recipes.recipe import Recipe
from service.networks.network import Network
from service.training.data.wave_data import WaveData
from service.training.reference_forecast import forecast


def score_waves(recipe: Recipe, networks: Sequence[Network], waves: WaveData) -> dict[str, Any]:
    """Scores on each part, and those of the baselines beside.

    Returns:
        `{"train": {..}, "validation": {..}, "test": {..}, "baselines": {..}}`, each leaf as
        `service.domain.metrics.score` gives it; baselines as `WaveData.baselines` has them.
    """
    parts = {"train": waves.train, "validation": waves.validation, "test": waves.test}
    return {
        **{name: score(part.futures, forecast(recipe, networks, part.inputs)) for name, part in parts.items()},
        "baselines": waves.baselines,
    }
