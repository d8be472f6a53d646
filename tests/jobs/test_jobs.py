"""The queue and real worker processes over a real database file; some of them are killed."""

import asyncio
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.errors import IdempotencyKeyReused, InvalidRequest, JobEnded, JobNotFound, QueueFull
from service.jobs.job import Job, JobEvent
from tests.jobs.workers import (
    REQUEST,
    Workers,
    ended,
    on_both,
    on_postgres,
    on_sqlite,
    open_queue,
    run_async,
    task,
    training,
    until,
)


@on_both
def test_a_job_runs_and_tells_its_progress_from_the_first_event_to_done(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            assert (job.status, job.attempt, job.model, job.request) == ("queued", 0, "demo", REQUEST)
            workers.start()
            events = [event async for event in queue.watch(job.id)]
            assert [event.kind for event in events] == ["progress"] * 3 + ["done"]
            assert [event.id for event in events] == [1, 2, 3, 4]
            assert [event.data["epoch"] for event in events[:3]] == [1, 2, 3]
            done = await queue.get(job.id)
            assert events[-1].data == done.to_dict()
            assert done.status == "succeeded"
            assert done.result == {"model": "demo", "version": 1}
            assert done.progress is not None
            assert done.progress.epoch == 3
            assert done.started_at is not None
            assert done.finished_at is not None
            assert job.submitted_at <= done.started_at <= done.finished_at

            rest: list[JobEvent] = [event async for event in queue.watch(job.id, after=2)]
            assert rest == events[2:]

    run_async(scenario)


@on_both
@pytest.mark.parametrize("fields", [{}, {"fails": "unnamed"}], ids=["succeeded", "failed"])
def test_the_times_of_a_job_are_told_to_the_millisecond(workers: Workers, fields: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task(**fields))
            workers.start()
            done = await until(queue, job.id, ended)
            assert done.status == ("failed" if fields else "succeeded")
            times = [done.submitted_at, done.started_at or "", done.finished_at or ""]
            assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one) for one in times)
            assert times == sorted(times)
            if not fields:
                # Three epochs of 50 ms each: a clock of whole seconds would say none, or a second.
                events = [event async for event in queue.watch(job.id)]
                assert events[0].data["started_at"] == done.started_at
                took = datetime.fromisoformat(times[2]) - datetime.fromisoformat(times[1])
                assert took >= timedelta(seconds=0.15)
            [listed], _ = await queue.page()
            assert (listed.started_at, listed.finished_at) == (done.started_at, done.finished_at)

    run_async(scenario)


def test_a_job_that_is_cancelled_at_once_ends_no_earlier_than_it_was_submitted(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task())
            cancelled = await queue.cancel(job.id)
            assert cancelled.started_at is None
            assert cancelled.finished_at is not None
            assert cancelled.finished_at >= cancelled.submitted_at

    run_async(scenario)


