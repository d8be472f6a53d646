"""A PostgreSQL that stops, or hangs, for a while."""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import DatabaseUnavailable
from service.jobs import queue as queue_module
from service.jobs.database_client import JobDatabase
from service.jobs.engine_log import EngineNews
from service.jobs.runner import run_jobs
from tests.jobs.workers import REQUEST, Workers, ended, open_queue, run_async, task, training, until
from tests.postgres import PostgresServer

on_postgres = pytest.mark.parametrize("workers", ["postgres"], indirect=True)


@on_postgres
@pytest.mark.parametrize("epochs", [5, 60], ids=["ends meanwhile", "ends later"])
def test_a_job_goes_on_while_the_database_is_away_and_ends_afterwards(
    workers: Workers, postgres: PostgresServer, epochs: int
) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start(module="supervised_worker", lease_seconds=3)
            job = await queue.submit(REQUEST, task(does="work", times=epochs, seconds=0.2))
            waiting = await queue.submit(REQUEST, task(does="tell", times=1))
            await until(queue, job.id, training)
            postgres.stop()
            try:
                for _ in range(3):
                    with pytest.raises(DatabaseUnavailable, match="can't be reached"):
                        await queue.submit(REQUEST, task(does="tell", times=1))
                # Past the lease, which nobody may take for a death.
                await asyncio.sleep(6)
            finally:
                postgres.start()
            submitted = await queue.submit(REQUEST, task(does="tell", times=1))
            for job_id in (job.id, waiting.id, submitted.id):
                done = await until(queue, job_id, ended)
                assert (done.status, done.attempt) == ("succeeded", 1)
            assert worker.poll() is None

    run_async(scenario)


@on_postgres
def test_nobody_notices_that_an_idle_server_was_restarted(workers: Workers, postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            # Several connections, of before.
            await asyncio.gather(*(queue.get(job.id) for _ in range(20)))
            postgres.stop()
            postgres.start()
            assert await asyncio.gather(*(queue.get(job.id) for _ in range(20))) == [job] * 20
            assert (await queue.cancel(job.id)).status == "cancelled"

    run_async(scenario)


@on_postgres
def test_watchers_are_told_the_rest_when_the_database_is_back(workers: Workers, postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start(module="supervised_worker")
            job = await queue.submit(REQUEST, task(does="work", times=20, seconds=0.2))
            await until(queue, job.id, training)

            async def watch() -> list[int]:
                return [event.id async for event in queue.watch(job.id)]

            watching = asyncio.create_task(watch())
            await asyncio.sleep(0.5)
            postgres.stop()
            await asyncio.sleep(1.5)
            postgres.start()
            ids = await watching
            assert ids == list(range(1, len(ids) + 1))

    run_async(scenario)


@on_postgres
def test_a_database_that_hangs_is_told_and_nobody_waits_for_ever(
    workers: Workers, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            monkeypatch.setattr(queue_module.JobQueue.ask, "__defaults__", (1.0,))
            postgres.pause()
            try:
                # More than there are threads.
                answers = await asyncio.gather(
                    *(call for _ in range(3) for call in (queue.get(job.id), queue.check())), return_exceptions=True
                )
            finally:
                postgres.go_on()
            # Until the calls that were given up have come to their ends.
            await asyncio.gather(*(queue.check() for _ in range(6)))
            assert all(isinstance(answer, DatabaseUnavailable) for answer in answers), answers
            assert all("does not answer" in str(answer) for answer in answers)
            assert (await queue.get(job.id)).status == "queued"
            await queue.check()

    run_async(scenario)


def test_those_at_the_end_of_a_long_line_are_answered_as_long_as_somebody_is(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            monkeypatch.setattr(queue_module.JobQueue.ask, "__defaults__", (3.0,))

            def slowly(database: JobDatabase) -> str:
                time.sleep(0.4)
                return job.id

            # Three at a time: the last one waits for 4 s.
            answers = await asyncio.gather(*(queue.ask(slowly) for _ in range(30)))
            assert answers == [job.id] * 30

    run_async(scenario)


def test_a_lost_connection_is_logged_now_and_then_and_not_at_every_try() -> None:
    now = 0.0
    news = EngineNews(lambda: now)

    def tell(message: str) -> bool:
        return news.filter(logging.LogRecord("dbos", logging.WARNING, "", 0, message, (), None))

    refused = "Exception listing queues: (psycopg.OperationalError) refused"
    assert [tell(refused) for _ in range(3)] == [True, False, False]
    assert tell("Something else")
    now = 31.0
    record = logging.LogRecord("dbos", logging.WARNING, "", 0, "Database connection failed: x\nTraceback", (), None)
    assert news.filter(record)
    assert record.getMessage() == "Database connection failed: x"


@on_postgres
def test_a_worker_that_starts_before_its_database_waits_for_it(workers: Workers, postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            postgres.stop()
            try:
                worker = workers.start(wait=False)
                await asyncio.sleep(3)
                assert worker.poll() is None
            finally:
                postgres.start()
            assert (await until(queue, job.id, ended)).status == "succeeded"

    run_async(scenario)


def test_a_worker_that_waits_for_its_database_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    url = "postgresql://nobody@127.0.0.1:9/nothing"
    waiting = threading.Thread(target=run_jobs, args=(url, tmp_path, lambda task, run: {}), kwargs={"stop": stop})
    waiting.start()
    waiting.join(1)
    assert waiting.is_alive()
    stop.set()
    waiting.join(60)
    assert not waiting.is_alive()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace("postgres@", "nosuchuser@"), "refuses the user"),
        (lambda url: url.replace("postgres@", "stranger@"), "ALTER DATABASE"),
    ],
    ids=["unknown user", "may make no tables"],
)
def test_a_database_that_refuses_its_user_is_told_and_not_waited_for(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path, change: Callable[[str], str], said: str
) -> None:
    postgres.execute("DROP ROLE IF EXISTS stranger")
    postgres.execute("CREATE ROLE stranger LOGIN")
    with pytest.raises(DatabaseUnavailable, match=said):
        run_jobs(change(postgres_url), tmp_path, lambda task, run: {}, stop=threading.Event())


def test_a_database_that_is_not_there_yet_is_made(postgres: PostgresServer, tmp_path: Path) -> None:
    stop = threading.Event()
    url = postgres.url(f"made_{uuid.uuid4().hex}")
    run_jobs(url, tmp_path, lambda task, run: {}, stop=stop, on_started=stop.set)
