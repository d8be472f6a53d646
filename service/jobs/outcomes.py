"""What became of jobs, until the database has been told."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from dbos._error import DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError
from dbos._serialization import PortableWorkflowError
from sqlalchemy.exc import SQLAlchemyError

from service.errors import ServiceError
from service.jobs.job import JobKind
from service.jobs.job_records import FAILURE_CODES, UNEXPLAINED
from service.jobs.run_errors import JobFailed, JobStopped, RunLost

logger = logging.getLogger(__name__)

# Outcomes that are remembered until they are recorded; a worker has one job at a time.
REMEMBERED = 20


class Outcomes:
    """Outcomes of jobs that could not be recorded yet, so that those jobs are not run again."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, dict[str, Any] | PortableWorkflowError] = OrderedDict()

    def of(self, job_id: str, perform: Callable[[], dict[str, Any]], kind: JobKind) -> dict[str, Any]:
        """A job's result. Raises PortableWorkflowError if it failed, JobStopped if another run owns it."""
        if job_id not in self._known:
            self._known[job_id] = self._try(job_id, perform, kind)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        outcome = self._known[job_id]
        if isinstance(outcome, PortableWorkflowError):
            raise outcome
        return outcome

    def _try(
        self, job_id: str, perform: Callable[[], dict[str, Any]], kind: JobKind
    ) -> dict[str, Any] | PortableWorkflowError:
        try:
            return perform()
        except (JobStopped, RunLost, DBOSWorkflowConflictIDError, DBOSWorkflowCancelledError, SQLAlchemyError):
            raise
        except JobFailed as error:
            return PortableWorkflowError(error.message, error.name, error.code)
        except ServiceError as error:
            return PortableWorkflowError(error.message, type(error).__name__, error.code)
        except Exception:  # whatever goes wrong in one job must not end the worker
            logger.exception("job %s failed", job_id)
            return PortableWorkflowError(UNEXPLAINED, JobFailed.__name__, FAILURE_CODES[kind])
