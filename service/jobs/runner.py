"""The worker's side of the job engine: takes jobs from the queue and runs them, one at a time."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient
from sqlalchemy.exc import SQLAlchemyError

from service.errors import DatabaseUnavailable, ServiceError
from service.jobs.connection import connect, wait_for_server, write_url
from service.jobs.database import SERIALIZER, migrate
from service.jobs.database_errors import explaining
from service.jobs.engine_log import EngineNews
from service.jobs.engine_names import APPLICATION, APPLICATION_VERSION, MAX_RECOVERIES, QUEUE, WORKFLOW
from service.jobs.helping import Helper
from service.jobs.host import name_executor, name_host, read_host_id
from service.jobs.job_log import JobLog
from service.jobs.job_run import CHECK_SECONDS, JobRun
from service.jobs.leases import Leases, hand_back, keep_lease
from service.jobs.outcomes import Outcomes
from service.jobs.ownership import NotOwned, Ownership
from service.jobs.parts import PartBoard
from service.jobs.run_errors import JobFailed, JobStopped, RunLost
from service.jobs.slot import Slot
from service.jobs.slot_lock import recover, take_slot
from service.jobs.stray_jobs import keep_going
from service.jobs.supervised_run import Perform

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# Until the database takes an outcome again.
RETRY_SECONDS = 1.0


def run_jobs(
    database_url: str,
    state_dir: Path,
    perform: Perform,
    *,
    stop: threading.Event,
    slot: int = 0,
    n_slots: int = 1,
    on_started: Callable[[], None] = lambda: None,
    sweep: Callable[[Callable[[Sequence[str]], set[str]]], None] = lambda find_ended: None,
) -> None:
    """Runs jobs until `stop` is set. What a killed worker of the same slot left unfinished is run again first.

    Args:
        perform: given a task and its run, does it and returns the job's result. A ServiceError that it raises is the
            job's error; anything else fails the job without details, which go to the log.
        slot: distinguishes the workers on one state folder.
        n_slots: how many of them there are. When the first starts, what was left by slots beyond, of a time with more,
            goes back to the queue.
        on_started: called once jobs are being taken.
        sweep: called now and then with what finds those of some jobs that have ended; takes away what they have left.

    Raises:
        SlotTaken: a worker of this slot is alive.
        DatabaseUnavailable: the database can't be used, so nothing was begun.
    """
    with explaining():
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = take_slot(state_dir, slot)
    try:
        if not wait_for_server(database_url, stop):
            return
        with explaining():
            migrate(database_url)
            host_id = read_host_id(state_dir)
            engine = connect(database_url)
        try:
            recover(engine, state_dir, host_id, slot, n_slots)
            _run(database_url, engine, perform, stop, name_executor(host_id, slot), on_started, sweep)
        finally:
            engine.dispose()
    finally:
        os.close(lock)


def _run(
    database_url: str,
    engine: sa.Engine,
    perform: Perform,
    stop: threading.Event,
    executor: str,
    on_started: Callable[[], None],
    sweep: Callable[[Callable[[Sequence[str]], set[str]]], None],
) -> None:
    logging.getLogger("dbos").addFilter(EngineNews())
    client = _connect(database_url)
    running: set[str] = set()
    outcomes = Outcomes()
    # A job that is recovered does not come through the queue, so the queue's own limit does not hold it back.
    one_at_a_time = Slot()
    log = JobLog(engine)
    leases = Leases(engine, executor, name_host())
    # Before the first job: whoever has one and no lease is taken for dead.
    leases.beat()
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
        ownership = Ownership.of_this_run(engine, job_id)
        run = JobRun(ownership, job_id, _count_runs(ownership, job_id, stop), log)
        while not one_at_a_time.acquire(CHECK_SECONDS):
            run.raise_if_stopped()
        try:
            run.begin()
            run.log("INFO", f"begins on {name_host()}, worker {executor}")
            try:
                result = perform(task, run)
                run.log("INFO", "ends well")
                return result
            except JobStopped:
                run.log("WARNING", "was stopped: the job was cancelled, or another worker has it")
                raise
            except (JobFailed, ServiceError) as error:
                run.log("ERROR", f"failed: {error.message}")
                raise
            except RunLost:
                if not stop.is_set():
                    again = run.attempt <= MAX_RECOVERIES
                    run.log("ERROR", f"died; {'the job is run again' if again else 'no further run follows'}")
                    # As if this worker had died itself: the row says how often that was. It is no longer this run's.
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
    board = PartBoard(engine)
    keepers = [
        threading.Thread(
            target=keep_going,
            args=(
                client,
                engine,
                executor,
                dbos._active_workflows_set.activeList,
                lambda job_id: dbos._sys_db.dead_letter_workflows([job_id], min_recovery_attempts=0),
                stop,
            ),
            name="keeper",
        ),
        threading.Thread(target=keep_lease, args=(leases, stop), name="lease"),
        threading.Thread(
            target=Helper(board, perform, one_at_a_time, stop, lambda: sweep(board.find_ended)).keep_helping,
            name="helper",
        ),
    ]
    for keeper in keepers:
        keeper.start()
    on_started()
    stop.wait()
    unfinished = list(running)
    DBOS.destroy()
    for keeper in keepers:
        keeper.join()
    # Handed back as new: a worker that is asked to stop has not died, so the run does not count against the job.
    try:
        with engine.begin() as connection:
            hand_back(connection, executor, unfinished)
        leases.end()
    except DatabaseUnavailable:
        # The next worker of this slot finds them by its name, or another one when the lease has run out.
        logger.warning("jobs could not be handed back")
    client.destroy()


def _count_runs(ownership: Ownership, job_id: str, stop: threading.Event) -> int:
    """How many runs a job has had, this one included, as soon as the database says it."""
    while True:
        try:
            return ownership.check()
        except NotOwned as error:
            raise JobStopped(job_id) from error
        except DatabaseUnavailable as error:
            if stop.wait(RETRY_SECONDS):
                raise RunLost(job_id) from error


def _connect(database_url: str) -> DBOSClient:
    return DBOSClient(system_database_url=write_url(database_url), serializer=SERIALIZER, application_name=APPLICATION)
