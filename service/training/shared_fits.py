"""Fits that other workers help with: each is a part, which this process takes unless another has been faster.

A fit gives the same weights whoever does it, and outcomes are put together in the order of the tasks: what a job
publishes does not depend on who helped.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from service.domain.recipes.recipe import Recipe
from service.errors import DatabaseUnavailable, TrainingFailed
from service.training.checkpoints import Checkpoints, Standing, make_key
from service.training.epoch import Epoch
from service.training.fit import begin_network, restore_network
from service.training.fits import (
    Abandoned,
    FitData,
    FitOutcome,
    Fits,
    FitTask,
    LeftOut,
    MayBegin,
    OnMissing,
    key_of,
    perform_fit,
)
from service.training.jax_trainer.program import program_key

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
# By what a helper sees that it has the job's checkpoints before it.
MARK = "shared"
# After so long without a sign another worker has gone, by this process's own running time.
LEASE_SECONDS = 30.0
# After so long without a look at the board, the database may have been away: others get time to say that they live.
UNSEEN_SECONDS = 5.0
# Processes that a part may take down with it before it is left out...
MOST_DEATHS = 3
# ...and, of a job that would fail with its next death, before its own process leaves it alone.
MOST_DEATHS_OF_LAST_RUN = 2
LAST_RUN = 3


class Status(Protocol):
    """How far a part is: see `service.jobs.parts`."""

    @property
    def state(self) -> str: ...
    @property
    def beats(self) -> int: ...
    @property
    def owner(self) -> str | None: ...
    @property
    def deaths(self) -> int: ...
    @property
    def error(self) -> str | None: ...
    @property
    def is_helped(self) -> bool: ...


class Board(Protocol):
    """The table of parts: see `service.jobs.parts`. Every method raises DatabaseUnavailable."""

    def post(self, job_id: str, tasks: Mapping[str, dict[str, Any]], *, is_rerun: bool) -> None: ...

    def take_own(self, job_id: str, key: str) -> bool: ...

    def finish(self, job_id: str, key: str, owner: str | None = None, error: str | None = None) -> bool: ...

    def refuse(self, job_id: str, key: str) -> bool: ...

    def close(self, job_id: str, keys: Sequence[str]) -> None: ...

    def give_back(self, job_id: str, key: str, owner: str, *, has_died: bool) -> None: ...

    def read(self, job_id: str) -> Mapping[str, Status]: ...

    def remove(self, job_ids: Sequence[str]) -> None: ...


class SharedFits(Fits):
    """Performs fits beside other workers, if there are any that are idle."""

    def __init__(
        self,
        on_batch: Callable[[], None],
        checkpoints: Checkpoints,
        board: Board,
        job_id: str,
        attempt: int,
    ) -> None:
        super().__init__(on_batch, checkpoints)
        self._shared_checkpoints = checkpoints
        self._board = board
        self._job_id = job_id
        self._attempt = attempt
        # Weights that tasks begin with, and helpers find.
        self._starts: set[str] = set()

    def _run(
        self,
        tasks: Sequence[FitTask],
        data: FitData,
        tell: Callable[[int, Epoch], None],
        may_begin: MayBegin,
        on_missing: OnMissing,
    ) -> list[FitOutcome | None]:
        keys = {i: key_of(task, data) for i, task in enumerate(tasks) if _is_worth_sharing(task)}
        if len(keys) < 2 or data.description is None:
            return super()._run(tasks, data, tell, may_begin, on_missing)
        n_before = {index: self._count_epochs(key) for index, key in keys.items()}
        try:
            self._post(tasks, keys, data.description)
        except DatabaseUnavailable:
            return super()._run(tasks, data, tell, may_begin, on_missing)

        def tell_once(index: int, epoch: Epoch) -> None:
            if index in keys:
                # Also what a helper has fitted nobody has told of, unless it was there before this run.
                epoch = replace(epoch, is_restored=epoch.number <= n_before[index])
            tell(index, epoch)

        return _Sharing(self, tasks, data, keys, tell_once, may_begin, on_missing).run()

    def _count_epochs(self, key: str) -> int:
        """Epochs of a fit that runs before have left."""
        standing = self._shared_checkpoints.read(key) if self._shared_checkpoints.is_continued else None
        return 0 if standing is None else len(standing.epochs)

    def _post(self, tasks: Sequence[FitTask], keys: Mapping[int, str], description: dict[str, Any]) -> None:
        posted = {}
        self._shared_checkpoints.write(MARK, Standing([], [], {}, 0.0))
        for index, key in keys.items():
            task = tasks[index]
            start = None
            if task.start is not None:
                weights, facts = task.start.get_weights(), {"penalty": task.start.penalty}
                start = make_key({"start": facts}, weights)
                if start not in self._starts:
                    self._starts.add(start)
                    self._shared_checkpoints.write(start, Standing(weights, [], facts, 0.0, has_ended=True))
            part = {
                "key": key,
                "recipe": task.recipe.to_dict(),
                "before": task.before,
                "season": task.season,
                "start": start,
                **description,
            }
            posted[key] = {"part": part, "model": task.recipe.name, "shape": shape_of(task)}
        self._board.post(self._job_id, posted, is_rerun=self._attempt > 1)

    def keep_time(self) -> None:
        self._shared_checkpoints.keep_time()

    def outcome_of(self, key: str) -> FitOutcome | None:
        """What a helper's fit ended with; None where it is not to be found."""
        standing = self._shared_checkpoints.of(key).read()
        if standing is None or not standing.has_ended:
            return None
        return FitOutcome(standing.arrays, standing.facts["penalty"], standing.epochs, standing.seconds)


