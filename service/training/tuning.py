"""Searches a recipe's options: trial after trial, the bad ones ended early."""

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import optuna

from service.domain.recipes.recipe import Recipe
from service.domain.recipes.search_space import Dimension, TuningSearch, change
from service.errors import TrainingFailed
from service.training.epoch import Epoch
from service.training.progress import ProgressReporter

Fitted = TypeVar("Fitted")
# Fits a recipe, telling its epochs; gives what was fitted and its validation loss.
FitOne = Callable[[Recipe, Callable[[Epoch], None]], tuple[Fitted, float]]

# Trials that all others are measured by, and epochs before one can be ended: T. Akiba et al., Optuna, 2019.
TRIALS_BEFORE_PRUNING = 4
EPOCHS_BEFORE_PRUNING = 3


class _Pruned(Exception):
    """A trial whose validation loss is above the median of those before it, at the same epoch."""


def tune(search: TuningSearch, recipe: Recipe, fit_one: FitOne[Fitted], reporter: ProgressReporter) -> Fitted:
    """The best of a search's fits by validation. The first trial is the recipe as it is; the seed decides the others.

    The options are drawn by a tree-structured Parzen estimator (J. Bergstra et al., Algorithms for Hyper-Parameter
    Optimization, 2011), as Optuna has it.

    Raises:
        TrainingFailed: no trial gave finite numbers.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=recipe.seed),
        pruner=optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, EPOCHS_BEFORE_PRUNING),
    )
    study.enqueue_trial({dimension.option: getattr(recipe, dimension.option) for dimension in search.space})
    ends_at = time.monotonic() + search.max_seconds
    best: Fitted | None = None
    least = math.inf
    for number in range(search.trials):
        if number and time.monotonic() >= ends_at:
            reporter.skip((search.trials - number) * epochs_of(recipe))
            break
        trial = study.ask()
        options = {dimension.option: _suggest(trial, dimension) for dimension in search.space}
        told = 0

        def on_epoch(epoch: Epoch, trial: Any = trial) -> None:
            nonlocal told
            told += 1
            reporter.epoch(epoch)
            # Of an ensemble the first member tells for all.
            if told == epoch.number and math.isfinite(epoch.val_loss):
                trial.report(epoch.val_loss, epoch.number)
                if trial.should_prune():
                    raise _Pruned

        loss, state = math.inf, "diverged"
        try:
            fitted, loss = fit_one(change(recipe, options), on_epoch)
            if math.isfinite(loss):
                state = "complete"
                if loss < least:
                    best, least = fitted, loss
        except _Pruned:
            state = "pruned"
        except TrainingFailed:
            # Its numbers are not finite: other options may be better.
            state = "diverged"
        reporter.skip(epochs_of(recipe) - told)
        if state == "complete":
            study.tell(trial, loss)
        else:
            study.tell(
                trial, state=optuna.trial.TrialState.PRUNED if state == "pruned" else optuna.trial.TrialState.FAIL
            )
        reporter.trial(
            {
                "number": number + 1,
                "state": state,
                "options": options,
                "epochs": told,
                "loss": loss if state == "complete" else None,
            }
        )
    if best is None:
        raise TrainingFailed("Every trial diverged: their numbers are not finite. Try a lower learning_rate.")
    return best


def epochs_of(recipe: Recipe) -> int:
    """The epochs of a trial: its fit, or those of all members."""
    return sum(member.epochs for member in recipe.members or (recipe,))


def _suggest(trial: Any, dimension: Dimension) -> Any:
    if dimension.kind == "choice":
        return trial.suggest_categorical(dimension.option, list(dimension.choices))
    if dimension.kind == "int":
        return trial.suggest_int(dimension.option, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(dimension.option, dimension.low, dimension.high, log=dimension.log)
