"""Trains on the chapter's waves."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.domain.panel_windows import TrainingWindows
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.training_plan import TrainingPlan
from service.errors import TrainingFailed
from service.networks.network import make_network
from service.training.data.training_set import TrainingSet
from service.training.data.wave_data import WaveData, prepare_waves
from service.training.data.wave_sampler import WaveSampler
from service.training.fits import FitOutcome, Fits, FitTask
from service.training.progress import ProgressReporter
from service.training.training_result import TrainingResult
from service.training.trial_round import TrialFits
from service.training.tuning import tune
from service.training.wave_scores import score_waves

Array = NDArray[np.float32]

# Series for the proof of an export, of each length.
PROOF_SERIES = 8
# Recipes whose waves stay in memory: those of `auto`.
MOST_KEPT = 4


class WaveWindows:
    """The waves that recipes are fitted to, as tasks want them."""

    def __init__(self) -> None:
        self.description = {"waves": True}
        self._waves: OrderedDict[tuple[object, ...], WaveData] = OrderedDict()

    @property
    def digest(self) -> str:
        """Recipes say all of waves."""
        return "waves"

    def of(self, recipe: Recipe) -> WaveData:
        """A recipe's waves; those of the last few stay."""
        key = (recipe.data, recipe.window, recipe.horizon, recipe.head, recipe.scaling, recipe.architecture)
        if key not in self._waves:
            self._waves[key] = prepare_waves(recipe)
            if len(self._waves) > MOST_KEPT:
                self._waves.popitem(last=False)
        return self._waves[key]

    def draw(self, task: FitTask) -> tuple[TrainingSet, TrainingWindows]:
        """The task's windows, and those of validation."""
        waves = self.of(task.recipe)
        return WaveSampler(task.recipe) if task.recipe.max_windows else waves.train.windows, waves.validation.windows


def train_on_waves(plan: TrainingPlan, fits: Fits, reporter: ProgressReporter) -> TrainingResult:
    """Fits the plan's recipes, of ensembles each member, and scores the one that validates best."""
    windows = WaveWindows()
    if plan.search is not None:

        def plan_trial(recipe: Recipe) -> tuple[Recipe, list[FitTask]]:
            return recipe, [FitTask(member) for member in _members(recipe)]

        def assemble(recipe: Recipe, outcomes: Sequence[FitOutcome]) -> tuple[TrainingResult, float]:
            result = _assemble(recipe, outcomes, windows)
            return result, float(result.metrics["validation"]["mse"])

        return tune(plan.search, plan.recipes[0], TrialFits(windows, plan_trial, assemble), reporter, fits)
    owners = [i for i, recipe in enumerate(plan.recipes) for _ in _members(recipe)]
    refused: set[int] = set()

    def may_begin(index: int, outcomes: Sequence[FitOutcome | None]) -> bool:
        owner = owners[index]
        is_late = plan.max_seconds is not None and fits.clock.elapsed() >= plan.max_seconds
        if is_late and index == owners.index(owner) and any(outcomes):
            refused.add(owner)
        return owner not in refused

    tasks = [FitTask(member) for recipe in plan.recipes for member in _members(recipe)]

    def on_missing(index: int, is_refused: bool) -> None:
        if is_refused:
            refused.add(owners[index])
        reporter.skip(tasks[index].recipe.epochs)

    outcomes = fits.run(tasks, windows, reporter.epoch, may_begin, on_missing)
    results: list[TrainingResult] = []
    for i, recipe in enumerate(plan.recipes):
        own = zip(_members(recipe), (outcomes[j] for j, owner in enumerate(owners) if owner == i), strict=True)
        known = [(member, outcome) for member, outcome in own if outcome is not None]
        if len(known) < len(_members(recipe)):
            recipe = replace(recipe, members=tuple(member for member, _ in known))
        if known:
            results.append(_assemble(recipe, [outcome for _, outcome in known], windows))
    if not results:
        raise TrainingFailed(fits.left_out[0].reason)
    return min(results, key=lambda result: float(result.metrics["validation"]["mse"]))


def _members(recipe: Recipe) -> list[Recipe]:
    return share_seconds(recipe.members or (recipe,))


def _assemble(recipe: Recipe, outcomes: Sequence[FitOutcome], windows: WaveWindows) -> TrainingResult:
    waves = windows.of(recipe)
    networks = [make_network(member) for member in _members(recipe)]
    for network, outcome in zip(networks, outcomes, strict=True):
        outcome.give_to(network)
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
        sum(len(outcome.epochs) for outcome in outcomes),
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
