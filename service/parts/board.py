"""The table of parts, as the process of the job sees it that they are parts of."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from service.errors import DatabaseUnavailable
from service.jobs.job_records import MOST_DEATHS, RUNS

logger = logging.getLogger(__name__)

# Deaths of a part, of a job that would fail with its next one, before its own process leaves it alone.
MOST_DEATHS_OF_LAST_RUN = 2


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


class JobBoard:
    """The parts of one job. While the database is away, the job goes on by itself."""

    def __init__(self, board: Board, job_id: str, attempt: int, *, needs_all: bool = False) -> None:
        """Args: `needs_all`: without one of its parts the job fails, so its own process tries what helpers give up."""
        self.job_id = job_id
        self._board = board
        self._attempt = attempt
        self._needs_all = needs_all

    @property
    def most_deaths(self) -> int:
        """With so many this run of the job leaves a part alone."""
        if self._needs_all:
            return MOST_DEATHS + 1
        return MOST_DEATHS if self._attempt < RUNS else MOST_DEATHS_OF_LAST_RUN

    def post(self, tasks: Mapping[str, dict[str, Any]]) -> bool:
        """Posts parts by their keys. False where nobody will see them."""
        try:
            self._board.post(self.job_id, tasks, is_rerun=self._attempt > 1)
        except DatabaseUnavailable:
            return False
        return True

    def take(self, key: str) -> bool:
        """Takes a part for this process. False where another has it."""
        try:
            return self._board.take_own(self.job_id, key)
        except DatabaseUnavailable:
            # To do it twice costs time alone.
            return True

    def finish(self, key: str, error: str | None) -> None:
        """Records that this process has done a part, or why it failed."""
        try:
            self._board.finish(self.job_id, key, error=error)
        except DatabaseUnavailable:
            logger.warning("a part of job %s is done, but the database doesn't know", self.job_id)

    def refuse(self, key: str) -> None:
        """Records that a part might not begin: a later run is not to begin it either."""
        try:
            self._board.refuse(self.job_id, key)
        except DatabaseUnavailable:
            logger.warning("a part of job %s is refused, but the database doesn't know", self.job_id)

    def close(self, keys: Sequence[str]) -> None:
        """Takes back what others have not done yet: it would be in vain."""
        try:
            self._board.close(self.job_id, keys)
        except DatabaseUnavailable:
            logger.warning("parts of job %s are open, and not wanted any more", self.job_id)

    def take_back(self, key: str, owner: str) -> bool:
        """Opens a part whose owner has gone. False where the database can't be told."""
        try:
            self._board.give_back(self.job_id, key, owner, has_died=True)
        except DatabaseUnavailable:
            return False
        return True

    def keep_only(self, keys: Collection[str]) -> None:
        """Takes back what runs before have posted beside some parts: another host would cut the job otherwise."""
        others = [key for key in self.read() or () if key not in keys]
        if others:
            self.close(others)

    def read(self) -> Mapping[str, Status] | None:
        """How far the parts are, by key; None where the database doesn't say."""
        try:
            return self._board.read(self.job_id)
        except DatabaseUnavailable:
            return None


def forget_parts(board: Board, job_id: str) -> None:
    """Removes the parts of a job that has ended."""
    try:
        board.remove([job_id])
    except DatabaseUnavailable:
        logger.warning("the parts of job %s stay until the next sweep", job_id)
