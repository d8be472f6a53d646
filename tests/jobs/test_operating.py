"""Priorities, filters, retries, logs and loss curves of jobs."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from service.errors import (
    DatasetNotFound,
    IdempotencyKeyReused,
    InvalidRequest,
    JobNotEnded,
    JobNotFound,
    QueueFull,
    ScheduleNotFound,
)
from service.jobs import job_log
from service.jobs.connection import connect
from service.jobs.database_tables import LOG
from service.jobs.job_log import JobLog, read_log
from service.jobs.priority import HIGHEST, LOWEST, rank
from service.jobs.schedules import Schedules
from tests.jobs.workers import REQUEST, Workers, ended, on_both, open_queue, run_async, task, until


@on_both
def test_jobs_are_taken_by_priority_and_within_one_as_they_were_submitted(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            jobs = {}
            for priority in (0, None, -10, 10, 0, 10, -1):
                request = REQUEST if priority is None else {**REQUEST, "priority": priority}
                job = await queue.submit(request, task(epochs=1, seconds=0))
                jobs[job.id] = priority or 0
            workers.start()
            for job_id in jobs:
                await until(queue, job_id, ended)
            runs = [run.split()[0] for run in workers.runs()]
            assert runs == sorted(jobs, key=lambda job_id: -jobs[job_id])

    run_async(scenario)


@given(st.integers(LOWEST, HIGHEST), st.integers(1, 2**40), st.integers(LOWEST, HIGHEST), st.integers(1, 2**40))
def test_ranks_fit_the_engine_and_no_number_outweighs_a_priority(one: int, first: int, other: int, second: int) -> None:
    ranks = rank(one, first), rank(other, second)
    assert all(1 <= each < 2**31 for each in ranks)
    if one != other:
        assert (ranks[0] < ranks[1]) == (one > other)
    elif max(first, second) < 2**26:
        assert (ranks[0] < ranks[1]) == (first < second)


@on_both
def test_lists_are_filtered_by_model_kind_and_time_page_after_page(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            a = [await queue.submit(REQUEST, task(model="a")) for _ in range(3)]
            between = datetime.now(UTC)
            await asyncio.sleep(0.002)
            b = await queue.submit(REQUEST, task(model="b", kind="backtest"))
            last = await queue.submit(REQUEST, task(model="a", kind="backtest"))

            async def ids(**chosen: Any) -> list[str]:
                found: list[str] = []
                cursor = None
                while True:
                    jobs, cursor = await queue.page(limit=2, cursor=cursor, **chosen)
                    found += [job.id for job in jobs]
                    if cursor is None:
                        return found

            assert await ids(model="a") == [last.id, *(job.id for job in a[::-1])]
            assert await ids(kind="backtest") == [last.id, b.id]
            assert await ids(kind="train", model="a") == [job.id for job in a[::-1]]
            assert await ids(model="none") == []
            assert await ids(submitted_after=between) == [last.id, b.id]
            assert await ids(submitted_before=between, model="a") == [job.id for job in a[::-1]]
            # The ranges of two lists that meet have every job once.
            at = datetime.fromisoformat(b.submitted_at)
            assert b.id in await ids(submitted_after=at)
            assert b.id not in await ids(submitted_before=at)
            assert await ids(submitted_after=at + timedelta(milliseconds=1), submitted_before=at) == []
            await queue.cancel(b.id)
            assert await ids(status="cancelled", kind="backtest") == [b.id]

    run_async(scenario)


def test_jobs_of_a_release_that_only_numbered_them_are_filtered_too(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            old = await queue.submit(REQUEST, task(model="a"))
        engine = connect(workers.url)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP INDEX outfielder_jobs_by_model"))
            for column in ("model", "kind", "submitted_ms"):
                connection.execute(sa.text(f"ALTER TABLE outfielder_jobs DROP COLUMN {column}"))
        engine.dispose()
        async with open_queue(workers) as queue:
            new = await queue.submit(REQUEST, task(model="a"))
            at = datetime.fromisoformat(old.submitted_at)
            listed, _ = await queue.page(model="a", kind="train", submitted_after=at)
            assert [job.id for job in listed] == [new.id, old.id]

    run_async(scenario)


@on_both
def test_a_job_that_has_ended_is_submitted_again_as_a_new_one(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers, limit=3) as queue:
            request = {**REQUEST, "priority": 3}
            failed = await queue.submit(request, task(epochs=1, fails="named"))
            checked: list[dict[str, Any]] = []
            with pytest.raises(JobNotEnded, match="queued"):
                await queue.retry(failed.id, check=checked.append)
            worker = workers.start()
            await until(queue, failed.id, ended)
            worker.terminate()
            worker.wait()
            again = await queue.retry(failed.id, check=checked.append)
            assert (again.retry_of, again.status, again.attempt) == (failed.id, "queued", 0)
            assert again.id != failed.id
            assert (again.request, again.model, again.kind) == (request, failed.model, failed.kind)
            assert [each["fails"] for each in checked] == ["named"]
            assert (await queue.get(failed.id)).status == "failed"
            assert (await queue.get(failed.id)).retry_of is None

            keyed = await queue.retry(failed.id, idempotency_key="k", check=checked.append)
            assert await queue.retry(failed.id, idempotency_key="k", check=checked.append) == keyed
            with pytest.raises(IdempotencyKeyReused):
                await queue.submit({"architecture": "gru"}, task(), idempotency_key="k")

            def refuse(task: dict[str, Any]) -> None:
                raise DatasetNotFound("gone")

            with pytest.raises(DatasetNotFound):
                await queue.retry(failed.id, check=refuse)
            assert await queue.count("queued") == 2
            await queue.submit(REQUEST, task())
            with pytest.raises(QueueFull):
                await queue.retry(failed.id, check=checked.append)
            with pytest.raises(JobNotFound):
                await queue.retry("nope", check=checked.append)
            workers.start()
            assert (await until(queue, again.id, ended)).error == (await queue.get(failed.id)).error

    run_async(scenario)


@on_both
def test_a_jobs_log_tells_of_each_run_and_its_history_of_each_epoch(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start(module="supervised_worker")
            job = await queue.submit(REQUEST, task(does="fit", times=3, kills=1))
            done = await until(queue, job.id, ended)
            assert (done.status, done.attempt) == ("succeeded", 2)
            lines = await queue.read_log(job.id)
            said = [line.split(" ", 1)[1] for line in lines]
            assert said[0].startswith("INFO    run 1: begins on ")
            assert "INFO    run 1: window 1 of a series\\nhas 3 points" in said
            assert "ERROR   run 1: the process that performed the job ended with status -9" in said
            assert "ERROR   run 1: died; the job is run again" in said
            assert said[-1] == "INFO    run 2: ends well"
            stamps = [line.split(" ", 1)[0] for line in lines]
            assert stamps == sorted(stamps)
            assert not any("Traceback" in line or "/secret" in line for line in lines)

            epochs, cursor = await queue.read_history(job.id)
            assert cursor is None
            assert [(each["attempt"], each["epoch"], each["member"], each["member_epoch"]) for each in epochs] == [
                (1, 1, 1, 1),
                *((2, epoch, 1, epoch) for epoch in (1, 2, 3)),
            ]
            assert [each["loss"] for each in epochs] == [1.0, 1.0, 0.5, 1 / 3]
            seconds = [each["seconds"] for each in epochs[1:]]
            assert seconds == sorted(seconds)
            assert seconds[0] >= 0
            # Page after page, the same.
            paged: list[dict[str, Any]] = []
            while True:
                page, cursor = await queue.read_history(job.id, limit=2, cursor=cursor)
                paged += page
                if cursor is None:
                    break
            assert paged == epochs
            for call in (queue.read_log("nope"), queue.read_history("nope")):
                with pytest.raises(JobNotFound):
                    await call

    run_async(scenario)


@on_both
def test_a_log_is_bounded_and_one_event_is_one_line(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            monkeypatch.setattr(job_log, "MOST_LINES", 150)
            engine = connect(workers.url)
            log = JobLog(engine)
            for number in range(420):
                log.write(job.id, 1, "INFO", f"event {number}")
            log.write(job.id, 1, "INFO", "two\nlines, \x1b[31mred, a \x00 and " + 5000 * "x")
            log.write("another", 1, "INFO", "of another job")
            lines = await queue.read_log(job.id)
            assert len(lines) == 150
            assert lines[-2].endswith("event 419")
            assert "two\\nlines, ?[31mred, a ? and xxx" in lines[-1]
            assert len(lines[-1]) < 2100
            with engine.connect() as connection:
                assert (connection.execute(sa.select(sa.func.count()).select_from(LOG)).scalar() or 0) < 300
            engine.dispose()

    run_async(scenario)


def test_what_is_logged_while_the_database_is_away_is_written_later(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
        file, away = workers.folder / "jobs.sqlite", workers.folder / "away"
        engine = connect(workers.url)
        log = JobLog(engine)
        file.rename(away)
        file.mkdir()
        started = time.monotonic()
        for number in range(3):
            log.write(job.id, 1, "INFO", f"event {number}")
        assert time.monotonic() - started < 60
        file.rmdir()
        away.rename(file)
        log.write(job.id, 1, "INFO", "event 3")
        assert [line[-7:] for line in read_log(engine, job.id)] == [f"event {number}" for number in range(4)]
        engine.dispose()

    run_async(scenario)


def test_the_log_of_a_removed_job_goes_with_it(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start()
            job = await queue.submit(REQUEST, task())
            await until(queue, job.id, ended)
            assert await queue.read_log(job.id)
            await asyncio.sleep(1.1)
            assert await queue.expire(0) == 1
            with pytest.raises(JobNotFound):
                await queue.read_log(job.id)
            engine = connect(workers.url)
            with engine.connect() as connection:
                assert connection.execute(sa.select(LOG)).all() == []
            engine.dispose()

    run_async(scenario)


@on_both
def test_odd_names_and_cursors_are_nobodys_and_no_failure_of_the_database(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            for job_id in ("\0", "a\0b", "\U0001f98a" * 40):
                with pytest.raises(JobNotFound):
                    await queue.get(job_id)
            assert await queue.page(model="\0") == ([], None)
            assert await queue.find_active("\0") is None
            for cursor in ("80000000", "7fffffffffffffff", "ffffffffffffffff"):
                with pytest.raises(InvalidRequest):
                    await queue.page(cursor=cursor)
                with pytest.raises(InvalidRequest):
                    await queue.read_history(job.id, cursor=cursor)
            assert (await queue.page(cursor="7fffffff"))[0] == [job]
            assert await queue.read_history(job.id, cursor="7fffffff") == ([], None)
            watching = await queue.subscribe(job.id, after=10**12 - 1)
            watching.close()
            assert await queue.ask(lambda database: database.reader.read_progress({job.id: 10**12 - 1}, 64)) == {
                job.id: []
            }
            with pytest.raises(ScheduleNotFound):
                await Schedules(queue).get("\0")

    run_async(scenario)