class _Sharing:
    """One list of tasks, until each has an outcome or none."""

    def __init__(
        self,
        fits: SharedFits,
        tasks: Sequence[FitTask],
        data: FitData,
        keys: Mapping[int, str],
        tell: Callable[[int, Epoch], None],
        may_begin: MayBegin,
        on_missing: OnMissing,
    ) -> None:
        self._fits = fits
        self._tasks = tasks
        self._data = data
        self._keys = keys
        self._tell_epoch = tell
        self._may_begin = may_begin
        self._on_missing = on_missing
        self._outcomes: list[FitOutcome | None] = [None] * len(tasks)
        self._pending = list(range(len(tasks)))
        self._seen: dict[int, tuple[object, float]] = {}
        self._looked_at = time.monotonic()
        self._shapes = [shape_of(task) for task in tasks]
        # Shapes of what this process has begun, and of what others have.
        self._own: set[str] = set()
        self._others: set[str] = set()

    def run(self) -> list[FitOutcome | None]:
        try:
            self._do_all()
        except Abandoned:
            self._close()
            raise
        return self._outcomes

    def _do_all(self) -> None:
        while self._pending:
            self._fits.on_batch()
            # First of all: what has taken others down may be to be left out.
            self._collect()
            if not self._do_next() and self._pending:
                # Others have all that is left.
                self._fits.keep_time()
                time.sleep(LOOK_SECONDS)

    def _do_next(self) -> bool:
        """Does the first task that nobody else has; False where there is none."""
        # What others have a program for they do sooner.
        for index in sorted(self._pending, key=lambda index: self._shapes[index] in self._others):
            if index in self._keys and not self._take(index):
                continue
            self._pending.remove(index)
            if self._may_begin(index, self._outcomes):
                self._tell(index, self._perform(index))
            else:
                self._refuse(index)
            return True
        return False

    def _perform(self, index: int) -> str | None:
        """Why it failed, where it did."""
        self._own.add(self._shapes[index])
        self._others.discard(self._shapes[index])
        try:
            self._outcomes[index] = self._fits.perform(self._tasks[index], self._data, partial(self._tell_epoch, index))
        except TrainingFailed as error:
            self._leave_out(index, error.message)
            return error.message
        return None

    def _take(self, index: int) -> bool:
        try:
            return self._fits._board.take_own(self._fits._job_id, self._keys[index])
        except DatabaseUnavailable:
            # To do it twice costs time alone.
            return True

    def _tell(self, index: int, error: str | None) -> None:
        if index not in self._keys:
            return
        try:
            self._fits._board.finish(self._fits._job_id, self._keys[index], error=error)
        except DatabaseUnavailable:
            logger.warning("a part of job %s is done, but the database doesn't know", self._fits._job_id)

    def _refuse(self, index: int) -> None:
        """Records that a task might not begin: a later run is not to begin it either."""
        if index in self._keys:
            try:
                self._fits._board.refuse(self._fits._job_id, self._keys[index])
            except DatabaseUnavailable:
                logger.warning("a part of job %s is refused, but the database doesn't know", self._fits._job_id)
        self._on_missing(index, True)

    def _close(self) -> None:
        """Takes back what others have not done yet: it would be in vain."""
        try:
            self._fits._board.close(self._fits._job_id, list(self._keys.values()))
        except DatabaseUnavailable:
            logger.warning("parts of job %s are open, and not wanted any more", self._fits._job_id)

    def _collect(self) -> None:
        """Looks at what others have done, and takes back what they will not do."""
        others = [index for index in self._pending if index in self._keys]
        if not others:
            return
        try:
            parts = self._fits._board.read(self._fits._job_id)
            now = time.monotonic()
            if now - self._looked_at > UNSEEN_SECONDS:
                self._seen.clear()
            self._looked_at = now
            self._others |= {
                self._shapes[index]
                for index in others
                if (part := parts.get(self._keys[index])) is not None and (part.is_helped or part.state == "done")
            } - self._own
            for index in others:
                if (part := parts.get(self._keys[index])) is not None:
                    self._look_at(index, part)
        except DatabaseUnavailable:
            return

    def _look_at(self, index: int, part: Status) -> None:
        most = MOST_DEATHS if self._fits._attempt < LAST_RUN else MOST_DEATHS_OF_LAST_RUN
        if part.state == "failed":
            self._pending.remove(index)
            self._leave_out(index, part.error or "It failed.")
        elif part.state == "done":
            self._pending.remove(index)
            outcome = self._fits.outcome_of(self._keys[index])
            if outcome is not None:
                self._outcomes[index] = outcome
                for epoch in outcome.epochs:
                    self._tell_epoch(index, epoch)
            elif self._may_begin(index, self._outcomes):
                # Lost on its way here.
                self._perform(index)
            else:
                self._on_missing(index, True)
        elif part.state == "refused":
            self._pending.remove(index)
            self._on_missing(index, True)
        elif part.state == "open" and part.deaths >= most:
            self._pending.remove(index)
            self._leave_out(index, f"The process that fitted it died, {part.deaths} times.")
        elif part.is_helped:
            self._expire(index, part)

    def _expire(self, index: int, part: Status) -> None:
        sign = part.owner, part.beats
        now = time.monotonic()
        if self._seen.get(index, (None, 0.0))[0] != sign:
            self._seen[index] = sign, now
        elif now - self._seen[index][1] >= LEASE_SECONDS:
            logger.warning("a worker that helped with job %s is gone", self._fits._job_id)
            self._fits._board.give_back(self._fits._job_id, self._keys[index], part.owner or "", has_died=True)
            del self._seen[index]

    def _leave_out(self, index: int, reason: str) -> None:
        task = self._tasks[index]
        logger.warning("%s of job %s is left out: %s", task.recipe.architecture, self._fits._job_id, reason)
        self._fits.left_out.append(LeftOut(_name(task.recipe, index), reason))
        self._on_missing(index, False)


