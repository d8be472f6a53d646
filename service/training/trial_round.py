"""A round of a search: trials that are proposed together, whose fits are one list that any free worker helps with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from service.domain.recipes.recipe import Recipe
from service.training.epoch import Epoch
from service.training.fits import FitData, FitOutcome, Fits, FitTask

Fitted = TypeVar("Fitted")

# How a trial has ended; one that is refused there was no time for.
State = Literal["complete", "pruned", "diverged", "failed", "refused"]


@dataclass(frozen=True, slots=True, eq=False)
class TrialFits(Generic[Fitted]):
    """What the fits of trials are made of, and what is made of them."""

    data: FitData
    # A recipe with what is settled of it before it is fitted, and its fits: one, or of an ensemble one a member.
    plan: Callable[[Recipe], tuple[Recipe, list[FitTask]]]
    # A settled recipe's fit from its outcomes, and its validation loss. Raises TrainingFailed.
    assemble: Callable[[Recipe, Sequence[FitOutcome]], tuple[Fitted, float]]


@dataclass(slots=True, eq=False)
class Trial:
    """A proposal and what becomes of it. `number` counts from 0; `asked` is what the sampler knows it by."""

    number: int
    asked: Any
    options: dict[str, Any]
    recipe: Recipe
    tasks: Sequence[FitTask]
    outcomes: list[FitOutcome | None] = field(init=False)
    n_open: int = field(init=False)
    # Epochs that were told.
    n_told: int = 0
    is_refused: bool = False
    has_failed: bool = False

    def __post_init__(self) -> None:
        self.outcomes = [None] * len(self.tasks)
        self.n_open = len(self.tasks)

    @property
    def has_ended_early(self) -> bool:
        """Of an ensemble the first member tells for all, in whatever order others have fitted them."""
        first = self.outcomes[0]
        return first is not None and first.has_ended_early(self.tasks[0].bounds)

    @property
    def is_wanted(self) -> bool:
        """Whether its fits that have not ended are still of use."""
        return not (self.is_refused or self.has_failed or self.has_ended_early)

    @property
    def losses(self) -> list[float]:
        """The validation losses that others are measured by."""
        first = self.outcomes[0]
        return [] if first is None else [epoch.val_loss for epoch in first.epochs]

    @property
    def n_epochs(self) -> int:
        """Epochs of its fits; of one that has ended early those of the fit that decided it."""
        counted = self.outcomes[:1] if self.has_ended_early else self.outcomes
        return sum(len(outcome.epochs) for outcome in counted if outcome is not None)

    def settle_state(self) -> State:
        """What it is after all its fits, if what they gave is finite."""
        if self.has_ended_early:
            return "pruned"
        if self.has_failed:
            return "failed"
        return "complete" if all(outcome is not None for outcome in self.outcomes) else "refused"


class Budget(Protocol):
    """Whether there is time."""

    def allows(self, number: int) -> bool:
        """Whether a trial may begin."""
        ...

    def keep_begun(self, number: int) -> None:
        """Remembers a trial that has begun, here or elsewhere."""
        ...


class TrialRound:
    """Performs the fits of a round's trials. Each trial is told of when it and those before it have ended."""

    def __init__(self, trials: Sequence[Trial], budget: Budget, on_ended: Callable[[Trial], None]) -> None:
        self._trials = trials
        self._budget = budget
        self._on_ended = on_ended
        self._n_ended = 0
        # Which trial, and which of its fits, is where in the list.
        self._places = [(trial, member) for trial in trials for member in range(len(trial.tasks))]

    def run(self, data: FitData, fits: Fits, on_epoch: Callable[[Epoch], None]) -> None:
        def tell(epoch: Epoch) -> None:
            self._places[epoch.task][0].n_told += 1
            on_epoch(epoch)

        fits.run(
            [trial.tasks[member] for trial, member in self._places],
            data,
            tell,
            self._may_begin,
            self._on_missing,
            is_wanted=lambda index, outcomes: self._places[index][0].is_wanted,
            on_outcome=self._on_outcome,
            name_of=self._name,
        )

    def _may_begin(self, index: int, outcomes: Sequence[FitOutcome | None]) -> bool:
        del outcomes
        trial, member = self._places[index]
        # With its first fit a trial begins, here or elsewhere.
        return trial.is_wanted and (member > 0 or self._budget.allows(trial.number))

    def _on_outcome(self, index: int, outcome: FitOutcome) -> None:
        trial, member = self._places[index]
        trial.outcomes[member] = outcome
        self._budget.keep_begun(trial.number)
        self._end_fit(trial)

    def _on_missing(self, index: int, is_refused: bool) -> None:
        trial, member = self._places[index]
        if not is_refused:
            trial.has_failed = True
        elif member == 0 and trial.is_wanted:
            trial.is_refused = True
        self._end_fit(trial)

    def _end_fit(self, trial: Trial) -> None:
        trial.n_open -= 1
        while self._n_ended < len(self._trials) and not self._trials[self._n_ended].n_open:
            ended = self._trials[self._n_ended]
            self._n_ended += 1
            self._on_ended(ended)

    def _name(self, index: int) -> str:
        trial, member = self._places[index]
        of_ensemble = f", member {member + 1}" if len(trial.tasks) > 1 else ""
        return f"trial {trial.number + 1}{of_ensemble}"
