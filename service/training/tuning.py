"""Searches a recipe's options: trial after trial, the bad ones ended early."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import optuna

from service.domain.recipes.recipe import Recipe
from service.domain.recipes.search_space import Dimension, TuningSearch, change
from service.errors import TrainingFailed
from service.training.checkpoints import Standing
from service.training.epoch import Epoch
from service.training.fits import Abandoned, Fits, LeftOut
from service.training.progress import ProgressReporter

Fitted = TypeVar("Fitted")
# Fits a recipe, telling its epochs; gives what was fitted and its validation loss.
FitOne = Callable[[Recipe, Callable[[Epoch], None]], tuple[Fitted, float]]

# Trials that all others are measured by, and epochs before one can be ended: T. Akiba et al., Optuna, 2019.
TRIALS_BEFORE_PRUNING = 4
EPOCHS_BEFORE_PRUNING = 3
# By what a job's next run finds which trials have begun.
TRIALS = "trials"


class _Pruned(Abandoned):
    """A trial whose validation loss is above the median of those before it, at the same epoch."""


class _Budget:
    """The seconds of a search, those of the job's runs before included."""

    def __init__(self, max_seconds: float, fits: Fits) -> None:
        self._fits = fits
        before = None if fits.checkpoints is None else fits.checkpoints.read(TRIALS)
        # By the job's clock.
        self._began_at = fits.clock.elapsed() if before is None else float(before.facts["began_at"])
        self._begun = 0 if before is None else int(before.facts["begun"])
        self._ends_at = self._began_at + max_seconds
        if before is None:
            self._keep(1)

    def allows(self, number: int) -> bool:
        """Whether a trial may begin; asked for one after the other.

        The first may, and what a run before has begun: only so this run comes to where that one was.
        """
        if number < max(1, self._begun):
            return True
        if self._fits.clock.elapsed() >= self._ends_at:
            return False
        self._keep(number + 1)
        return True

    def _keep(self, begun: int) -> None:
        if self._fits.checkpoints is not None:
            facts = {"began_at": self._began_at, "begun": begun}
            self._fits.checkpoints.write(TRIALS, Standing([], [], facts, 0.0))


def tune(
    search: TuningSearch, recipe: Recipe, fit_one: FitOne[Fitted], reporter: ProgressReporter, fits: Fits
) -> Fitted:
    """The best of a search's fits by validation. The first trial is the recipe as it is; the seed decides the others.

    The options are drawn by a tree-structured Parzen estimator (J. Bergstra et al., Algorithms for Hyper-Parameter
    Optimization, 2011), as Optuna has it.

    Args:
        fits: perform what `fit_one` fits.

    Raises:
        TrainingFailed: no trial gave finite numbers.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=recipe.seed),
        pruner=optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, EPOCHS_BEFORE_PRUNING),
    )
    study.enqueue_trial({dimension.option: getattr(recipe, dimension.option) for dimension in search.space})
    budget = _Budget(search.max_seconds, fits)
    best: Fitted | None = None
    least = math.inf
    # Of the best trial alone: nobody sees the others' fits.
    left_out: list[LeftOut] = []
    for number in range(search.trials):
        if not budget.allows(number):
            reporter.skip((search.trials - number) * epochs_of(recipe))
            break
        trial = study.ask()
        options = {dimension.option: _suggest(trial, dimension) for dimension in search.space}
        told = n_epochs = 0

        def on_epoch(epoch: Epoch, trial: Any = trial) -> None:
            nonlocal told, n_epochs
            told += 1
            n_epochs += 1
            reporter.epoch(epoch)
            # Of an ensemble the first member tells for all, in whatever order others have fitted them.
            if epoch.task == 0 and math.isfinite(epoch.val_loss):
                trial.report(epoch.val_loss, epoch.number)
                if trial.should_prune():
                    n_epochs = epoch.number
                    raise _Pruned

        loss, state = math.inf, "diverged"
        try:
            fitted, loss = fit_one(change(recipe, options), on_epoch)
            if math.isfinite(loss):
                state = "complete"
                if loss < least:
                    best, least, left_out = fitted, loss, list(fits.left_out)
        except _Pruned:
            state = "pruned"
        except TrainingFailed:
            # Its numbers are not finite: other options may be better.
            state = "diverged"
        fits.left_out.clear()
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
                "epochs": n_epochs,
                "loss": loss if state == "complete" else None,
            }
        )
    if best is None:
        raise TrainingFailed("Every trial diverged: their numbers are not finite. Try a lower learning_rate.")
    fits.left_out += left_out
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