def shape_of(task: FitTask) -> str:
    """A word for the program that a task takes."""
    return hashlib.sha256(repr(program_key(task.recipe)).encode()).hexdigest()[:16]


def _is_worth_sharing(task: FitTask) -> bool:
    return task.is_work and not task.recipe.preset.is_solved


def _name(recipe: Recipe, index: int) -> str:
    return f"{recipe.architecture} {index + 1}"


def perform_part(
    part: Mapping[str, Any], task: FitTask, data: FitData, on_batch: Callable[[], None], checkpoints: Checkpoints
) -> bool:
    """Does a part of another process's job; its outcome is then in the job's checkpoints.

    Returns:
        Whether it was done: not where this process would compute something else, of other data or libraries.
    """
    if key_of(task, data) != part["key"]:
        return False
    perform_fit(task, data, on_batch, lambda epoch: None, checkpoints.of(part["key"]))
    return True


def read_task(part: Mapping[str, Any], checkpoints: Checkpoints) -> FitTask | None:
    """The task that a part was made of; None where this process does not find the job's checkpoints.

    So it is on a host without an object store in common: what it did nobody else would see.
    """
    if checkpoints.read(MARK) is None:
        return None
    recipe = Recipe.from_dict(part["recipe"])
    start = None
    if part["start"] is not None:
        standing = checkpoints.read(part["start"])
        if standing is None:
            return None
        start = begin_network(recipe)
        restore_network(start, standing)
    return FitTask(recipe, part["before"], part["season"], start)
