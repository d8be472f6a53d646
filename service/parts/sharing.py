"""One list of tasks that are done by whoever is free, until something has become of each."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from service.parts.board import JobBoard, Status
from service.parts.records import JobRecords

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
# After so long without a sign another worker has gone, by this process's own running time.
LEASE_SECONDS = 30.0
# After so long without a look at the board, the database may have been away: others get time to say that they live.
UNSEEN_SECONDS = 5.0


class Work(Protocol):
    """Tasks, known by their places in a list, and what becomes of them. What a method raises ends the whole list."""

    @property
    def shapes(self) -> Sequence[str]:
        """Of each task a word for what it takes long to prepare: tasks of one shape share it."""
        ...

    def look(self) -> None:
        """Called between tasks, and while others have all that is left: raises where the job is to end."""
        ...

    def may_begin(self, index: int) -> bool: ...

    def is_wanted(self, index: int) -> bool:
        """Whether the task is still of use, by what has become of others."""
        ...

    def perform(self, index: int) -> str | None:
        """Does a task in this process. Returns why it failed for good, where it did."""
        ...

    def collect(self, index: int) -> bool:
        """Takes over what another process has left of a task that it has done; False where that is not to be found."""
        ...

    def end(self, index: int) -> None:
        """Told of a task that is done, wherever, once the board knows."""
        ...

    def refuse(self, index: int) -> None:
        """Goes on without a task that might not begin, now or in a run before, or that nobody wants any more."""
        ...

    def leave_out(self, index: int, reason: str) -> None:
        """Goes on without a task that failed, wherever."""
        ...

    def leave_out_deadly(self, index: int, deaths: int) -> None:
        """Goes on without a task that has taken so many processes down."""
        ...


class Sharing:
    """What the job's own process does of a list, and what it knows of the others that help."""

    def __init__(self, work: Work, records: JobRecords, board: JobBoard, keys: Mapping[int, str]) -> None:
        """Args: `keys` are of those tasks that have been posted, by their places in the list."""
        self._work = work
        self._records = records
        self._board = board
        self._keys = dict(keys)
        self._shapes = work.shapes
        self._pending = list(range(len(self._shapes)))
        # What was seen of each helper last, and since when.
        self._seen: dict[int, tuple[object, float]] = {}
        self._looked_at = time.monotonic()
        # Shapes of what this process has begun, and of what others have.
        self._own: set[str] = set()
        self._others: set[str] = set()

    def run(self) -> None:
        while self._pending:
            self._work.look()
            # First of all: what has taken others down may be to be left out.
            self._collect()
            self._drop_unwanted()
            if not self._do_next() and self._pending:
                # Others have all that is left.
                self._records.keep_time()
                time.sleep(LOOK_SECONDS)

    def _drop_unwanted(self) -> None:
        """Takes back what nobody has done yet and nobody wants any more."""
        unwanted = [index for index in self._pending if not self._work.is_wanted(index)]
        if not unwanted:
            return
        self._board.close([self._keys[index] for index in unwanted if index in self._keys])
        for index in unwanted:
            self._pending.remove(index)
            self._work.refuse(index)

    def _do_next(self) -> bool:
        """Does the first task that nobody else has; False where there is none."""
        # What others have a program for they do sooner.
        for index in sorted(self._pending, key=lambda index: self._shapes[index] in self._others):
            key = self._keys.get(index)
            if key is not None and not self._board.take(key):
                continue
            self._pending.remove(index)
            if self._work.may_begin(index):
                error = self._perform(index)
                if key is not None:
                    self._board.finish(key, error)
                self._tell(index, error)
            else:
                if key is not None:
                    self._board.refuse(key)
                self._work.refuse(index)
            return True
        return False

    def _perform(self, index: int) -> str | None:
        """Why it failed, where it did."""
        self._own.add(self._shapes[index])
        self._others.discard(self._shapes[index])
        return self._work.perform(index)

    def _tell(self, index: int, error: str | None) -> None:
        if error is None:
            self._work.end(index)
        else:
            self._work.leave_out(index, error)

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
        for index in posted:
            if index not in parts:
                # The database has lost it, as one that was restored from a backup: nobody else will do it.
                del self._keys[index]
        begun = {self._shapes[index] for index, part in parts.items() if part.is_helped or part.state == "done"}
        self._others |= begun - self._own
        for index, part in parts.items():
            self._look_at(index, part)

    def _look_at(self, index: int, part: Status) -> None:
        is_deadly = part.state == "open" and part.deaths >= self._board.most_deaths
        if part.state == "done":
            self._take_over(index)
        elif is_deadly or part.state in ("failed", "refused"):
            self._pending.remove(index)
            self._settle(index, part)
        elif part.is_helped:
            self._expire(index, part)

    def _settle(self, index: int, part: Status) -> None:
        """Goes on without a part that nobody will do."""
        if part.state == "failed":
            self._tell(index, part.error or "It failed.")
        elif part.state == "open":
            self._work.leave_out_deadly(index, part.deaths)
        else:
            self._work.refuse(index)

    def _take_over(self, index: int) -> None:
        """Collects a part that this process did not do in this run."""
        if self._work.collect(index):
            self._pending.remove(index)
            self._tell(index, None)
        else:
            # Lost on its way here: this process does it in its turn.
            del self._keys[index]

    def _expire(self, index: int, part: Status) -> None:
        sign = part.owner, part.beats
        now = time.monotonic()
        if index not in self._seen or self._seen[index][0] != sign:
            self._seen[index] = sign, now
        elif now - self._seen[index][1] >= LEASE_SECONDS:
            logger.warning("a worker that helped with job %s is gone", self._board.job_id)
            if self._board.take_back(self._keys[index], part.owner or ""):
                del self._seen[index]
