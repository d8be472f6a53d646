"""One list of tasks that are done by whoever is free, until each has an outcome or none."""

import logging
import time
from collections.abc import Mapping
from functools import partial

from service.errors import TrainingFailed
from service.training.checkpoints import Checkpoints
from service.training.fits import FitList, FitOutcome, Fits
from service.training.part_board import JobBoard, Status
from service.training.part_task import shape_of

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
# After so long without a sign another worker has gone, by this process's own running time.
LEASE_SECONDS = 30.0
# After so long without a look at the board, the database may have been away: others get time to say that they live.
UNSEEN_SECONDS = 5.0


class Sharing:
    """What the job's own process does of a list, and what it knows of the others that help."""

    def __init__(
        self, fits: Fits, checkpoints: Checkpoints, board: JobBoard, listed: FitList, keys: Mapping[int, str]
    ) -> None:
        """Args:
        fits: perform what this process does itself.
        checkpoints: the job's, where helpers leave what they have fitted.
        keys: of those tasks that have been posted, by their places in the list.
        """
        self._fits = fits
        self._checkpoints = checkpoints
        self._board = board
        self._listed = listed
        self._keys = keys
        self._outcomes: list[FitOutcome | None] = [None] * len(listed.tasks)
        self._pending = list(range(len(listed.tasks)))
        # What was seen of each helper last, and since when.
        self._seen: dict[int, tuple[object, float]] = {}
        self._looked_at = time.monotonic()
        self._shapes = [shape_of(task) for task in listed.tasks]
        # Shapes of what this process has begun, and of what others have.
        self._own: set[str] = set()
        self._others: set[str] = set()

    def run(self) -> list[FitOutcome | None]:
        """The outcomes, in the order of the tasks."""
        while self._pending:
            self._fits.on_batch()
            # First of all: what has taken others down may be to be left out.
            self._collect()
            self._drop_unwanted()
            if not self._do_next() and self._pending:
                # Others have all that is left.
                self._checkpoints.keep_time()
                time.sleep(LOOK_SECONDS)
        return self._outcomes

    def _drop_unwanted(self) -> None:
        """Takes back what nobody has done yet and nobody wants any more."""
        unwanted = [index for index in self._pending if not self._listed.is_wanted(index, self._outcomes)]
        if not unwanted:
            return
        self._board.close([self._keys[index] for index in unwanted if index in self._keys])
        for index in unwanted:
            self._pending.remove(index)
            self._listed.on_missing(index, True)

    def _do_next(self) -> bool:
        """Does the first task that nobody else has; False where there is none."""
        # What others have a program for they do sooner.
        for index in sorted(self._pending, key=lambda index: self._shapes[index] in self._others):
            key = self._keys.get(index)
            if key is not None and not self._board.take(key):
                continue
            self._pending.remove(index)
            if self._listed.may_begin(index, self._outcomes):
                error = self._perform(index)
                if key is not None:
                    self._board.finish(key, error)
                self._tell(index, error)
            else:
                if key is not None:
                    self._board.refuse(key)
                self._listed.on_missing(index, True)
            return True
        return False

    def _perform(self, index: int) -> str | None:
        """Why it failed, where it did."""
        self._own.add(self._shapes[index])
        self._others.discard(self._shapes[index])
        listed = self._listed
        try:
            self._outcomes[index] = self._fits.perform(listed.tasks[index], listed.data, partial(listed.tell, index))
        except TrainingFailed as error:
            return error.message
        return None

    def _tell(self, index: int, error: str | None) -> None:
        """Tells what has become of a task, once the board knows."""
        outcome = self._outcomes[index]
        if outcome is not None:
            self._listed.on_outcome(index, outcome)
        else:
            self._fits.leave_out(self._listed, index, error or "It failed.")

    def _collect(self) -> None:
        """Looks at what others have done, and takes back what they will not do."""
        posted = [index for index in self._pending if index in self._keys]
        statuses = self._board.read() if posted else None
        if statuses is None:
            return
        now = time.monotonic()
        if now - self._looked_at > UNSEEN_SECONDS:
            self._seen.clear()
        self._looked_at = now
        parts = {index: part for index in posted if (part := statuses.get(self._keys[index])) is not None}
        begun = {self._shapes[index] for index, part in parts.items() if part.is_helped or part.state == "done"}
        self._others |= begun - self._own
        for index, part in parts.items():
            self._look_at(index, part)

    def _look_at(self, index: int, part: Status) -> None:
        is_deadly = part.state == "open" and part.deaths >= self._board.most_deaths
        if is_deadly or part.state in ("failed", "refused", "done"):
            self._pending.remove(index)
            self._settle(index, part)
        elif part.is_helped:
            self._expire(index, part)

    def _settle(self, index: int, part: Status) -> None:
        """Takes over what has become of a part that this process did not do in this run."""
        if part.state == "failed":
            self._tell(index, part.error)
        elif part.state == "open":
            self._tell(index, f"The process that fitted it died, {part.deaths} times.")
        elif part.state == "refused":
            self._listed.on_missing(index, True)
        elif (outcome := self._read_outcome(self._keys[index])) is not None:
            self._outcomes[index] = outcome
            for epoch in outcome.epochs:
                self._listed.tell(index, epoch)
            self._tell(index, None)
        elif self._listed.may_begin(index, self._outcomes):
            # Lost on its way here.
            self._tell(index, self._perform(index))
        else:
            self._listed.on_missing(index, True)

    def _read_outcome(self, key: str) -> FitOutcome | None:
        """What a helper's fit ended with; None where it is not to be found."""
        standing = self._checkpoints.of(key).read()
        if standing is None or not standing.has_ended:
            return None
        return FitOutcome(standing.arrays, standing.facts["penalty"], standing.epochs, standing.seconds)

    def _expire(self, index: int, part: Status) -> None:
        sign = part.owner, part.beats
        now = time.monotonic()
        if index not in self._seen or self._seen[index][0] != sign:
            self._seen[index] = sign, now
        elif now - self._seen[index][1] >= LEASE_SECONDS:
            logger.warning("a worker that helped with job %s is gone", self._board.job_id)
            if self._board.take_back(self._keys[index], part.owner or ""):
                del self._seen[index]
