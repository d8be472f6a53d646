"""Trains on the chapter's waves."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.domain.panel_windows import TrainingWindows
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.training_plan import TrainingPlan
from service.networks.network import make_network
from service.training.data.training_set import TrainingSet
from service.training.data.wave_data import WaveData, prepare_waves
from service.training.data.wave_sampler import WaveSampler
from service.training.epoch import Epoch
from service.training.fits import Fits, FitTask
from service.training.progress import ProgressReporter
from service.training.training_result import TrainingResult
from service.training.tuning import tune
from service.training.wave_scores import score_waves

Array = NDArray[np.float32]

# Series for the proof of an export, of each length.
PROOF_SERIES = 8


class WaveWindows:
    """The waves that recipes are fitted to, as tasks want them."""

    def __init__(self, recipe: Recipe) -> None:
        self.waves = prepare_waves(recipe)

    @property
    def digest(self) -> str:
        return self.waves.digest

    def draw(self, task: FitTask) -> tuple[TrainingSet, TrainingWindows]:
        """The task's windows, and those of validation."""
        train = WaveSampler(task.recipe) if task.recipe.max_windows else self.waves.train.windows
        return train, self.waves.validation.windows


def train_on_waves(plan: TrainingPlan, fits: Fits, reporter: ProgressReporter) -> TrainingResult:
    """Fits the plan's recipes, of ensembles each member, and scores the one that validates best."""
    if plan.search is not None:

        def fit_one(recipe: Recipe, on_epoch: Callable[[Epoch], None]) -> tuple[TrainingResult, float]:
            result = _train(recipe, fits, on_epoch)
            return result, float(result.metrics["validation"]["mse"])

        return tune(plan.search, plan.recipes[0], fit_one, reporter)
    results: list[TrainingResult] = []
    for recipe in plan.recipes:
        if results and plan.max_seconds is not None and fits.clock.elapsed() >= plan.max_seconds:
            reporter.skip(recipe.epochs)
            continue
        results.append(_train(recipe, fits, reporter.epoch))
    return min(results, key=lambda result: float(result.metrics["validation"]["mse"]))


def _train(recipe: Recipe, fits: Fits, on_epoch: Callable[[Epoch], None]) -> TrainingResult:
    windows = WaveWindows(recipe)
    members = share_seconds(recipe.members or (recipe,))
    outcomes = fits.run_all([FitTask(member) for member in members], windows, on_epoch)
    networks = [make_network(member) for member in members]
    for network, outcome in zip(networks, outcomes, strict=True):
        outcome.give_to(network)
    return TrainingResult(
        recipe,
        networks,
        score_waves(recipe, networks, windows.waves),
        {
            **recipe.to_dict()["data"],
            "digest": windows.digest,
            "n_windows": windows.waves.n_windows,
            "freq": None,
            "season": None,
        },
        sum(len(outcome.epochs) for outcome in outcomes),
        _proof_series(recipe, windows.waves),
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
