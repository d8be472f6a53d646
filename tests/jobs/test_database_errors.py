"""A job database that can't do what it is asked: said at once, and over when it can again."""

import asyncio
import os
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.errors import DatabaseUnavailable
from service.jobs.connection import connect, probe
from service.jobs.queue import JobQueue
from service.jobs.runner import run_jobs
from tests.jobs.workers import REQUEST, Workers, open_queue, run_async, task


async def refusals(queue: JobQueue, job_id: str) -> list[str]:
    """What each of the queue's operations says; each must refuse."""
    said = []
    for call in (
        queue.submit(REQUEST, task()),
        queue.submit(REQUEST, task(), idempotency_key="k"),
        queue.get(job_id),
        queue.page(),
        queue.page(status="running"),
        queue.cancel(job_id),
        queue.find_active("demo"),
        queue.find_reader("0" * 32),
        queue.count("queued"),
        queue.subscribe(job_id),
        queue.check(),
    ):
        with pytest.raises(DatabaseUnavailable) as raised:
            await call
        said.append(raised.value.message)
    return said


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another program that writes, and does not come to an end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


@contextmanager
def full(extra_bytes: int, file: Path) -> Iterator[None]:
    """As if the disk held only so much more: no file of this process may grow beyond."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal = file.with_name(file.name + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + extra_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_deleted_database_is_told_and_nothing_is_accepted_into_it(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            file = tmp_path / "jobs.sqlite"
            away = file.rename(tmp_path / "away")
            assert all("deleted or replaced" in message for message in await refusals(queue, job.id))
            away.rename(file)
            assert (await queue.get(job.id)).status == "queued"
            await queue.check()
            # Another file of the same name is another database.
            file.rename(away)
            with closing(sqlite3.connect(file)):
                file.touch()
            assert all("deleted or replaced" in message for message in await refusals(queue, job.id))

    run_async(scenario)


def test_a_locked_database_can_be_read_and_says_that_it_is_locked(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.connection.BUSY_SECONDS", 0.3)

    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            with locked(tmp_path / "jobs.sqlite"):
                assert await queue.get(job.id) == job
                assert await queue.count("queued") == 1
                for call in (queue.submit(REQUEST, task()), queue.cancel(job.id), queue.check()):
                    started = time.monotonic()
                    with pytest.raises(DatabaseUnavailable, match="locked"):
                        await call
                    # The engine's own patience is half a minute, over and over.
                    assert time.monotonic() - started < 25
            assert (await queue.cancel(job.id)).status == "cancelled"
            assert await queue.count("queued") == 0

    run_async(scenario)


def test_a_full_disk_is_told_and_leaves_no_half_of_a_submission(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            kept: list[str] = []

            def keep() -> Callable[[], None]:
                kept.append("kept")
                return lambda: kept.append("dropped")

            await queue.submit(REQUEST, task())
            with full(20_000, tmp_path / "jobs.sqlite"):
                with pytest.raises(DatabaseUnavailable, match="job database"):
                    await queue.submit_all([(REQUEST, task(filler="x" * 3000))] * 11, keep=keep)
                assert await queue.count("queued") == 1
            assert kept == ["kept", "dropped"]
            assert len(await queue.submit_all([(REQUEST, task(filler="x" * 3000))] * 11)) == 11
            assert await queue.count("queued") == 12
            jobs, _ = await queue.page()
            assert len(jobs) == 12

    run_async(scenario)


def test_a_database_that_can_only_be_read_is_not_ready(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            await queue.submit(REQUEST, task())

    run_async(scenario)
    # As it is opened where the file's permissions or its disk allow no more, whoever the user is.
    engine = connect(f"sqlite:///file:{tmp_path / 'jobs.sqlite'}?mode=ro&uri=true")
    try:
        with engine.connect() as connection, pytest.raises(DatabaseUnavailable, match="can't be written"):
            probe(connection)
    finally:
        engine.dispose()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write what is read-only")
def test_a_database_that_may_not_be_written_is_told(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            await queue.submit(REQUEST, task())
        (tmp_path / "jobs.sqlite").chmod(0o444)
        async with open_queue(workers) as queue:
            for call in (queue.submit(REQUEST, task()), queue.check()):
                with pytest.raises(DatabaseUnavailable, match="can't be written"):
                    await call

    run_async(scenario)


def test_a_damaged_database_is_told_and_the_queue_opens_all_the_same(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "jobs.sqlite").write_bytes(b"no database at all, " * 1000)
        async with open_queue(workers) as queue:
            assert all("damaged" in message for message in await refusals(queue, "nope"))

    run_async(scenario)


def test_a_database_that_comes_late_is_used_from_then_on(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "jobs.sqlite"
        file.mkdir()
        async with open_queue(workers) as queue:
            with pytest.raises(DatabaseUnavailable, match="can't be opened"):
                await queue.check()
            file.rmdir()
            job = await queue.submit(REQUEST, task())
            assert await queue.get(job.id) == job
            await queue.check()

    run_async(scenario)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(b"no database at all, " * 1000), "damaged"),
        (lambda file: file.mkdir(), "can't be opened"),
        (lambda file: file.parent.chmod(0o500), "can't be written"),
    ],
    ids=["damaged", "a folder", "closed"],
)
def test_a_worker_that_can_not_use_the_database_says_why(
    workers: Workers, spoil: Callable[[Path], object], said: str
) -> None:
    file = workers.folder / "state" / "jobs.sqlite"
    file.parent.mkdir()
    spoil(file)
    if said == "can't be written" and os.getuid() == 0:
        pytest.skip("root may write what is read-only")
    with pytest.raises(DatabaseUnavailable, match=said):
        run_jobs(f"sqlite:///{file}", file.parent, lambda task, run: {}, stop=threading.Event())


def test_a_server_that_is_not_there_is_told_soon() -> None:
    async def scenario() -> None:
        queue = JobQueue("postgresql://nobody@127.0.0.1:9/nothing", limit=10)
        await queue.open()
        assert all("can't be reached" in message for message in await refusals(queue, "nope"))
        await queue.close()

    asyncio.run(scenario())
