"""Jobs that are performed apart from the worker that answers for them."""

import signal

from tests.jobs.workers import REQUEST, Workers, ended, on_sqlite, open_queue, run_async, task, training, until


@on_sqlite
def test_a_job_that_hears_nothing_is_cancelled_at_once_and_the_queue_goes_on(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start(module="supervised_worker")
            deaf = await queue.submit(REQUEST, task(does="hang"))
            await until(queue, deaf.id, training)
            assert (await queue.cancel(deaf.id)).status == "cancelled"
            after = await queue.submit(REQUEST, task(does="tell", times=3))
            done = await until(queue, after.id, ended)
            assert (done.status, done.attempt) == ("succeeded", 1)
            assert [event.kind async for event in queue.watch(after.id)] == ["progress"] * 3 + ["done"]

    run_async(scenario)


@on_sqlite
def test_a_job_whose_process_dies_is_tried_three_times_and_then_failed(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start(module="supervised_worker")
            deadly = await queue.submit(REQUEST, task(does="die"))
            after = await queue.submit(REQUEST, task(does="tell", times=1))
            failed = await until(queue, deadly.id, ended)
            assert (failed.status, failed.error and failed.error["code"]) == ("failed", "worker_died")
            assert (await until(queue, after.id, ended)).status == "succeeded"
            assert worker.poll() is None

    run_async(scenario)


def test_failures_in_the_process_are_the_jobs_own(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            workers.start(module="supervised_worker")
            codes = []
            for does in ("fail", "break", "run out"):
                job = await queue.submit(REQUEST, task(does=does, kind="backtest"))
                codes.append(((await until(queue, job.id, ended)).error or {})["code"])
            assert codes == ["backtest_failed", "backtest_failed", "too_much_memory"]

    run_async(scenario)


def test_a_worker_that_is_asked_to_stop_hands_its_job_back_though_it_hears_nothing(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            worker = workers.start(module="supervised_worker")
            job = await queue.submit(REQUEST, task(does="hang"))
            await until(queue, job.id, training)
            worker.send_signal(signal.SIGTERM)
            # The pipes end with the last process that holds them.
            worker.communicate(timeout=60)
            assert (await queue.get(job.id)).status == "queued"

    run_async(scenario)
