"""Fits a network to windows."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.training.compiled.fitting import fit_compiled, predict_compiled
from service.training.device import fits_with_keras
from service.training.epoch import Epoch
from service.training.ridge import solve
from service.training.seeds import seeds_of_its_own
from service.zoo.network import Network, make_network

Array = NDArray[np.float32]


def fit(
    recipe: Recipe,
    train: Any,
    validation: Any,
    *,
    on_batch: Callable[[], None],
    on_epoch: Callable[[Epoch], None],
    network: Network | None = None,
) -> tuple[Network, list[Epoch]]:
    """Fits a network. The same recipe and windows give the same weights on the CPU.

    Args:
        recipe: decides the network, the optimiser and the seed.
        train: inputs [n, window] and targets as `service.domain.windows.make_targets` gives them, in the model's units;
            or batches of them with weights (`service.training.data.window_sampler.WindowSampler`,
            `service.training.data.wave_sampler.WaveSampler`), for which the learning rate falls to zero along half a
            cosine.
        validation: inputs and targets, and weights beside batches with weights.
        on_batch: called after every batch; what it raises ends the fit.
        on_epoch: called after every epoch; what it raises ends the fit.
        network: one that this function returned, to go on with windows of the same shapes: its optimiser begins anew,
            and nothing is compiled again; by default a fresh one.

    Returns:
        The network and its epochs. Early stopping keeps the weights with the best validation loss (for sequence heads,
        whose other answers are never a forecast, that of the last time step); without it the last ones stay.
    """
    if network is None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(recipe.seed)
        with seeds_of_its_own(recipe.seed):
            network = make_network(recipe)
    if not recipe.preset.is_fitted:
        return network, []
    if recipe.preset.is_solved:
        started = time.monotonic()
        loss, val_loss = solve(
            network,
            train,
            validation,
            on_batch,
            by_squares=recipe.own_data is not None and recipe.own_data.is_intermittent,
        )
        epoch = Epoch(1, loss, val_loss, time.monotonic() - started)
        on_epoch(epoch)
        return network, [epoch]
    fit_here = fit_compiled
    if fits_with_keras():
        # It needs TensorFlow, which the compiled programs do without.
        from service.training.fit_keras import fit_keras as fit_here
    return network, fit_here(recipe, network, train, validation, on_batch, on_epoch)


def predict(network: Network, recipe: Recipe, inputs: Array) -> Array:
    """The network's forecasts from the last point, in its own units: [n, window] -> [n, horizon]."""
    if not fits_with_keras():
        return predict_compiled(network, recipe, inputs, last_only=True)
    from service.training.fit_keras import predict_keras

    answers = predict_keras(network, inputs)
    return answers[:, -1] if network.head == "sequence" else answers
