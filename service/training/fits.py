"""The fits of a job: each begins from what the process before has left of it."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.panel_windows import TrainingWindows
from service.domain.recipes.recipe import Recipe
from service.errors import TrainingFailed
from service.networks.network import Network
from service.training.checkpoints import Checkpoints, FitCheckpoint, JobClock, make_key
from service.training.data.training_set import TrainingSet
from service.training.epoch import Epoch
from service.training.fit import begin_network, fit
from service.training.median_rule import Bounds, is_above

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]

# What the windows of a fit end before: what validates, what tests, or nothing.
Part = Literal["validation", "test", "end"]
# Whether a task may begin now; asked for it and none after it.
MayBegin = Callable[[int, Sequence["FitOutcome | None"]], bool]
# Whether anybody wants a task's outcome, by what others have ended with; if not, it is taken back.
IsWanted = Callable[[int, Sequence["FitOutcome | None"]], bool]
# Told of a task that has an outcome by now.
OnOutcome = Callable[[int, "FitOutcome"], None]
# Told of a task that ends without an outcome, and whether because it might not begin, now or in a run before, or was
# taken back.
OnMissing = Callable[[int, bool], None]


@dataclass(frozen=True, slots=True, eq=False)
class FitTask:
    """One network to fit.

    `recipe` has no members, and the epochs and seconds of this very fit; errors count in units of `season`'s naive
    ones; `start` is what it goes on from, left as it is, or None for a fresh network. `bounds` of its validation loss
    end it early.
    """

    recipe: Recipe
    before: Part = "validation"
    season: int = 1
    start: Network | None = None
    bounds: Bounds = ()

    @property
    def is_work(self) -> bool:
        """Whether there is anything to fit."""
        return self.recipe.preset.is_fitted and self.recipe.epochs > 0


@dataclass(frozen=True, slots=True, eq=False)
class FitOutcome:
    """Fitted weights, and of a ridge regression its penalty; the epochs, and the seconds of all runs."""

    weights: list[Array]
    penalty: float | None
    epochs: list[Epoch]
    seconds: float

    @property
    def is_finite(self) -> bool:
        return all(bool(np.isfinite(weights).all()) for weights in self.weights)

    def has_ended_early(self, bounds: Bounds) -> bool:
        """Whether the bounds of its task have ended it."""
        return is_above([epoch.val_loss for epoch in self.epochs], bounds)

    def give_to(self, network: Network) -> None:
        """Gives a network of the task's recipe what was fitted."""
        network.set_weights(self.weights)
        network.penalty = self.penalty


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A task without an outcome, and why a job goes on without it."""

    part: str
    reason: str


class FitData(Protocol):
    """What tasks are fitted to.

    `digest` identifies it, `description` says to other processes how to make it; None where they can't.
    """

    @property
    def description(self) -> dict[str, Any] | None: ...

    @property
    def digest(self) -> str: ...

    def draw(self, task: FitTask) -> tuple[TrainingSet, TrainingWindows]:
        """Windows to learn, and windows to validate by."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FitList:
    """Tasks that are performed together; `tell` takes the place of a task in the list, and an epoch of its fit."""

    tasks: Sequence[FitTask]
    data: FitData
    tell: Callable[[int, Epoch], None]
    may_begin: MayBegin
    on_missing: OnMissing
    is_wanted: IsWanted
    on_outcome: OnOutcome
    name_of: Callable[[int], str]


