"""Scores of a trained network and of the baselines it has to beat, in the user's units."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.domain.baselines import apply_linear, fit_linear, naive
from service.domain.metrics import score
from service.domain.recipes.recipe import Recipe
from service.networks.network import Network
from service.training.data.wave_data import WaveData, WavePart
from service.training.reference_forecast import forecast


def score_waves(recipe: Recipe, networks: Sequence[Network], waves: WaveData) -> dict[str, Any]:
    """Scores on each part, and of naive and linear (least squares on the same training windows) beside.

    Returns:
        `{"train": {..}, "validation": {..}, "test": {..}, "baselines": {"naive": {"validation": {..}, "test": {..}},
        "linear": {..}}}`, each leaf as `service.domain.metrics.score` gives it.
    """
    horizon = waves.train.futures.shape[1]
    # The linear baseline learns in scaled units, as the networks do, so that it too fits series of any magnitude.
    coefficients = fit_linear(waves.train.scaled_inputs, _scaled_futures(waves.train))

    def linear(part: WavePart) -> np.ndarray[Any, np.dtype[np.float64]]:
        return part.statistics.inverse(apply_linear(coefficients, part.scaled_inputs))

    held_out = {"validation": waves.validation, "test": waves.test}
    return {
        **{
            name: score(part.futures, forecast(recipe, networks, part.inputs))
            for name, part in {"train": waves.train, **held_out}.items()
        },
        "baselines": {
            "naive": {name: score(part.futures, naive(part.inputs, horizon)) for name, part in held_out.items()},
            "linear": {name: score(part.futures, linear(part)) for name, part in held_out.items()},
        },
    }


def _scaled_futures(part: WavePart) -> np.ndarray[Any, np.dtype[np.float32]]:
    return part.statistics.transform(part.futures)
