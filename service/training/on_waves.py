"""Trains on the chapter's waves."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.domain.plan import Plan
from service.domain.recipe import Recipe
from service.training.epoch import Epoch
from service.training.evaluate import evaluate
from service.training.fit import fit
from service.training.forecast import forecast
from service.training.fresh import FreshWaves
from service.training.material import Material, prepare
from service.training.outcome import Outcome
from service.training.report import Reporter
from service.training.tuning import tune
from service.zoo.network import Network

Array = NDArray[np.float32]

# Series for the proof of an export, of each length.
PROOF_SERIES = 8


def train_on_waves(plan: Plan, on_batch: Callable[[], None], reporter: Reporter) -> Outcome:
    """Fits the plan's recipes, of ensembles each member, and scores the one that validates best."""
    if plan.search is not None:

        def fit_one(recipe: Recipe, on_epoch: Callable[[Epoch], None]) -> tuple[Outcome, float]:
            outcome = _train(recipe, on_batch, on_epoch)
            return outcome, float(outcome.metrics["validation"]["mse"])

        return tune(plan.search, plan.recipes[0], fit_one, reporter)
    ends_at = None if plan.max_seconds is None else time.monotonic() + plan.max_seconds
    outcomes: list[Outcome] = []
    for recipe in plan.recipes:
        if outcomes and ends_at is not None and time.monotonic() >= ends_at:
            reporter.skip(recipe.epochs)
            continue
        outcomes.append(_train(recipe, on_batch, reporter.epoch))
    return min(outcomes, key=lambda one: float(one.metrics["validation"]["mse"]))


def _train(recipe: Recipe, on_batch: Callable[[], None], on_epoch: Callable[[Epoch], None]) -> Outcome:
    material = prepare(recipe)
    networks, epochs = [], []
    for member in recipe.members or (recipe,):
        network, run = fit(
            member,
            FreshWaves(member) if member.max_windows else (material.train.scaled_inputs, material.train.targets),
            (material.validation.scaled_inputs, material.validation.targets),
            on_batch=on_batch,
            on_epoch=on_epoch,
        )
        networks.append(network)
        epochs += run
    return Outcome(
        recipe,
        networks,
        evaluate(recipe, networks, material),
        {
            **recipe.to_dict()["data"],
            "digest": material.digest,
            "n_windows": material.n_windows,
            "freq": None,
            "season": None,
        },
        len(epochs),
        _proofs(recipe, networks, material),
    )


def _proofs(recipe: Recipe, networks: list[Network], material: Material) -> list[tuple[Array, Array]]:
    """Test series of the window's length and of a shorter odd one, with the trained network's forecasts for them."""
    inputs = material.test.inputs[:PROOF_SERIES]
    lengths = {recipe.window, max(recipe.min_length, recipe.window // 2 + 1)}
    return [(part := inputs[:, -length:], forecast(recipe, networks, part)) for length in sorted(lengths)]
