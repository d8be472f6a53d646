"""Fits a network to windows."""

import time
from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from service.domain.panel_windows import TrainingWindows
from service.domain.recipes.recipe import Recipe
from service.networks.network import Network, make_network
from service.networks.operations import NumPyOperations
from service.training.checkpoints import FitCheckpoint, Standing
from service.training.data.training_set import TrainingSet
from service.training.epoch import Epoch
from service.training.jax_trainer.fitting import fit_with_jax, predict_with_jax
from service.training.median_rule import Bounds
from service.training.ridge import solve
from service.training.seeds import seeds_of_its_own

Array = NDArray[np.float32]

# A network of a preset takes NumPy a tenth of a second for these; to compile it takes half a second.
MOST_UNCOMPILED_ROWS = 500


def fit(
    recipe: Recipe,
    train: TrainingSet,
    validation: TrainingWindows,
    *,
    on_batch: Callable[[], None],
    on_epoch: Callable[[Epoch], None],
    network: Network | None = None,
    checkpoint: FitCheckpoint | None = None,
    bounds: Bounds = (),
) -> tuple[Network, list[Epoch]]:
    """Fits a network. The same recipe and windows give the same weights on the CPU.

    Args:
        recipe: decides the network, the optimiser and the seed.
        train: windows in the model's units; or what draws batches of them without end, for which the learning rate
            falls to zero along half a cosine.
        validation: windows to choose the epoch and, of a ridge regression, the penalty by.
        on_batch: called after every batch; what it raises ends the fit.
        on_epoch: called after every epoch; what it raises ends the fit.
        network: one that this function returned, to go on with windows of the same shapes: its optimiser begins anew,
            and nothing is compiled again; by default a fresh one.
        checkpoint: what a run before has left of this fit, to go on from, and where this one leaves it. The weights
            are then those of a fit that was never interrupted.
        bounds: of the validation loss, by epoch: a fit that is above ends early. A ridge regression has one epoch.

    Returns:
        The network and its epochs. Early stopping keeps the weights with the best validation loss (for sequence heads,
        whose other answers are never a forecast, that of the last time step); without it the last ones stay.
    """
    if network is None:
        network = begin_network(recipe)
    if not recipe.preset.is_fitted or not recipe.epochs:
        return network, []
    began = time.monotonic()
    standing = None if checkpoint is None else checkpoint.read()
    if standing is not None and standing.has_ended:
        restore_network(network, standing)
        for epoch in standing.epochs:
            on_epoch(epoch)
        return network, standing.epochs
    before = 0.0 if standing is None else standing.seconds
    epochs = _fit(recipe, network, train, validation, on_batch, on_epoch, checkpoint, standing, bounds)
    if checkpoint is not None:
        facts = {"penalty": network.penalty}
        seconds = before + time.monotonic() - began
        checkpoint.write(Standing(network.get_weights(), epochs, facts, seconds, has_ended=True))
    return network, epochs


def begin_network(recipe: Recipe) -> Network:
    """A network with the weights that a fit begins with, which the recipe's seed decides."""
    # Without its search for garbage among all objects of the process; `service.job_process` does that after each job.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(recipe.seed)
    with seeds_of_its_own(recipe.seed):
        return make_network(recipe)


def restore_network(network: Network, ended: Standing) -> None:
    """Gives a network what a fit ended with."""
    network.set_weights(ended.arrays)
    network.penalty = ended.facts["penalty"]


def _fit(
    recipe: Recipe,
    network: Network,
    train: TrainingSet,
    validation: TrainingWindows,
    on_batch: Callable[[], None],
    on_epoch: Callable[[Epoch], None],
    checkpoint: FitCheckpoint | None,
    standing: Standing | None,
    bounds: Bounds,
) -> list[Epoch]:
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
        return [epoch]
    return fit_with_jax(recipe, network, train, validation, on_batch, on_epoch, checkpoint, standing, bounds)


def predict(network: Network, recipe: Recipe, inputs: Array) -> Array:
    """The network's forecasts from the last point, in its own units: [n, window] -> [n, horizon].

    NumPy computes few rows, for each length of which a program would have to be compiled.
    """
    if len(inputs) > MOST_UNCOMPILED_ROWS:
        return predict_with_jax(network, recipe, inputs, last_only=True)
    # Numbers that are not finite are the caller's to find, as they are after JAX.
    with np.errstate(all="ignore"):
        answers: Array = np.asarray(network.forward(NumPyOperations(), inputs), np.float32)
    return answers[:, -1].copy() if network.answers_at_every_step else answers
