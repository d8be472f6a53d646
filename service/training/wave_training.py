"""Trains on the chapter's waves."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.domain.recipes.training_plan import TrainingPlan
from service.training.data.wave_data import WaveData, prepare_waves
from service.training.data.wave_sampler import WaveSampler
from service.training.epoch import Epoch
from service.training.fit import fit
from service.training.progress import ProgressReporter
from service.training.training_result import TrainingResult
from service.training.tuning import tune
from service.training.wave_scores import score_waves

Array = NDArray[np.float32]

# Series for the proof of an export, of each length.
PROOF_SERIES = 8


def train_on_waves(plan: TrainingPlan, on_batch: Callable[[], None], reporter: ProgressReporter) -> TrainingResult:
    """Fits the plan's recipes, of ensembles each member, and scores the one that validates best."""
    if plan.search is not None:

        def fit_one(recipe: Recipe, on_epoch: Callable[[Epoch], None]) -> tuple[TrainingResult, float]:
            result = _train(recipe, on_batch, on_epoch)
            return result, float(result.metrics["validation"]["mse"])

        return tune(plan.search, plan.recipes[0], fit_one, reporter)
    ends_at = None if plan.max_seconds is None else time.monotonic() + plan.max_seconds
    results: list[TrainingResult] = []
    for recipe in plan.recipes:
        if results and ends_at is not None and time.monotonic() >= ends_at:
            reporter.skip(recipe.epochs)
            continue
        results.append(_train(recipe, on_batch, reporter.epoch))
    return min(results, key=lambda result: float(result.metrics["validation"]["mse"]))


def _train(recipe: Recipe, on_batch: Callable[[], None], on_epoch: Callable[[Epoch], None]) -> TrainingResult:
    waves = prepare_waves(recipe)
    networks, epochs = [], []
    for member in share_seconds(recipe.members or (recipe,)):
        network, run = fit(
            member,
            WaveSampler(member) if member.max_windows else waves.train.windows,
            waves.validation.windows,
            on_batch=on_batch,
            on_epoch=on_epoch,
        )
        networks.append(network)
        epochs += run
    return TrainingResult(
        recipe,
        networks,
        score_waves(recipe, networks, waves),
        {
            **recipe.to_dict()["data"],
            "digest": waves.digest,
            "n_windows": waves.n_windows,
            "freq": None,
            "season": None,
        },
        len(epochs),
        _proof_series(recipe, waves),
    )


def share_seconds(members: Sequence[Recipe]) -> list[Recipe]:
    """The members of an ensemble, each with its part of the seconds that all have together."""
    return [
        member if member.max_seconds is None else replace(member, max_seconds=member.max_seconds / len(members))
        for member in members
    ]


def _proof_series(recipe: Recipe, waves: WaveData) -> list[Array]:
    """Test series of the window's length and of a shorter odd one."""
    inputs = waves.test.inputs[:PROOF_SERIES]
    lengths = {recipe.window, max(recipe.min_length, recipe.window // 2 + 1)}
    return [inputs[:, -length:] for length in sorted(lengths)]
