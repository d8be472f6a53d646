"""What the job engine logs, without what has been told already."""

import logging
import time
from collections.abc import Callable

from dbos._error import DBOSAwaitedWorkflowCancelledError, DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded
from dbos._serialization import PortableWorkflowError

from service.jobs.run_errors import JobStopped, RunLost

# What the engine logs, with a traceback, when a job ends otherwise than well.
_TOLD = (
    PortableWorkflowError,
    DBOSAwaitedWorkflowCancelledError,
    DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded,
    JobStopped,
    RunLost,
)
# Each of the engine's threads tells of a database that is away, some several times a second, some with a traceback.
_AWAY = ("OperationalError", "Database connection failed", "Notification listener error", "connection is bad")
AWAY_EVERY_SECONDS = 30.0


class EngineNews(logging.Filter):
    """Lets through what is news: not that a job was cancelled, or failed, and a lost connection now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told_at: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
        if kind is not None and issubclass(kind, _TOLD):
            return False
        message = record.getMessage()
        if not any(words in message for words in _AWAY):
            return True
        now = self._clock()
        if self._told_at is not None and now - self._told_at < AWAY_EVERY_SECONDS:
            return False
        self._told_at = now
        # Its traceback stands in the message.
        record.msg, record.args, record.exc_info = message.splitlines()[0], (), None
        return True
