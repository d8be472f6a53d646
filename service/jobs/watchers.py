"""Sends jobs' events to many watchers with one reader, so that the cost is per job and not per watcher."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from service.errors import DatabaseUnavailable, TooManyWatchers
from service.jobs.job import Job, JobEvent

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Told = list[tuple[int, dict[str, Any]]]

INTERVAL_SECONDS = 0.25
# Of events that are read at once, for a watcher that comes late.
CHUNK = 100
# The newest events of a job, which most watchers wait for.
KEPT = 32
# Watchers that are told at a time, and the pause before the next: other requests must not wait for them all.
TOLD_AT_ONCE = 20
PAUSE_SECONDS = 0.002


class WatchedJobs(Protocol):
    """What is read of jobs; see `service.jobs.job_reader.JobReader`."""

    def find(self, ids: Sequence[str]) -> list[Job]: ...

    def find_heads(self, ids: Sequence[str]) -> dict[str, tuple[bool, int]]: ...

    def read_progress(self, after: Mapping[str, int], limit: int) -> dict[str, Told]: ...


# Runs a blocking call of a reader in a thread.
Ask = Callable[[Callable[[WatchedJobs], Answer]], Awaitable[Answer]]


class _Channel:
    """A job that is watched."""

    def __init__(self) -> None:
        self.watchers: list[Watching] = []
        # How many progress events there are, and the last of them.
        self.head = 0
        self.newest: deque[JobEvent] = deque(maxlen=KEPT)
        # Once the job has ended; what it ended with, unless it was deleted.
        self.is_over = False
        self.done: JobEvent | None = None


class Watchers:
    """The watchers of one process. To be used on the event loop."""

    def __init__(self, ask: Ask[Any], *, limit: int) -> None:
        """Args: `limit` is the most watchers at a time."""
        self._ask = ask
        self._limit = limit
        self._channels: dict[str, _Channel] = {}
        self._count = 0
        self._reading: asyncio.Task[None] | None = None

    def watch(self, job_id: str, after: int) -> "Watching":
        """A watcher of a job's events from the one after `after` on. Close it.

        Raises:
            TooManyWatchers.
        """
        if self._count >= self._limit:
            raise TooManyWatchers(
                f"{self._count} streams of events are open, the limit is {self._limit}. Close some, or ask GET "
                "/jobs/{job_id} now and then.",
                retry_after_seconds=5,
            )
        self._count += 1
        channel = self._channels.setdefault(job_id, _Channel())
        watching = Watching(self, job_id, channel, after)
        channel.watchers.append(watching)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return watching

    def leave(self, job_id: str, channel: _Channel, watching: "Watching") -> None:
        self._count -= 1
        channel.watchers.remove(watching)
        if not channel.watchers and self._channels.get(job_id) is channel:
            del self._channels[job_id]

    async def read_late(self, job_id: str, after: int) -> list[JobEvent]:
        """What a watcher missed."""
        told: dict[str, Told] = await self._ask(lambda reader: reader.read_progress({job_id: after}, CHUNK))
        return _events(told[job_id])

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        """Reads for all watchers, as long as there are any."""
        while self._channels:
            try:
                await self._look()
            except DatabaseUnavailable:
                # It has been logged; watchers are told when it is back.
                logger.debug("jobs can't be watched for now")
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _look(self) -> None:
        channels = {job_id: channel for job_id, channel in self._channels.items() if not channel.is_over}
        if not channels:
            return
        heads = await self._ask(lambda reader: reader.find_heads(list(channels)))
        # Those of whom all has been read have one event to come; those just begun catch up with the newest.
        behind = {
            job_id: max(channel.head, heads[job_id][1] - KEPT)
            for job_id, channel in channels.items()
            if job_id in heads and heads[job_id][1] > channel.head
        }
        told = await self._ask(lambda reader: reader.read_progress(behind, KEPT)) if behind else {}
        over = [job_id for job_id in channels if job_id not in heads or heads[job_id][0]]
        ended = await self._ask(lambda reader: reader.find(over)) if over else []
        jobs = {job.id: job for job in ended}
        news: list[Watching] = []
        for job_id, channel in channels.items():
            channel.newest.extend(_events(told.get(job_id, [])))
            if job_id in behind and channel.newest:
                channel.head = channel.newest[-1].id
            if job_id in over:
                channel.is_over = True
                if job_id in jobs:
                    channel.done = JobEvent(channel.head + 1, "done", jobs[job_id].to_dict())
            if job_id in behind or job_id in over:
                news += channel.watchers
        for first in range(0, len(news), TOLD_AT_ONCE):
            for watching in news[first : first + TOLD_AT_ONCE]:
                watching.news.set()
            await asyncio.sleep(PAUSE_SECONDS)


class Watching:
    """One watcher: its events as they come, the last is `done`."""

    def __init__(self, watchers: Watchers, job_id: str, channel: _Channel, after: int) -> None:
        self._watchers = watchers
        self._job_id = job_id
        self._channel = channel
        self._seen = after
        self._is_open = True
        # There may be something to tell already: others watch the job too.
        self.news = asyncio.Event()
        self.news.set()

    def close(self) -> None:
        """Makes room for another watcher. More than once does no harm."""
        if self._is_open:
            self._is_open = False
            self._watchers.leave(self._job_id, self._channel, self)

    async def batches(self) -> AsyncIterator[list[JobEvent]]:
        """The events, as many as there are at a time; after a job that was deleted meanwhile none."""
        channel = self._channel
        while True:
            await self.news.wait()
            self.news.clear()
            is_over = channel.is_over
            while self._seen < channel.head:
                events = await self._next()
                if not events:
                    break
                self._seen = events[-1].id
                yield events
            if is_over:
                if channel.done is not None:
                    # A watcher may say that it has seen more than there is.
                    late = replace(channel.done, id=self._seen + 1) if self._seen > channel.head else channel.done
                    yield [late]
                return

    async def events(self) -> AsyncIterator[JobEvent]:
        """The events, one by one."""
        async for batch in self.batches():
            for event in batch:
                yield event

    async def _next(self) -> list[JobEvent]:
        newest = self._channel.newest
        while not newest or newest[0].id > self._seen + 1:
            try:
                late = await self._watchers.read_late(self._job_id, self._seen)
            except DatabaseUnavailable:
                await asyncio.sleep(INTERVAL_SECONDS)
                continue
            if late:
                return late
            # Numbers have no gaps; should they, what is not there is not waited for.
            break
        return [event for event in newest if event.id > self._seen]


def _events(told: Told) -> list[JobEvent]:
    return [JobEvent(number, "progress", fields) for number, fields in told]
