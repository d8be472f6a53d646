"""The worker's side of the jobs: takes them from the queue, one at a time, and sees them through."""

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSClient
from dbos._error import DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError
from dbos._serialization import PortableWorkflowError

from service.errors import ServiceError, SlotTaken
from service.jobs.database import (
    APPLICATION,
    APPLICATION_VERSION,
    MAX_RECOVERIES,
    PROGRESS,
    QUEUE,
    SERIALIZER,
    WORKFLOW,
    migrate,
)
from service.jobs.job import Progress
from service.jobs.records import FAILURE_CODES

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
CHECK_SECONDS = 0.3


class JobStopped(Exception):
    """The job is no longer this run's to do: it was cancelled, or another worker took it over."""


class JobRun:
    """One run of a job, handed to the function that performs it."""

    def __init__(self, client: DBOSClient, job_id: str, attempt: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self._client = client
        self._checked = 0.0
        # The database knows seconds only where it is SQLite: a run's own clock tells when it began and ended.
        self._told: dict[str, Any] = {"attempt": attempt, "started_at": _now()}

    def begin(self) -> None:
        """Tells when the run began. Raises JobStopped."""
        self._keep()

    def finish(self) -> None:
        """Tells when the run ended, whether it did what it should or not. Raises JobStopped."""
        self._told = {**self._told, "finished_at": _now()}
        self._keep()

    def report(self, progress: Progress) -> None:
        """Tells watchers how far the fit has come.

        Raises:
            JobStopped.
        """
        # What a person follows comes first.
        self._told = {**progress.to_dict(), "attempt": self.attempt, "started_at": self._told["started_at"]}
        with self._stopping():
            # Written in the name of the run that owns the job: one that lost it is refused.
            DBOS.write_stream(PROGRESS, self._told)
            DBOS.set_event(PROGRESS, self._told)

    def _keep(self) -> None:
        with self._stopping():
            DBOS.set_event(PROGRESS, self._told)

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        try:
            yield
        except (DBOSWorkflowConflictIDError, DBOSWorkflowCancelledError) as error:
            raise JobStopped(self.job_id) from error

    def raise_if_stopped(self) -> None:
        """Raises JobStopped when the job was cancelled. Cheap: asks the database a few times a second at most."""
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        found = self._client.list_workflows(workflow_ids=[self.job_id], load_input=False, load_output=False)
        if not found or found[0].status != "PENDING":
            raise JobStopped(self.job_id)


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
        slot: tells the workers on one state folder apart.
        n_slots: how many of them there are. When the first starts, what was left by slots beyond, of a time with more,
            goes back to the queue, where the database is the embedded one.
        on_started: called once jobs are being taken.

    Raises:
        SlotTaken: a worker of this slot is alive.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    lock = _take_slot(state_dir, slot)
    try:
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
    client = _connect(database_url)
    running: set[str] = set()
    # A job that is recovered does not come through the queue, so the queue's own limit does not hold it back.
    one_at_a_time = threading.Lock()
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": database_url,
            "executor_id": executor,
            "application_version": APPLICATION_VERSION,
            "serializer": SERIALIZER,
            "log_level": "WARNING",
        }
    )

    @DBOS.step(name="perform")
    def perform_step(task: dict[str, Any]) -> dict[str, Any]:
        job_id = DBOS.workflow_id
        if job_id is None:
            raise RuntimeError("a step runs inside a workflow")
        status = client.list_workflows(workflow_ids=[job_id], load_input=False, load_output=False)[0]
        run = JobRun(client, job_id, attempt=status.recovery_attempts or 1)
        while not one_at_a_time.acquire(timeout=CHECK_SECONDS):
            run.raise_if_stopped()
        running.add(job_id)
        try:
            run.begin()
            try:
                result = perform(task, run)
            except JobStopped:
                raise
            except Exception:  # a job that failed, for whatever reason, has ended; one that was stopped has not
                run.finish()
                raise
            run.finish()
            return result
        finally:
            running.discard(job_id)
            one_at_a_time.release()

    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)
    def run_job(task: dict[str, Any]) -> dict[str, Any]:
        try:
            return perform_step(task)
        except JobStopped:
            # The database knows already that the job ended or has another owner: nothing is left to record.
            logger.info("job %s was stopped", DBOS.workflow_id)
            raise
        except ServiceError as error:
            raise PortableWorkflowError(error.message, type(error).__name__, error.code) from error
        except Exception as error:  # whatever goes wrong in one job must not end the worker
            logger.exception("job %s failed", DBOS.workflow_id)
            message = "The job failed; see the worker's log."
            raise PortableWorkflowError(message, "JobFailed", FAILURE_CODES[task["kind"]]) from error

    DBOS.listen_queues([QUEUE])
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLL_SECONDS)
    on_started()
    stop.wait()
    unfinished = list(running)
    DBOS.destroy()
    # Handed back as new: a worker that is asked to stop has not died, so the run does not count against the job.
    for job_id in unfinished:
        client.resume_workflow(job_id, queue_name=QUEUE)
    client.destroy()


def _hand_back(database_url: str, state_dir: Path, n_slots: int) -> None:
    """Puts jobs of slots that nobody runs any more back into the queue."""
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
                for job in client.list_workflows(
                    status="PENDING", executor_id=_name(slot), load_input=False, load_output=False
                ):
                    client.resume_workflow(job.workflow_id, queue_name=QUEUE)
            finally:
                os.close(lock)
    finally:
        client.destroy()


def _connect(database_url: str) -> DBOSClient:
    return DBOSClient(system_database_url=database_url, serializer=SERIALIZER, application_name=APPLICATION)


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
            f"A worker runs on slot {slot} of {state_dir} already. Stop it first, or choose another state folder."
        ) from error
    return descriptor


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