class Fits:
    """Performs fits, one after the other."""

    def __init__(self, on_batch: Callable[[], None], checkpoints: Checkpoints | None = None) -> None:
        """Args: `on_batch` is called after every batch; what it raises ends the fit, and the others with it."""
        self.on_batch = on_batch
        self.checkpoints = checkpoints
        self.left_out: list[LeftOut] = []
        self.clock = JobClock() if checkpoints is None else checkpoints.clock
        # Fits of the lists before.
        self._n_before = 0

    def run(
        self,
        tasks: Sequence[FitTask],
        data: FitData,
        on_epoch: Callable[[Epoch], None],
        may_begin: MayBegin = lambda index, outcomes: True,
        on_missing: OnMissing = lambda index, is_refused: None,
        *,
        is_wanted: IsWanted = lambda index, outcomes: True,
        on_outcome: OnOutcome = lambda index, outcome: None,
        name_of: Callable[[int], str] | None = None,
    ) -> list[FitOutcome | None]:
        """The tasks' outcomes, None where one might not begin, failed, or was not wanted any more.

        Weights depend on a task and the data alone. What failed is `left_out`, under what `name_of` calls it.
        """
        members = list(accumulate((task.is_work for task in tasks), initial=self._n_before))[1:]

        def tell(index: int, epoch: Epoch) -> None:
            on_epoch(replace(epoch, task=index, member=members[index]))

        try:
            named = name_of or (lambda index: f"{tasks[index].recipe.architecture} {index + 1}")
            return self._run(FitList(tasks, data, tell, may_begin, on_missing, is_wanted, on_outcome, named))
        finally:
            self._n_before = members[-1] if members else self._n_before

    def _run(self, listed: FitList) -> list[FitOutcome | None]:
        outcomes: list[FitOutcome | None] = [None] * len(listed.tasks)
        for index, task in enumerate(listed.tasks):
            if not listed.is_wanted(index, outcomes) or not listed.may_begin(index, outcomes):
                listed.on_missing(index, True)
                continue
            try:
                outcome = self.perform(task, listed.data, partial(listed.tell, index))
            except TrainingFailed as error:
                self.leave_out(listed, index, error.message)
                continue
            outcomes[index] = outcome
            listed.on_outcome(index, outcome)
        return outcomes

    def leave_out(self, listed: FitList, index: int, reason: str) -> None:
        """Goes on without a task's outcome."""
        part = listed.name_of(index)
        logger.warning("%s is left out: %s", part, reason)
        self.left_out.append(LeftOut(part, reason))
        listed.on_missing(index, False)

    def run_all(self, tasks: Sequence[FitTask], data: FitData, on_epoch: Callable[[Epoch], None]) -> list[FitOutcome]:
        """The outcomes of tasks of which none may be missing. Raises TrainingFailed."""
        outcomes = [outcome for outcome in self.run(tasks, data, on_epoch) if outcome is not None]
        if len(outcomes) < len(tasks):
            raise TrainingFailed(self.left_out[-1].reason)
        return outcomes

    def perform(self, task: FitTask, data: FitData, on_epoch: Callable[[Epoch], None]) -> FitOutcome:
        """Fits one network, from where a run before has left it."""
        checkpoint = None
        if self.checkpoints is not None and task.is_work:
            checkpoint = self.checkpoints.of(key_of(task, data))
        return perform_fit(task, data, self.on_batch, on_epoch, checkpoint)


def perform_fit(
    task: FitTask,
    data: FitData,
    on_batch: Callable[[], None],
    on_epoch: Callable[[Epoch], None],
    checkpoint: FitCheckpoint | None,
) -> FitOutcome:
    """Fits one network. The task's start is left as it is."""
    began = time.monotonic()
    network = begin_network(task.recipe) if task.start is None else task.start
    begun_with = FitOutcome(network.get_weights(), network.penalty, [], 0.0)
    if not task.is_work:
        return begun_with
    train, validation = data.draw(task)
    try:
        _, epochs = fit(
            task.recipe,
            train,
            validation,
            on_batch=on_batch,
            on_epoch=on_epoch,
            network=network,
            checkpoint=checkpoint,
            bounds=task.bounds,
        )
        seconds = time.monotonic() - began + (0.0 if checkpoint is None else checkpoint.seconds_before)
        return FitOutcome(network.get_weights(), network.penalty, epochs, seconds)
    finally:
        if task.start is not None:
            begun_with.give_to(network)


def key_of(task: FitTask, data: FitData) -> str:
    """What a task's checkpoint is kept under: it names all that the fit depends on."""
    start = task.start
    facts: dict[str, Any] = {
        "recipe": task.recipe.to_dict(),
        "before": task.before,
        "season": task.season,
        "data": data.digest,
        "bounds": task.bounds,
        "penalty": None if start is None else start.penalty,
    }
    return make_key(facts, [] if start is None else start.get_weights())
