"""The worker's side of the job engine: takes jobs from the queue and runs them, one at a time."""

import fcntl
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSClient
from dbos._error import (
    DBOSAwaitedWorkflowCancelledError,
    DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded,
    DBOSWorkflowCancelledError,
    DBOSWorkflowConflictIDError,
)
from dbos._serialization import PortableWorkflowError
from sqlalchemy.exc import SQLAlchemyError

from service.errors import ServiceError, SlotTaken
from service.jobs.database import (
    APPLICATION,
    APPLICATION_VERSION,
    MAX_RECOVERIES,
    QUEUE,
    SERIALIZER,
    WORKFLOW,
    find_file,
    migrate,
    write_url,
)
from service.jobs.database_errors import explaining
from service.jobs.job import JobKind
from service.jobs.job_records import FAILURE_CODES
from service.jobs.job_run import CHECK_SECONDS, JobFailed, JobRun, JobStopped, RunLost
from service.jobs.stray_jobs import hand_back, keep_going

__all__ = ["JobRun", "JobStopped", "Perform", "RunLost", "run_jobs"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# Until the database takes an outcome again.
RETRY_SECONDS = 1.0
# What the engine logs, with a traceback, when a job ends otherwise than well.
_TOLD = (
    PortableWorkflowError,
    DBOSAwaitedWorkflowCancelledError,
    DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded,
    JobStopped,
    RunLost,
)
# Outcomes that are remembered until they are recorded; a worker has one job at a time.
REMEMBERED = 20


Perform = Callable[[dict[str, Any], JobRun], dict[str, Any]]


def run_jobs(
    database_url: str,
    state_dir: Path,
    perform: Perform,
    *,
    stop: threading.Event,
    slot: int = 0,
    n_slots: int = 1,
    on_started: Callable[[], None] = lambda: None,
) -> None:
    """Runs jobs until `stop` is set. What a killed worker of the same slot left unfinished is run again first.

    Args:
        perform: given a task and its run, does it and returns the job's result. A ServiceError that it raises is the
            job's error; anything else fails the job without details, which go to the log.
        slot: distinguishes the workers on one state folder.
        n_slots: how many of them there are. When the first starts, what was left by slots beyond, of a time with more,
            goes back to the queue, where the database is the embedded one.
        on_started: called once jobs are being taken.

    Raises:
        SlotTaken: a worker of this slot is alive.
        DatabaseUnavailable: the database can't be used, so nothing was begun.
    """
    with explaining():
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = _take_slot(state_dir, slot)
    try:
        with explaining():
            migrate(database_url)
            if slot == 0:
                _hand_back(database_url, state_dir, n_slots)
        _run(database_url, perform, stop, _name(slot), on_started)
    finally:
        os.close(lock)


def _run(
    database_url: str,
    perform: Perform,
    stop: threading.Event,
    executor: str,
    on_started: Callable[[], None],
) -> None:
    logging.getLogger("dbos").addFilter(_is_news)
    client = _connect(database_url)
    running: set[str] = set()
    begun: set[str] = set()
    outcomes = _Outcomes()
    # A job that is recovered does not come through the queue, so the queue's own limit does not hold it back.
    one_at_a_time = threading.Lock()
    dbos = DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": write_url(database_url),
            "executor_id": executor,
            "application_version": APPLICATION_VERSION,
            "serializer": SERIALIZER,
            "log_level": "WARNING",
        }
    )

    def perform_once(job_id: str, task: dict[str, Any]) -> dict[str, Any]:
        status = client.list_workflows(workflow_ids=[job_id], load_input=False, load_output=False)[0]
        run = JobRun(client, job_id, attempt=status.recovery_attempts or 1)
        while not one_at_a_time.acquire(timeout=CHECK_SECONDS):
            run.raise_if_stopped()
        try:
            run.begin()
            try:
                return perform(task, run)
            except RunLost:
                # As if this worker had died itself: the row says how often that was. It is no longer this run's then.
                if not stop.is_set():
                    dbos._sys_db.reenqueue_for_recovery(job_id, [executor], QUEUE)
                raise
            finally:
                run.finish()
        finally:
            one_at_a_time.release()

    @DBOS.step(name="perform")
    def perform_step(task: dict[str, Any]) -> dict[str, Any]:
        job_id = DBOS.workflow_id
        if job_id is None:
            raise RuntimeError("a step runs inside a workflow")
        return outcomes.of(job_id, lambda: perform_once(job_id, task), task["kind"])

    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)
    def run_job(task: dict[str, Any]) -> dict[str, Any]:
        job_id = DBOS.workflow_id or ""
        running.add(job_id)
        begun.add(job_id)
        try:
            while True:
                try:
                    return perform_step(task)
                except SQLAlchemyError as error:
                    # A full disk, most likely. What was done is remembered, and told when there is room again.
                    logger.warning("the outcome of job %s can't be recorded: %s", job_id, error)
                    if stop.wait(RETRY_SECONDS):
                        raise JobStopped(job_id) from error
        except JobStopped:
            # The database knows already that the job ended or has another owner: nothing is left to record.
            logger.info("job %s was stopped", job_id)
            raise
        finally:
            running.discard(job_id)

    DBOS.listen_queues([QUEUE])
    with explaining():
        # Before the engine looks for queues, which it does once a second: the first job need not wait for its next.
        client.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLL_SECONDS)
        DBOS.launch()
    # On a database that machines share, workers of others have the same name.
    is_alone = find_file(database_url) is not None
    keeper = threading.Thread(
        target=keep_going,
        args=(
            client,
            executor,
            dbos._active_workflows_set.activeList,
            lambda job_id: is_alone or job_id in begun,
            lambda job_id: dbos._sys_db.dead_letter_workflows([job_id], min_recovery_attempts=0),
            stop,
        ),
        name="keeper",
    )
    keeper.start()
    on_started()
    stop.wait()
    unfinished = list(running)
    DBOS.destroy()
    keeper.join()
    # Handed back as new: a worker that is asked to stop has not died, so the run does not count against the job.
    try:
        hand_back(client, unfinished)
    except SQLAlchemyError:
        # The next worker of this slot finds them by its name.
        logger.exception("jobs could not be handed back")
    client.destroy()


