"""Rows of the job database that ask to be read with pickle: nobody obeys them."""

import base64
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dbos import _serialization

from service.jobs.pickle_refusal import PickleRefused
from tests.jobs.workers import REQUEST, Workers, ended, open_queue, run_async, task, until

# Where serialized values stand in the engine's tables, beside the word that says how they are to be read.
VALUES = {
    "workflow_input": ("inputs",),
    "workflow_output": ("output", "error"),
    "operation_outputs": ("output", "error"),
    "notifications": ("message",),
    "workflow_events": ("value",),
    "workflow_events_history": ("value",),
    "streams": ("value",),
}


class Command:
    """What a pickle can be: a command for whoever reads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def bomb(mark: Path) -> str:
    return base64.b64encode(pickle.dumps(Command(mark))).decode()


def plant(file: Path, mark: Path) -> None:
    """Puts the command wherever a value stands, and says everywhere that values are pickles."""
    with closing(sqlite3.connect(file)) as connection, connection:
        text = bomb(mark)
        connection.execute(
            "UPDATE workflow_status SET serialization = 'py_pickle', inputs = ?, output = ?, error = ?", [text] * 3
        )
        for (job_id,) in connection.execute("SELECT workflow_uuid FROM workflow_status").fetchall():
            connection.execute(
                "INSERT OR REPLACE INTO workflow_events (workflow_uuid, key, value) VALUES (?, 'progress', ?)",
                (job_id, text),
            )
            connection.execute(
                "INSERT OR REPLACE INTO streams (workflow_uuid, key, value, offset) VALUES (?, 'progress', ?, 0)",
                (job_id, text),
            )
            connection.execute("INSERT INTO notifications (destination_uuid, message) VALUES (?, ?)", (job_id, text))
            connection.execute(
                "INSERT OR REPLACE INTO operation_outputs (workflow_uuid, function_id, function_name, output) "
                "VALUES (?, 1, 'perform', ?)",
                (job_id, text),
            )
        for table, columns in VALUES.items():
            for column in columns:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} IS NOT NULL", (text,))
            if table not in ("workflow_input", "workflow_output"):
                connection.execute(f"UPDATE {table} SET serialization = 'py_pickle'")


def test_a_pickle_would_run_its_command(tmp_path: Path) -> None:
    pickle.loads(base64.b64decode(bomb(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_the_api_reads_no_planted_pickle(workers: Workers, tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start()
            done = await queue.submit(REQUEST, task())
            failed = await queue.submit(REQUEST, task(fails="named"))
            for job in (done, failed):
                await until(queue, job.id, ended)
            worker.kill()
            worker.wait()
            waiting = await queue.submit(REQUEST, task())
            cancelled = await queue.submit(REQUEST, task())
            await queue.cancel(cancelled.id)
            plant(tmp_path / "jobs.sqlite", mark)
            for job in (done, failed):
                found = await queue.get(job.id)
                assert (found.status, found.result) == ("failed", None)
                assert found.error is not None
                assert found.error["code"] == "unreadable_job"
                assert [event.kind async for event in queue.watch(job.id)][-1] == "done"
            jobs, _ = await queue.page()
            assert len(jobs) == 4
            assert (await queue.get(waiting.id)).status == "queued"
            assert await queue.find_active("demo") is not None
            await queue.cancel(waiting.id)
        assert not mark.exists()

    run_async(scenario)


def test_the_worker_runs_no_planted_pickle_and_ends_its_job(workers: Workers, tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    async def scenario() -> None:
        async with open_queue(workers) as queue:
            planted = await queue.submit(REQUEST, task())
            plant(tmp_path / "jobs.sqlite", mark)
            after = await queue.submit(REQUEST, task())
            workers.start()
            assert (await until(queue, after.id, ended)).status == "succeeded"
            found = await until(queue, planted.id, ended)
            assert found.status == "failed"
            assert found.error is not None
            assert found.error["code"] == "unreadable_job"
        assert not mark.exists()
        assert not any(planted.id in run for run in workers.runs())

    run_async(scenario)


@pytest.mark.parametrize("change", ["serialization = 'nobody_knows'", "class_name = 'Nobody'"])
def test_a_row_that_nobody_can_read_ends_and_the_queue_goes_on(workers: Workers, tmp_path: Path, change: str) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            planted = await queue.submit(REQUEST, task())
            with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection, connection:
                connection.execute(f"UPDATE workflow_status SET {change}")
            after = await queue.submit(REQUEST, task())
            workers.start(look_seconds=0.2)
            assert (await until(queue, after.id, ended)).status == "succeeded"
            assert (await until(queue, planted.id, ended, 60)).status == "failed"

    run_async(scenario)


JUNK = ("", "[]", "null", "{", '{"request": 7, "submitted_ms": "x", "order": []}', "7")


def test_rows_of_junk_are_shown_as_well_as_they_can_be_and_no_other_suffers(workers: Workers, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start()
            jobs = await queue.submit_all([(REQUEST, task(epochs=1, seconds=0.0))] * (2 * len(JUNK)))
            for job in jobs:
                await until(queue, job.id, ended)
            # Every second one.
            spoilt, good = jobs[1::2], jobs[::2]
            with closing(sqlite3.connect(tmp_path / "jobs.sqlite", timeout=30)) as connection, connection:
                for job, junk in zip(spoilt, JUNK, strict=True):
                    connection.execute(
                        "UPDATE workflow_status SET attributes = ? WHERE workflow_uuid = ?", (junk, job.id)
                    )
                    for table, column in (
                        ("workflow_output", "output"),
                        ("workflow_events", "value"),
                        ("streams", "value"),
                    ):
                        connection.execute(f"UPDATE {table} SET {column} = ? WHERE workflow_uuid = ?", (junk, job.id))
            listed, _ = await queue.page()
            assert [job.id for job in listed] == [job.id for job in jobs[::-1]]
            assert [job.status for job in listed[1::2]] == ["succeeded"] * len(good)
            for job in spoilt:
                assert (await queue.get(job.id)).status in ("succeeded", "failed")
                assert [event.kind async for event in queue.watch(job.id)][-1] == "done"

    run_async(scenario)


def test_a_planted_outcome_of_an_interrupted_job_is_not_read(workers: Workers, tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start()
            job = await queue.submit(REQUEST, task(epochs=4, seconds=0.5))
            await until(queue, job.id, lambda job: job.progress is not None)
            worker.kill()
            worker.wait()
            with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection, connection:
                connection.execute(
                    "INSERT INTO operation_outputs (workflow_uuid, function_id, function_name, output, serialization) "
                    "VALUES (?, 1, 'perform', ?, 'py_pickle')",
                    (job.id, bomb(mark)),
                )
            workers.start()
            assert (await until(queue, job.id, ended)).status == "failed"
        assert not mark.exists()

    run_async(scenario)


@pytest.mark.parametrize("read", ["deserialize_value", "deserialize_args", "deserialize_exception"])
def test_every_way_in_which_the_engine_reads_refuses_pickles(read: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for serializer in (_serialization.DBOSPortableJSON, _serialization.DefaultSerializer()):
        with pytest.raises(PickleRefused):
            getattr(_serialization, read)(bomb(mark), "py_pickle", serializer)
    assert not mark.exists()
