"""The order of jobs and their times, whatever is done to the clock."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.job import Job
from service.jobs.job_records import JobRow, to_job
from tests.jobs.workers import REQUEST, Workers, ended, on_both, open_queue, run_async, task, training, until

YEAR_SECONDS = 365 * 86_400


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves this process's clock by so many years from now."""
    now, now_ns = time.time, time.time_ns

    def move(years: float) -> None:
        seconds = years * YEAR_SECONDS
        monkeypatch.setattr(time, "time", lambda: now() + seconds)
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(seconds * 1e9))

    return move


@on_both
def test_jobs_keep_their_order_while_the_clock_jumps_by_decades(
    workers: Workers, set_clock: Callable[[float], None]
) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            ids = []
            for years in (0, 10, -10, 70, 0, -50, 300, 5):
                set_clock(years)
                ids.append((await queue.submit(REQUEST, task(epochs=1, seconds=0))).id)
        set_clock(0)
        async with open_queue(workers) as queue:
            jobs, _ = await queue.page()
            assert [job.id for job in jobs] == ids[::-1]
            workers.start()
            done = [await until(queue, job_id, ended) for job_id in ids]
            assert [run.split()[0] for run in workers.runs()] == ids
            for job in done:
                assert job.status == "succeeded"
                assert job.submitted_at <= (job.started_at or "") <= (job.finished_at or "")

    run_async(scenario)


def test_a_cancelled_job_ends_no_earlier_than_it_began_after_the_clock_was_set_back(
    workers: Workers, set_clock: Callable[[float], None]
) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            set_clock(10)
            job = await queue.submit(REQUEST, task(epochs=1, seconds=60))
            set_clock(0)
            workers.start()
            running = await until(queue, job.id, training)
            assert running.submitted_at <= (running.started_at or "")
            cancelled = await queue.cancel(job.id)
            assert cancelled.submitted_at <= (cancelled.started_at or "") <= (cancelled.finished_at or "")

    run_async(scenario)


def test_jobs_of_an_older_server_go_first_in_their_order(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            old = [(await queue.submit(REQUEST, task(epochs=1, seconds=0))).id for _ in range(3)]
        # As it was: ordered by nanoseconds, with a priority from them that has no room for those to come.
        orders = dict(zip(old, (3, 1, 2), strict=True))
        with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection, connection:
            connection.execute("DROP TABLE outfielder_jobs")
            for job_id, order in orders.items():
                connection.execute(
                    "UPDATE workflow_status SET priority = 2147483640 + ?, "
                    "attributes = json_remove(json_set(attributes, '$.order', ?), '$.submitted_ms') "
                    "WHERE workflow_uuid = ?",
                    (order, 1_790_000_000_000_000_000 + order, job_id),
                )
        async with open_queue(workers) as queue:
            new = (await queue.submit(REQUEST, task(epochs=1, seconds=0))).id
            expected = [*sorted(old, key=lambda job_id: orders[job_id]), new]
            jobs, _ = await queue.page()
            assert [job.id for job in jobs] == expected[::-1]
            assert jobs[-1].submitted_at == "2026-09-21T14:13:20.000Z"
            workers.start()
            for job_id in expected:
                await until(queue, job_id, ended)
            assert [run.split()[0] for run in workers.runs()] == expected

    run_async(scenario)


moments = st.none() | st.integers(-(2**60), 2**60)


@given(
    submitted=st.integers(-(2**60), 2**60),
    began=moments,
    ended_ms=moments,
    status=st.sampled_from(["ENQUEUED", "PENDING", "SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]),
)
def test_times_never_run_backwards_and_any_can_be_shown(
    submitted: int, began: int | None, ended_ms: int | None, status: str
) -> None:
    row = JobRow(1, "a", status, 1, began, ended_ms, "portable_json", "{}", None, {"submitted_ms": submitted})
    job: Job = to_job(row, None)
    times = [one for one in (job.submitted_at, job.started_at, job.finished_at) if one]
    assert times == sorted(times)
