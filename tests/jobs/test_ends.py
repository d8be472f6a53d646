"""Every job ends, also where the worker could not record how."""

import asyncio
import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.jobs.host import name_executor, read_host_id
from tests.jobs.workers import REQUEST, Workers, ended, open_queue, run_async, task, training, until
from tests.warm_process import WarmProcess


@contextmanager
def full_disk(process: WarmProcess) -> Iterator[None]:
    """As if the disk were full: nothing that a process writes to a file is taken."""
    before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)


def hear(process: WarmProcess, words: str) -> None:
    """Waits for a line of a process's log."""
    assert any(words in line for line in process.stderr), "it ended without a word"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


@pytest.mark.parametrize("fields", [{}, {"fails": "named"}, {"fails": "unnamed"}], ids=["succeeds", "fails", "breaks"])
def test_a_job_ends_once_after_the_disk_was_full_when_it_did(workers: Workers, fields: dict[str, str]) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start()
            job = await queue.submit(REQUEST, task(epochs=4, seconds=0.3, **fields))
            await until(queue, job.id, training)
            with full_disk(worker):
                await asyncio.to_thread(hear, worker, f"the outcome of job {job.id} can't be recorded")
                assert (await queue.get(job.id)).status == "running"
            done = await until(queue, job.id, ended)
            if fields:
                assert done.status == "failed"
                assert (done.error or {})["code"] == "training_failed"
                assert ("infinite" in (done.error or {})["message"]) == (fields["fails"] == "named")
            else:
                assert (done.status, done.result) == ("succeeded", {"model": "demo", "version": 1})
            assert len(workers.runs()) == 1
            after = await queue.submit(REQUEST, task())
            assert (await until(queue, after.id, ended)).status == "succeeded"

    run_async(scenario)


def test_a_job_that_is_submitted_while_the_workers_disk_is_full_is_run_later(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start()
            with full_disk(worker):
                job = await queue.submit(REQUEST, task())
                await asyncio.sleep(1.5)
                assert (await queue.get(job.id)).status in ("queued", "running")
            assert (await until(queue, job.id, ended)).status == "succeeded"

    run_async(scenario)


def test_a_job_goes_on_and_ends_after_the_database_was_locked(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start()
            job = await queue.submit(REQUEST, task(epochs=3, seconds=0.3))
            await until(queue, job.id, training)
            with locked(workers.folder / "jobs.sqlite"):
                await asyncio.sleep(3)
            assert (await until(queue, job.id, ended)).status == "succeeded"
            assert len(workers.runs()) == 1

    run_async(scenario)


def test_a_job_that_the_worker_has_forgotten_is_handed_back(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start(look_seconds=0.2)
            # As if it had been taken, and the database had failed before it was begun.
            job = await queue.submit(REQUEST, task())
            with closing(sqlite3.connect(workers.folder / "jobs.sqlite", timeout=30)) as connection, connection:
                connection.execute(
                    "UPDATE workflow_status SET status = 'PENDING', executor_id = ?, owner_xid = 'nobody' "
                    "WHERE workflow_uuid = ? AND status = 'ENQUEUED'",
                    (name_executor(read_host_id(workers.folder), 0), job.id),
                )
            assert (await until(queue, job.id, ended)).status == "succeeded"

    run_async(scenario)


def test_a_cancelled_job_stays_cancelled_when_its_worker_is_asked_to_stop(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start()
            job = await queue.submit(REQUEST, task(epochs=1, seconds=60, is_deaf=True))
            await until(queue, job.id, training)
            assert (await queue.cancel(job.id)).status == "cancelled"
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
            assert (await queue.get(job.id)).status == "cancelled"
            assert await queue.count("queued") == 0

    run_async(scenario)


def test_a_stopped_worker_that_is_continued_ends_its_job(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start()
            job = await queue.submit(REQUEST, task(epochs=3, seconds=0.3))
            await until(queue, job.id, training)
            os.kill(worker.pid, signal.SIGSTOP)
            await asyncio.sleep(2)
            os.kill(worker.pid, signal.SIGCONT)
            assert (await until(queue, job.id, ended)).status == "succeeded"
            assert len(workers.runs()) == 1

    run_async(scenario)


def test_cancelling_a_job_logs_no_traceback(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start()
            for fields in ({"seconds": 60}, {"fails": "named"}):
                job = await queue.submit(REQUEST, task(epochs=1, **fields))
                if "fails" not in fields:
                    await until(queue, job.id, training)
                    await queue.cancel(job.id)
                await until(queue, job.id, ended)
            after = await queue.submit(REQUEST, task())
            await until(queue, after.id, ended)
            await asyncio.sleep(1)
            worker.send_signal(signal.SIGTERM)
            _, errors = worker.communicate(timeout=60)
            assert "Traceback" not in errors

    run_async(scenario)