@on_both
def test_cancelling_ends_a_queued_job_at_once_and_a_running_one_soon(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start()
            running = await queue.submit(REQUEST, task(epochs=1, seconds=60))
            waiting = await queue.submit(REQUEST, task())
            await until(queue, running.id, training)
            assert (await queue.cancel(waiting.id)).status == "cancelled"
            assert (await queue.cancel(running.id)).status == "cancelled"
            after = await queue.submit(REQUEST, task())
            assert (await until(queue, after.id, ended)).status == "succeeded"
            assert (await queue.get(running.id)).status == "cancelled"
            assert waiting.id not in " ".join(workers.runs())
            with pytest.raises(JobEnded):
                await queue.cancel(running.id)

    run_async(scenario)


@on_both
def test_a_killed_workers_job_is_run_again_and_ends_once(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            first = workers.start()
            job = await queue.submit(REQUEST, task(epochs=4, seconds=0.5))
            await until(queue, job.id, training)
            first.kill()
            first.wait()
            workers.start()
            done = await until(queue, job.id, ended)
            assert (done.status, done.attempt, done.result) == ("succeeded", 2, {"model": "demo", "version": 2})
            assert workers.runs() == [f"{job.id} 1", f"{job.id} 2"]
            events = [event async for event in queue.watch(job.id)]
            attempts = [event.data["attempt"] for event in events[:-1]]
            assert attempts == sorted(attempts)
            assert attempts.count(2) == 4

    run_async(scenario)


@on_sqlite
def test_a_job_that_kills_its_worker_three_times_is_failed(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task(epochs=1, crashes=True))
            for _ in range(3):
                workers.start(wait=False).wait(timeout=60)
            workers.start()
            failed = await until(queue, job.id, ended)
            assert failed.status == "failed"
            assert failed.error is not None
            assert failed.error["code"] == "worker_died"
            assert failed.attempt == 3
            assert len(workers.runs()) == 3
            after = await queue.submit(REQUEST, task())
            assert (await until(queue, after.id, ended)).status == "succeeded"

    run_async(scenario)


@on_postgres
def test_a_worker_that_is_asked_to_stop_leaves_its_job_to_the_next(workers: Workers) -> None:
    def is_in_run(n_runs: int) -> Callable[[Job], bool]:
        return lambda job: training(job) and len(workers.runs()) == n_runs

    async def scenario() -> None:
        async with open_queue(workers) as queue:
            job = await queue.submit(REQUEST, task(epochs=3, seconds=1.5))
            for n_runs in (1, 2, 3):
                worker = workers.start()
                # The row may still say what the worker before said.
                await until(queue, job.id, is_in_run(n_runs))
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(timeout=60) == 0
            workers.start()
            done = await until(queue, job.id, ended)
            assert done.status == "succeeded"
            assert len(workers.runs()) == 4

    run_async(scenario)


@on_both
def test_a_failure_is_told_without_what_is_inside(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start()
            named = await queue.submit(REQUEST, task(epochs=1, fails="named"))
            unnamed = await queue.submit(REQUEST, task(epochs=1, fails="unnamed"))
            backtest = await queue.submit(REQUEST, task(kind="backtest", epochs=1, fails="unnamed"))
            assert (await until(queue, named.id, ended)).error == {
                "code": "training_failed",
                "message": "The loss became infinite.",
            }
            error = (await until(queue, unnamed.id, ended)).error
            assert error is not None
            assert error["code"] == "training_failed"
            assert "secret" not in str(error)
            error = (await until(queue, backtest.id, ended)).error
            assert error is not None
            assert error["code"] == "backtest_failed"

    run_async(scenario)


@on_both
def test_an_idempotency_key_leads_to_one_job_and_refuses_another_request(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            first = await queue.submit(REQUEST, task(), idempotency_key="k")
            assert await queue.submit(REQUEST, task(), idempotency_key="k") == first
            assert await queue.count("queued") == 1
            with pytest.raises(IdempotencyKeyReused):
                await queue.submit({"architecture": "gru"}, task(), idempotency_key="k")
            assert (await queue.submit(REQUEST, task(), idempotency_key="other")).id != first.id

    run_async(scenario)


@on_both
def test_the_queue_is_bounded_and_takes_all_jobs_of_a_request_or_none(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers, limit=3) as queue:
            await queue.submit(REQUEST, task())
            with pytest.raises(QueueFull):
                await queue.submit_all([(REQUEST, task())] * 3)
            assert len(await queue.submit_all([(REQUEST, task())] * 2)) == 2
            with pytest.raises(QueueFull):
                await queue.submit(REQUEST, task())
            submissions = [queue.submit(REQUEST, task()) for _ in range(3)]
            assert all(
                isinstance(answer, QueueFull) for answer in await asyncio.gather(*submissions, return_exceptions=True)
            )

    run_async(scenario)


@on_both
def test_pages_hold_every_job_once_newest_first_while_others_are_submitted(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            ids = [(await queue.submit(REQUEST, task())).id for _ in range(5)]
            seen: list[str] = []
            jobs, cursor = await queue.page(limit=2)
            seen += [job.id for job in jobs]
            while cursor is not None:
                await queue.submit(REQUEST, task())
                jobs, cursor = await queue.page(limit=2, cursor=cursor)
                seen += [job.id for job in jobs]
            assert seen == ids[::-1]
            await queue.cancel(ids[0])
            assert [job.id for job in (await queue.page(status="cancelled"))[0]] == [ids[0]]
            for cursor in ("?", "bm8=", ""):
                with pytest.raises(InvalidRequest):
                    await queue.page(cursor=cursor)

    run_async(scenario)


@on_both
def test_lists_leave_out_the_results_of_backtests_and_nothing_else(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start()
            submitted = [
                await queue.submit(REQUEST, task(**fields))
                for fields in (
                    {"kind": "train"},
                    {"kind": "backtest"},
                    {"kind": "backtest", "fails": "named"},
                    {"kind": "train", "fails": "named"},
                )
            ]
            done = [await until(queue, job.id, ended) for job in submitted]
            assert done[1].result is not None
            listed, _ = await queue.page()
            assert listed[::-1] == [done[0], replace(done[1], result=None), *done[2:]]

    run_async(scenario)


@on_both
def test_a_model_in_the_making_is_found_by_its_name(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            backtest = await queue.submit(REQUEST, task(model="a", kind="backtest"))
            assert backtest.kind == "backtest"
            assert await queue.find_active("a") is None
            first = await queue.submit(REQUEST, task(model="a"))
            assert first.kind == "train"
            await queue.submit(REQUEST, task(model="a"))
            found = await queue.find_active("a")
            assert found is not None
            assert found.id == first.id
            assert await queue.find_active("b") is None
            await queue.cancel(first.id)
            found = await queue.find_active("a")
            assert found is not None
            assert found.id != first.id

    run_async(scenario)


@on_both
def test_an_unknown_job_is_not_found(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            for call in (queue.get("nope"), queue.cancel("nope"), anext(queue.watch("nope"))):
                with pytest.raises(JobNotFound):
                    await call

    run_async(scenario)


def test_a_second_worker_on_the_same_slot_is_refused(workers: Workers) -> None:
    workers.start()
    second = workers.start(wait=False)
    _, errors = second.communicate(timeout=60)
    assert second.returncode != 0
    assert "already" in errors


def test_the_test_worker_is_a_process_of_its_own(workers: Workers) -> None:
    assert workers.start().pid != os.getpid()
