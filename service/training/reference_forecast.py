"""A trained network's forecasts, the plain way: scaled in NumPy, answered by its forward pass. Proofs of exports."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.differencing import difference, phase
from service.domain.normalization import normalize
from service.domain.recipes.recipe import Recipe, weight_shares
from service.domain.scaling import measure
from service.networks import rollout
from service.networks.network import Network
from service.networks.operations import NumPyOperations
from service.networks.rollout import EnsembleForecaster
from service.training.fit import predict

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

# Rows of one call; more gain nothing and cost memory.
CHUNK = 500


def forecast(recipe: Recipe, networks: Sequence[Network], inputs: NDArray[np.floating]) -> Floats:
    """The forecast over the model's own horizon, in units of the inputs, of an ensemble the mean of its members'.

    Args:
        inputs: series of one length [n, time], in 32 bits as the served graph gets them.

    Returns:
        [n, horizon].
    """
    members = recipe.members or (recipe,)
    answers = [_forecast_one(member, net, inputs) for member, net in zip(members, networks, strict=True)]
    return np.asarray(np.average(answers, axis=0, weights=weight_shares(members)), np.float32)


def _forecast_one(recipe: Recipe, network: Network, inputs: NDArray[np.floating]) -> Floats:
    read = inputs if recipe.reads_whole_series else inputs[:, -recipe.window :]
    statistics = measure(read, recipe.scaling, log=recipe.log)
    scaled = statistics.transform(read)
    answers = predict(network, recipe, difference(scaled, recipe.lag))
    if recipe.lag:
        answers = answers + scaled[:, scaled.shape[1] - phase(recipe.horizon, recipe.lag)]
    return np.asarray(statistics.inverse(answers), np.float32)


class Forecaster:
    """Forecasts any horizon with trained networks, by the program that is exported; rows may differ in length.

    NumPy runs it: a graph of TensorFlow takes as long to trace as NumPy takes for thousands of rows.
    """

    def __init__(self, recipe: Recipe, networks: Sequence[Network]) -> None:
        members = recipe.members or (recipe,)
        self._recipe = recipe
        self._forecaster = EnsembleForecaster(
            [rollout.Forecaster(network, member, cuts=True) for network, member in zip(networks, members, strict=True)]
        )

    def forecast(self, inputs: Array, horizon: int) -> Array:
        """Inputs [n, time], NaN on the right of shorter ones -> [n, horizon].

        Raises:
            ValueError: an input is shorter than the model needs.
        """
        lengths = (~np.isnan(inputs)).sum(axis=1).astype(np.int32)
        if len(lengths) and lengths.min() < self._recipe.min_length:
            raise ValueError(f"This model needs at least {self._recipe.min_length} points, not {lengths.min()}.")
        # Numbers that are not finite are the caller's to find.
        with np.errstate(all="ignore"):
            parts = [
                self._forecast(inputs[i : i + CHUNK], lengths[i : i + CHUNK], horizon)
                for i in range(0, len(inputs), CHUNK)
            ]
        return np.concatenate(parts)

    def _forecast(self, inputs: Array, lengths: NDArray[np.int32], horizon: int) -> Array:
        series, reference = normalize(inputs, lengths, self._recipe.equivariance)
        xp = NumPyOperations()
        if horizon <= self._recipe.horizon:
            answers = self._forecaster.forecast(xp, series, lengths)[:, :horizon]
        else:
            answers = self._forecaster.rollout(xp, series, lengths, horizon)
        return np.asarray(answers if reference is None else reference.restore(answers), np.float64)
