"""A run of a job, from the point of view of the function that performs it."""

import contextlib
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from dbos import DBOS
from dbos._error import DBOSException, DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError
from sqlalchemy.exc import SQLAlchemyError

from service.domain.moments import write_moment
from service.errors import DatabaseUnavailable
from service.jobs.engine_names import PROGRESS
from service.jobs.job import Progress
from service.jobs.job_log import JobLog
from service.jobs.ownership import NotOwned, Ownership
from service.jobs.run_errors import JobStopped, RunLost

logger = logging.getLogger(__name__)

CHECK_SECONDS = 0.3
# Of a database that was away at the last look.
AWAY_SECONDS = 1.0


class JobRun:
    """One run of a job, handed to the function that performs it.

    Progress that the database can't store is dropped: a full disk, or a database that is away, is no reason to lose
    a fit.
    """

    def __init__(self, ownership: Ownership, job_id: str, attempt: int, log: JobLog | None = None) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self._ownership = ownership
        self._log = log
        self._checked = 0.0
        self._is_away = False
        # The database knows seconds only where it is SQLite: a run's own clock tells when it began, and for how long
        # it went on.
        self._began = time.monotonic()
        self._began_at = datetime.now(UTC)
        self._told: dict[str, Any] = {"attempt": attempt, "started_at": self._now()}

    def begin(self) -> None:
        """Records when the run began. Raises JobStopped."""
        self._keep()

    def finish(self) -> None:
        """Records when the run ended, successful or not, unless another run owns the job by now."""
        self._told = {**self._told, "finished_at": self._now()}
        with contextlib.suppress(JobStopped, RunLost):
            self._keep()

    def report(self, progress: Progress) -> None:
        """Reports progress to watchers.

        Raises:
            JobStopped.
            RunLost: the process is ending.
        """
        # What a person follows comes first.
        self._told = {
            **progress.to_dict(),
            "attempt": self.attempt,
            "started_at": self._told["started_at"],
            "seconds": round(time.monotonic() - self._began, 3),
        }
        self.raise_if_stopped()
        if self._is_away:
            # The engine would wait for the database, and nobody would watch over the fit meanwhile.
            return
        with self._telling():
            # Written in the name of the run that owns the job: one that lost it is refused.
            DBOS.write_stream(PROGRESS, self._told)
            DBOS.set_event(PROGRESS, self._told)

    def log(self, level: str, text: str) -> None:
        """Adds a line to the job's log; `level` is the name of a level of logging."""
        if self._log is not None:
            self._log.write(self.job_id, self.attempt, level, text)

    def raise_if_stopped(self) -> None:
        """Raises JobStopped when the job was cancelled or taken over.

        Cheap: asks the database a few times a second at most. One that does not answer stops nothing.
        """
        if time.monotonic() - self._checked >= (AWAY_SECONDS if self._is_away else CHECK_SECONDS):
            self.confirm()

    def confirm(self) -> bool:
        """Whether the database says that this run owns the job; False where it says nothing.

        Raises:
            JobStopped.
        """
        try:
            self._ownership.check()
        except NotOwned as error:
            raise JobStopped(self.job_id) from error
        except DatabaseUnavailable:
            self._is_away = True
        else:
            self._is_away = False
        self._checked = time.monotonic()
        return not self._is_away

    def _keep(self) -> None:
        with self._telling():
            DBOS.set_event(PROGRESS, self._told)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (DBOSWorkflowConflictIDError, DBOSWorkflowCancelledError) as error:
            raise JobStopped(self.job_id) from error
        except DBOSException as error:
            # Its own class says that the engine is gone: this process is ending in the middle of the run.
            if type(error) is DBOSException:
                raise RunLost(self.job_id) from error
            raise
        except SQLAlchemyError as error:
            logger.warning("the job database can't be told of job %s: %s", self.job_id, error)

    def _now(self) -> str:
        # By the clock as it was when the run began: it may be set meanwhile, and a run ends after its beginning.
        moment = self._began_at.timestamp() + time.monotonic() - self._began
        return write_moment(datetime.fromtimestamp(moment, UTC))
