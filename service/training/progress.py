"""A job's progress, over all the fits that it takes."""

from typing import Any, Protocol

from service.domain.recipes.training_plan import TrainingPlan
from service.jobs.job import Progress
from service.training.epoch import Epoch

# Going on, before the test and after it, takes half of the epochs each time; a quarter gained visibly less.
REFIT_SHARE = 0.5


class Run(Protocol):
    """What a job is told of its run, and tells."""

    job_id: str
    attempt: int

    def report(self, progress: Progress) -> None: ...

    def raise_if_stopped(self) -> None: ...

    def confirm(self) -> None: ...


class ProgressReporter:
    """Counts the epochs of a job's fits as if they were one."""

    def __init__(self, plan: TrainingPlan, run: Run) -> None:
        self._run = run
        self._done = 0
        self._seconds: list[float] = []
        self._total = _count_epochs(plan)
        self.trials: list[dict[str, Any]] | None = [] if plan.search else None
        self._last: tuple[float | None, float | None, float | None] = (None, None, None)
        self._tell()

    def epoch(self, epoch: Epoch) -> None:
        """Reports an epoch, with the time left by the mean of those that compiled nothing.

        One that a run before has told of is only counted: the next report holds it.
        """
        self._done += 1
        if epoch.number > 1 or not self._seconds:
            self._seconds.append(epoch.seconds)
        left = max(0, self._total - self._done) * sum(self._seconds) / len(self._seconds)
        self._last = epoch.loss, epoch.val_loss, round(left, 1)
        if not epoch.is_restored:
            self._tell(epoch.member, epoch.number)

    def trial(self, trial: dict[str, Any]) -> None:
        """Reports a trial that has ended."""
        if self.trials is not None:
            self.trials.append(trial)
        self._tell()

    def _tell(self, member: int | None = None, member_epoch: int | None = None) -> None:
        trials = None if self.trials is None else list(self.trials)
        self._run.report(Progress(self._done, self._total, *self._last, trials, member, member_epoch))

    def replace(self, plan: TrainingPlan) -> None:
        """Counts the epochs of another plan, which has taken the first one's place before its first fit."""
        self._total = _count_epochs(plan)
        self._tell()

    def skip(self, epochs: int) -> None:
        """Takes epochs off that will not be run after all."""
        self._total = max(self._done, self._total - epochs)
        self._tell()


def _count_epochs(plan: TrainingPlan) -> int:
    members = [member for recipe in plan.recipes for member in (recipe.members or (recipe,))]
    total = sum(member.epochs for member in members) * (plan.search.trials if plan.search else 1)
    return total + 2 * sum(refit_epochs(member.epochs) for member in members if member.refit)


def refit_epochs(epochs: int) -> int:
    """How many epochs a model goes on for, once with what came before the test and once with all points."""
    return max(1, round(REFIT_SHARE * epochs)) if epochs else 0
