"""Searches a recipe's options: trials in rounds, the bad ones ended early."""

import math
from dataclasses import replace
from typing import Any, Generic

import optuna
from optuna.trial import TrialState

from service.domain.recipes.recipe import Recipe
from service.domain.recipes.search_space import Dimension, TuningSearch, change
from service.errors import TrainingFailed
from service.training.checkpoints import Standing
from service.training.fits import Fits
from service.training.median_rule import make_bounds
from service.training.progress import ProgressReporter
from service.training.trial_round import Fitted, State, Trial, TrialFits, TrialRound

# Trials that are proposed together. So many workers can help; the more, the less each proposal knows. It does not
# depend on the workers that there are: the same request tries the same on one as on twenty.
TRIALS_OF_A_ROUND = 4
# By what a job's next run finds which trials have begun.
TRIALS = "trials"


class SearchTime:
    """The seconds of a search, those of the job's runs before included."""

    def __init__(self, max_seconds: float, fits: Fits) -> None:
        self._fits = fits
        before = None if fits.checkpoints is None else fits.checkpoints.read(TRIALS)
        facts: dict[str, Any] = {} if before is None else before.facts
        # By the job's clock.
        self._began_at: float = facts.get("began_at", fits.clock.elapsed())
        self._ends_at = self._began_at + max_seconds
        self._proposed: int = facts.get("proposed", 0)
        self._begun: set[int] = set(facts.get("begun", ()))

    @property
    def is_up(self) -> bool:
        return self._fits.clock.elapsed() >= self._ends_at

    def allows_round(self, first: int, end: int) -> bool:
        """Whether trials may be proposed: the first ones may, and what a run before has proposed.

        Only so this run comes to where that one was.
        """
        if first >= max(1, self._proposed) and self.is_up:
            return False
        self._proposed = max(self._proposed, end)
        self._keep()
        return True

    def allows(self, number: int) -> bool:
        """Whether a trial may begin. The first may, and what has begun in a run before."""
        if number > 0 and number not in self._begun and self.is_up:
            return False
        self.keep_begun(number)
        return True

    def keep_begun(self, number: int) -> None:
        """Remembers a trial that has begun, wherever."""
        if number not in self._begun:
            self._begun.add(number)
            self._keep()

    def _keep(self) -> None:
        if self._fits.checkpoints is not None:
            facts = {"began_at": self._began_at, "proposed": self._proposed, "begun": sorted(self._begun)}
            self._fits.checkpoints.write(TRIALS, Standing([], [], facts, 0.0))


def tune(
    search: TuningSearch, recipe: Recipe, trial_fits: TrialFits[Fitted], reporter: ProgressReporter, fits: Fits
) -> Fitted:
    """The best of a search's fits by validation. The first trial is the recipe as it is; the seed decides the others.

    What a trial is drawn and ended by are the rounds before its own, not the other trials of its round. So the same
    request tries the same, whoever does the fits and in whatever order they end.

    Raises:
        TrainingFailed: no trial gave finite numbers.
    """
    time = SearchTime(search.max_seconds, fits)
    tuner = Tuner(search, recipe, trial_fits, reporter)
    for first in range(0, search.trials, TRIALS_OF_A_ROUND):
        end = min(first + TRIALS_OF_A_ROUND, search.trials)
        if tuner.is_out_of_time or not time.allows_round(first, end):
            reporter.skip((search.trials - first) * epochs_of(recipe))
            break
        trials = [tuner.propose(number) for number in range(first, end)]
        TrialRound(trials, time, tuner.end).run(trial_fits.data, fits, reporter.epoch)
    if tuner.best is not None:
        return tuner.best
    if fits.left_out and not tuner.has_diverged:
        raise TrainingFailed(fits.left_out[0].reason)
    raise TrainingFailed("Every trial diverged: their numbers are not finite. Try a lower learning_rate.")


class Tuner(Generic[Fitted]):
    """Proposes trials, and learns what became of them.

    Options are drawn by a tree-structured Parzen estimator (J. Bergstra et al., Algorithms for Hyper-Parameter
    Optimization, 2011), as Optuna has it. Trials that are proposed and not yet ended count as bad ones ("constant
    liar"), so that those of a round differ.
    """

    def __init__(
        self,
        search: TuningSearch,
        recipe: Recipe,
        trial_fits: TrialFits[Fitted],
        reporter: ProgressReporter,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # After the first round options are drawn by what is known. With ten at random, as is usual, rounds found worse
        # ones than trials one by one; see docs/decisions/0025-checkpoints-and-parts.md.
        sampler = optuna.samplers.TPESampler(seed=recipe.seed, n_startup_trials=TRIALS_OF_A_ROUND, constant_liar=True)
        self._study = optuna.create_study(sampler=sampler)
        self._study.enqueue_trial({dimension.option: getattr(recipe, dimension.option) for dimension in search.space})
        self._search = search
        self._recipe = recipe
        self._trial_fits = trial_fits
        self._reporter = reporter
        # Validation losses of complete trials, by epoch.
        self._histories: list[list[float]] = []
        self._least = math.inf
        self.best: Fitted | None = None
        self.is_out_of_time = False
        self.has_diverged = False

    def propose(self, number: int) -> Trial:
        """A trial. All of a round are to be proposed before any of them ends."""
        asked = self._study.ask()
        options = {dimension.option: _suggest(asked, dimension) for dimension in self._search.space}
        recipe, tasks = self._trial_fits.plan(change(self._recipe, options))
        first = replace(tasks[0], bounds=make_bounds(self._histories, tasks[0].recipe.epochs))
        return Trial(number, asked, options, recipe, [first, *tasks[1:]])

    def end(self, trial: Trial) -> None:
        """Learns from a trial that has ended, and reports it. To be called in the order of their numbers."""
        self._reporter.skip(epochs_of(self._recipe) - trial.n_told)
        state, loss = trial.settle_state(), math.inf
        if state == "refused":
            self.is_out_of_time = True
            return
        if state == "complete":
            loss = self._assemble(trial)
            if not math.isfinite(loss):
                state = "diverged"
                self.has_diverged = True
        self._learn(trial, state, loss)
        self._reporter.trial(
            {
                "number": trial.number + 1,
                "state": state,
                "options": trial.options,
                "epochs": trial.n_epochs,
                "loss": loss if state == "complete" else None,
            }
        )

    def _assemble(self, trial: Trial) -> float:
        """The loss of a trial's fit, which is kept if it is the best so far; infinity of one that can't be used."""
        try:
            fitted, loss = self._trial_fits.assemble(trial.recipe, [one for one in trial.outcomes if one is not None])
        except TrainingFailed:
            # Its numbers are not finite: other options may be better.
            return math.inf
        if loss < self._least:
            self.best, self._least = fitted, loss
        return loss

    def _learn(self, trial: Trial, state: State, loss: float) -> None:
        for number, val_loss in enumerate(trial.losses, start=1):
            if math.isfinite(val_loss):
                trial.asked.report(val_loss, number)
        if state == "complete":
            self._histories.append(trial.losses)
            self._study.tell(trial.asked, loss)
        else:
            self._study.tell(trial.asked, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)


def epochs_of(recipe: Recipe) -> int:
    """The epochs of a trial: its fit, or those of all members."""
    return sum(member.epochs for member in recipe.members or (recipe,))


def _suggest(trial: Any, dimension: Dimension) -> Any:
    if dimension.kind == "choice":
        return trial.suggest_categorical(dimension.option, list(dimension.choices))
    if dimension.kind == "int":
        return trial.suggest_int(dimension.option, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(dimension.option, dimension.low, dimension.high, log=dimension.log)
