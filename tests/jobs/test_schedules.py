"""Schedules in the database, embedded and shared: each time is taken by one process."""

import asyncio

import sqlalchemy as sa

from service.jobs.queue import JobQueue
from service.jobs.schedule import ScheduledRun
from service.jobs.schedule_table import SCHEDULES
from service.jobs.schedules import CLAIM_MS, PAUSE_MS, Schedules
from tests.jobs.workers import Workers, on_both, open_queue, run_async

TRAIN = {"architecture": "linear"}


async def move(queue: JobQueue, **values: object) -> None:
    """Sets columns of all schedules."""

    def update(engine: sa.Engine) -> None:
        with engine.begin() as connection:
            connection.execute(sa.update(SCHEDULES).values(**values))

    await queue.ask(lambda database: update(database.engine))


@on_both
def test_of_processes_that_look_at_once_one_takes_a_schedule_that_is_due(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as first, open_queue(workers) as second:
            schedules = [Schedules(first), Schedules(second)]
            made = [await schedules[0].add("@yearly", "UTC", TRAIN) for _ in range(8)]
            await move(first, next_ms=1000)
            taken = await asyncio.gather(*(one.take_due() for one in schedules * 2))
            ids = [schedule.id for found in taken for schedule in found]
            assert sorted(ids) == sorted(schedule.id for schedule in made)
            assert all(schedule.next_at == "1970-01-01T00:00:01.000Z" for found in taken for schedule in found)
            assert await schedules[1].take_due() == []

    run_async(scenario)


@on_both
def test_what_nobody_finishes_is_due_again_and_what_is_finished_at_its_next_time(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            schedules = Schedules(queue)
            made = await schedules.add("@daily", "UTC", TRAIN)
            await move(queue, next_ms=1000)
            (taken,) = await schedules.take_due()
            await move(queue, claimed_until_ms=SCHEDULES.c.claimed_until_ms - CLAIM_MS)
            (again,) = await schedules.take_due()
            assert again == taken
            await schedules.finish(again, None)
            assert await schedules.take_due() == []
            await move(queue, claimed_until_ms=SCHEDULES.c.claimed_until_ms - PAUSE_MS)
            (due,) = await schedules.take_due()
            await schedules.finish(due, ScheduledRun(due.next_at or "", ("a-job",)))
            assert await schedules.take_due() == []
            found = await schedules.get(made.id)
            assert found.runs == (ScheduledRun("1970-01-01T00:00:01.000Z", ("a-job",)),)
            assert found.next_at == made.next_at

    run_async(scenario)


@on_both
def test_a_schedule_that_was_paused_while_it_was_taken_stays_paused(workers: Workers) -> None:
    async def scenario() -> None:
        async with open_queue(workers) as queue:
            schedules = Schedules(queue)
            made = await schedules.add("@daily", "Asia/Kolkata", TRAIN)
            await move(queue, next_ms=1000)
            (taken,) = await schedules.take_due()
            await schedules.change(made.id, paused=True)
            await schedules.finish(taken, ScheduledRun("then"))
            found = await schedules.get(made.id)
            assert found.next_at is None
            assert [run.due_at for run in found.runs] == ["then"]
            await schedules.delete(made.id)
            await schedules.finish(taken, ScheduledRun("later"))
            assert await schedules.all() == []

    run_async(scenario)
