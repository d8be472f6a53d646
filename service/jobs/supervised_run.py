"""A run as whoever supervises the process that performs it sees it: of a job, or of a part of one."""

from collections.abc import Callable
from typing import Any, Protocol

from service.jobs.job import Progress


class SupervisedRun(Protocol):
    """What a run is told, and what it says of its job."""

    job_id: str
    attempt: int

    def report(self, progress: Progress) -> None:
        """Takes progress. Raises JobStopped or RunLost."""
        ...

    def log(self, level: str, text: str) -> None:
        """Takes a line of what the process logs; `level` is the name of a level of logging."""
        ...

    def raise_if_stopped(self) -> None:
        """Raises JobStopped when the run is to end."""
        ...

    def confirm(self) -> bool:
        """Whether the database says that the work is still this run's. Raises JobStopped."""
        ...


Perform = Callable[[dict[str, Any], SupervisedRun], dict[str, Any]]