class _Outcomes:
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
            return PortableWorkflowError("The job failed; see the worker's log.", "JobFailed", FAILURE_CODES[kind])


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record of the engine's says more than that a job was cancelled, or failed, which has been told."""
    kind = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    return kind is None or not issubclass(kind, _TOLD)


def _hand_back(database_url: str, state_dir: Path, n_slots: int) -> None:
    """Puts jobs of slots without a worker back into the queue."""
    if not database_url.startswith("sqlite"):
        # Other machines may be on the database, and slots have the same names on each.
        return
    client = _connect(database_url)
    try:
        for slot in takewhile(lambda slot: _lock_of(state_dir, slot).exists(), count(n_slots)):
            try:
                lock = _take_slot(state_dir, slot)
            except SlotTaken:
                continue
            try:
                left = client.list_workflows(
                    status="PENDING", executor_id=_name(slot), load_input=False, load_output=False
                )
                hand_back(client, [job.workflow_id for job in left])
            finally:
                os.close(lock)
    finally:
        client.destroy()


def _connect(database_url: str) -> DBOSClient:
    return DBOSClient(system_database_url=write_url(database_url), serializer=SERIALIZER, application_name=APPLICATION)


def _name(slot: int) -> str:
    """Of a slot's worker, as its executor in the database."""
    return f"worker-{slot}"


def _lock_of(state_dir: Path, slot: int) -> Path:
    return state_dir / f"{_name(slot)}.lock"


def _take_slot(state_dir: Path, slot: int) -> int:
    descriptor = os.open(_lock_of(state_dir, slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SlotTaken(
            f"A worker is already running on slot {slot} of {state_dir}. Stop it first, or choose another state folder."
        ) from error
    return descriptor
