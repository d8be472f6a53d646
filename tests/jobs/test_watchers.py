"""Many watchers of jobs, with one reader."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from service.errors import DatabaseUnavailable, TooManyWatchers
from service.jobs.job import Job, JobEvent
from service.jobs.watchers import KEPT, Watchers, Watching
from tests.jobs.workers import REQUEST, Workers, open_queue, run_async, task

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Database:
    """Jobs that tell when the test says so, and how often they were asked."""

    def __init__(self) -> None:
        self.told: dict[str, list[dict[str, Any]]] = {}
        self.over: set[str] = set()
        self.reads: list[str] = []
        self.fails = False

    def find(self, ids: Sequence[str]) -> list[Job]:
        self.reads.append("find")
        return [job(one, "succeeded" if one in self.over else "running") for one in ids if one in self.told]

    def find_heads(self, ids: Sequence[str]) -> dict[str, tuple[bool, int]]:
        if self.fails:
            raise DatabaseUnavailable("It is away.")
        self.reads.append("heads")
        return {one: (one in self.over, len(self.told[one])) for one in ids if one in self.told}

    def read_progress(self, after: Mapping[str, int], limit: int) -> dict[str, list[tuple[int, dict[str, Any]]]]:
        self.reads.append("progress")
        return {
            one: [(seen + i + 1, fields) for i, fields in enumerate(self.told[one][seen : seen + limit])]
            for one, seen in after.items()
        }


def job(job_id: str, status: Any = "running") -> Job:
    return Job(job_id, "train", status, {}, "demo", "", None, None, 1, None, None, None)


def make_watchers(database: Database, limit: int = 1000) -> Watchers:
    async def ask(call: Any) -> Any:
        await asyncio.sleep(0)
        return call(database)

    return Watchers(ask, limit=limit)


async def collect(watching: Watching) -> list[JobEvent]:
    try:
        return [event async for event in watching.events()]
    finally:
        watching.close()


async def test_hundreds_of_watchers_are_told_all_and_read_for_once() -> None:
    database = Database()
    database.told = {"a": [{"epoch": i} for i in range(3)], "b": []}
    watchers = make_watchers(database)
    tasks = [asyncio.create_task(collect(watchers.watch(one, 0))) for one in ["a"] * 300 + ["b"] * 200]
    await asyncio.sleep(0.4)
    database.told["a"] += [{"epoch": 3}]
    await asyncio.sleep(0.4)
    database.told["b"] += [{"epoch": 0}]
    database.over |= {"a", "b"}
    events = await asyncio.wait_for(asyncio.gather(*tasks), 60)
    for found in events[:300]:
        assert [event.id for event in found] == [1, 2, 3, 4, 5]
        assert [event.data["epoch"] for event in found[:4]] == [0, 1, 2, 3]
        assert (found[4].kind, found[4].data["status"]) == ("done", "succeeded")
    for found in events[300:]:
        assert [event.kind for event in found] == ["progress", "done"]
    # Of five hundred watchers each would read by itself, again and again.
    assert len(database.reads) < 200
    await watchers.close()


async def test_a_watcher_that_comes_late_reads_what_it_missed() -> None:
    database = Database()
    n = 5 * KEPT + 7
    database.told = {"a": [{"epoch": i} for i in range(n)]}
    database.over = {"a"}
    watchers = make_watchers(database)
    for after in (0, 1, n - KEPT - 1, n - 2, n):
        found = await asyncio.wait_for(collect(watchers.watch("a", after)), 60)
        assert [event.id for event in found] == list(range(after + 1, n + 2))
    beyond = await asyncio.wait_for(collect(watchers.watch("a", n + 100)), 60)
    assert [event.kind for event in beyond] == ["done"]
    await watchers.close()


async def test_a_watcher_beyond_the_limit_is_refused_until_another_leaves() -> None:
    watchers = make_watchers(Database(), limit=2)
    first, second = watchers.watch("a", 0), watchers.watch("b", 0)
    with pytest.raises(TooManyWatchers):
        watchers.watch("a", 0)
    first.close()
    first.close()
    third = watchers.watch("a", 0)
    with pytest.raises(TooManyWatchers):
        watchers.watch("a", 0)
    second.close()
    third.close()
    await watchers.close()


async def test_watchers_outlast_a_database_that_is_away_for_a_while() -> None:
    database = Database()
    database.told = {"a": [{"epoch": 0}]}
    database.fails = True
    watchers = make_watchers(database)
    waiting = asyncio.create_task(collect(watchers.watch("a", 0)))
    await asyncio.sleep(0.6)
    assert not waiting.done()
    database.fails = False
    database.over = {"a"}
    found = await asyncio.wait_for(waiting, 60)
    assert [event.kind for event in found] == ["progress", "done"]
    await watchers.close()


async def test_a_stream_of_a_job_that_was_deleted_ends() -> None:
    watchers = make_watchers(Database())
    assert await asyncio.wait_for(collect(watchers.watch("gone", 0)), 60) == []
    await watchers.close()


def test_streams_that_end_make_room_for_others(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers, max_watchers=1) as queue:
            submitted = await queue.submit(REQUEST, task())
            watching = await queue.subscribe(submitted.id)
            with pytest.raises(TooManyWatchers):
                await queue.subscribe(submitted.id)
            await queue.cancel(submitted.id)
            assert [event.kind async for event in watching.events()] == ["done"]
            watching.close()
            assert [event.kind async for event in queue.watch(submitted.id)] == ["done"]

    run_async(scenario)
