"""Ended jobs are removed when they are old; thousands of them slow nothing down."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.jobs.workers import REQUEST, Workers, ended, open_queue, run_async, task, until

TABLES = ("workflow_status", "workflow_input", "workflow_output", "operation_outputs", "workflow_events", "streams")


def make_old(file: Path, job_id: str, days: float) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "UPDATE workflow_status SET completed_at = completed_at - ?, updated_at = updated_at - ? "
            "WHERE workflow_uuid = ?",
            (days * 86_400_000, days * 86_400_000, job_id),
        )


def test_old_jobs_that_have_ended_are_removed_with_all_that_is_stored_of_them(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start()
            jobs = [await queue.submit(REQUEST, task(**fields)) for fields in ({}, {"fails": "named"}, {}, {})]
            for job in jobs:
                await until(queue, job.id, ended)
            cancelled = await queue.submit(REQUEST, task(epochs=1, seconds=60))
            await queue.cancel(cancelled.id)
            waiting = await queue.submit(REQUEST, task(epochs=1, seconds=60))
            file = tmp_path / "jobs.sqlite"
            old = [jobs[0].id, jobs[1].id, cancelled.id, waiting.id]
            for job_id in old:
                make_old(file, job_id, 31)
            make_old(file, jobs[2].id, 29)
            assert await queue.expire(30 * 86_400) == 3
            left, _ = await queue.page()
            assert [job.id for job in left] == [waiting.id, jobs[3].id, jobs[2].id]
            oldest = await queue.find_oldest()
            assert oldest is not None
            assert oldest.id == waiting.id
            assert await queue.expire(30 * 86_400) == 0
            with closing(sqlite3.connect(file)) as connection:
                for table in TABLES:
                    found = {row[0] for row in connection.execute(f"SELECT workflow_uuid FROM {table}")}
                    assert found.isdisjoint(old[:3]), table
            # A number is not given out again, or a page would turn back.
            later = await queue.submit(REQUEST, task())
            assert (await queue.page(limit=1))[0][0].id == later.id

    run_async(scenario)


def test_counting_jobs_reads_an_index_and_no_row(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            await queue.submit(REQUEST, task())
            counts = await queue.count_all()
            assert counts == {"queued": 1, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
        with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
            plan = connection.execute(
                "EXPLAIN QUERY PLAN SELECT status, count(*) FROM workflow_status WHERE name = 'run_job' GROUP BY status"
            ).fetchall()
            assert "COVERING INDEX outfielder_jobs_by_status" in str(plan)

    run_async(scenario)
