"""A thousand waiting jobs: how fast they are accepted, listed, counted, started and watched, on either database.

`python -m benchmarks.jobs [URL]`; with a PostgreSQL's URL that is measured as well.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from benchmarks.machine import describe_machine
from service.jobs.queue import JobQueue
from tests.jobs.workers import Workers, ended, until
from tests.postgres import PostgresServer

JOBS = 1000
AT_ONCE = 16
READS = 50
WATCHERS = 1000
REQUEST = {"architecture": "lstm"}
TASK = {"kind": "train", "model": "demo", "epochs": 1, "seconds": 0.0}


async def measure(workers: Workers) -> list[tuple[str, str]]:
    """Rows of the table."""
    rows = []
    queue = JobQueue(workers.url, limit=10 * JOBS, max_watchers=2 * WATCHERS)
    await queue.open()
    try:
        few = JOBS // 10
        one_by_one = await _time(_submit(queue, few), few)
        rows.append(("submissions one after another", f"{1 / one_by_one:.0f} / s"))
        room = asyncio.Semaphore(AT_ONCE)

        async def submit() -> None:
            async with room:
                await queue.submit(REQUEST, TASK)

        started = time.perf_counter()
        await asyncio.gather(*(submit() for _ in range(JOBS - few)))
        seconds = time.perf_counter() - started
        rows.append((f"submissions, {AT_ONCE} at once", f"{(JOBS - few) / seconds:.0f} / s"))
        newest = (await queue.page(limit=1))[0][0].id
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "a list of 50": queue.page,
            "a list of 50 by model": partial(queue.page, model="demo"),
            "a list of 1,000": partial(queue.page, limit=1000),
            "one job": partial(queue.get, newest),
            "counts by status": queue.count_all,
        }
        rows += [(what, f"{1000 * await _median(call):.1f} ms") for what, call in calls.items()]
        await _run(queue, workers, rows)
        await _watch(queue, workers, rows)
    finally:
        for row in rows:
            print(*row, sep=": ")
        await queue.close()
        workers.close()
    return rows


async def _run(queue: JobQueue, workers: Workers, rows: list[tuple[str, str]]) -> None:
    """Two workers take all; in which order they were begun."""
    for host in ("a", "b"):
        workers.start(host=host, wait=False)
    await _poll(lambda counts, workers: workers == 2, queue)
    started = time.perf_counter()
    await _poll(lambda counts, workers: counts["queued"] + counts["running"] == 0, queue)
    seconds = time.perf_counter() - started
    rows.append(("empty jobs of two workers", f"{JOBS / seconds:.1f} / s"))
    jobs, _ = await queue.page(limit=JOBS)
    submitted = [job.id for job in reversed(jobs)]
    begun = [job.id for job in sorted(jobs, key=lambda job: job.started_at or "")]
    places = {job_id: place for place, job_id in enumerate(submitted)}
    late = max(abs(place - places[job_id]) for place, job_id in enumerate(begun))
    rows.append(("begun out of turn by at most", f"{late} places"))


async def _watch(queue: JobQueue, workers: Workers, rows: list[tuple[str, str]]) -> None:
    """Many watchers of one job, each resuming in its middle."""
    job = await queue.submit(REQUEST, {**TASK, "epochs": 20, "seconds": 0.1})

    async def watch(after: int) -> float:
        ids = [event.id async for event in queue.watch(job.id, after=after)]
        assert ids == list(range(after + 1, 22)), ids
        return time.perf_counter()

    watching = [asyncio.create_task(watch(number % 10)) for number in range(WATCHERS)]
    await until(queue, job.id, ended)
    over = time.perf_counter()
    ends = await asyncio.gather(*watching)
    rows.append((f"{WATCHERS} watchers: the last is told of the end after", f"{1000 * (max(ends) - over):.0f} ms"))


async def _poll(condition: Callable[[dict[str, int], int], bool], queue: JobQueue) -> None:
    while not condition(await queue.count_all(), await queue.count_workers()):  # noqa: ASYNC110 - the workers are processes
        await asyncio.sleep(0.2)


async def _submit(queue: JobQueue, count: int) -> None:
    for _ in range(count):
        await queue.submit(REQUEST, TASK)


async def _time(work: Awaitable[object], count: int) -> float:
    started = time.perf_counter()
    await work
    return (time.perf_counter() - started) / count


async def _median(call: Callable[[], Awaitable[object]]) -> float:
    return statistics.median([await _time(call(), 1) for _ in range(READS)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", help="of an empty PostgreSQL database; by default one is started")
    url = parser.parse_args().url
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        tables = {"SQLite": asyncio.run(measure(Workers(Path(folder))))}
    with tempfile.TemporaryDirectory() as folder:
        server = None
        if url is None:
            server = PostgresServer(is_durable=True)
            server.start()
            url = server.make_database()
        try:
            tables["PostgreSQL"] = asyncio.run(measure(Workers(Path(folder), url)))
        finally:
            if server is not None:
                server.close()
    print("| | SQLite | PostgreSQL |\n|---|---|---|")
    for sqlite, postgres in zip(*tables.values(), strict=True):
        print(f"| {sqlite[0]} | {sqlite[1]} | {postgres[1]} |")


if __name__ == "__main__":
    main()
