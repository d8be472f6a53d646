"""The API's side of the job engine: submit, get, list, cancel and watch jobs."""

import asyncio
import hashlib
import logging
import re
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson

from service.errors import DatabaseUnavailable, InvalidRequest, JobEnded, JobNotFound
from service.jobs.connection import find_file
from service.jobs.database_client import JobDatabase, Keep, Submission
from service.jobs.database_tables import MOST_INTEGER
from service.jobs.database_threads import ANSWER_SECONDS, THREADS, DatabaseThreads
from service.jobs.expiry import remove_ended
from service.jobs.job import Job, JobEvent, JobFilter, JobKind, JobStatus
from service.jobs.job_history import to_history
from service.jobs.job_log import read_log
from service.jobs.leases import count_living
from service.jobs.watchers import Watchers, Watching

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

MAX_WATCHERS = 1000
EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_CURSOR = re.compile(r"[0-9a-f]{1,16}")


class JobQueue:
    """Jobs in the job database; what runs them is a worker of its own. Nothing blocks the event loop.

    Every method raises DatabaseUnavailable if the database fails.
    """

    def __init__(self, database_url: str, *, limit: int, max_watchers: int = MAX_WATCHERS) -> None:
        """Args: `limit` is the most jobs that may wait, `max_watchers` the most streams of events at a time."""
        self._limit = limit
        self._threads = DatabaseThreads(database_url)
        self._watchers = Watchers(self._threads.ask_for_watchers, limit=max_watchers)
        self._finding: dict[str, asyncio.Task[Job]] = {}
        # Counting the waiting jobs and adding one must not be torn apart by another request. A server has other
        # processes' submissions between them anyway: there the limit may be passed by as many as come at once.
        self._submitting = asyncio.Semaphore(THREADS if find_file(database_url) is None else 1)

    async def open(self) -> None:
        """Creates missing tables and connects; retries later if the database can't be reached."""
        try:
            await self.ask(lambda database: None)
        except DatabaseUnavailable as error:
            logger.error("%s What needs jobs answers 503 until then.", error.message)

    async def close(self) -> None:
        await self._watchers.close()
        await self._threads.close()

    async def check(self) -> None:
        """Raises DatabaseUnavailable when the job database can't be read or written."""
        await self.ask(lambda database: database.probe())

    async def submit(
        self,
        request: dict[str, Any],
        task: dict[str, Any],
        *,
        idempotency_key: str | None = None,
        keep: Keep | None = None,
    ) -> Job:
        """Adds a job.

        Args:
            request: the client's request, to be shown with the job.
            task: what the worker needs: `kind` and `model` as in Job, and what else its kind takes.
            idempotency_key: the same key and request return the existing job.
            keep: puts on disk what the job reads, once there is room for it; undone where it is not accepted then.

        Raises:
            QueueFull, IdempotencyKeyReused.
        """
        return (await self.submit_all([(request, task)], idempotency_key=idempotency_key, keep=keep))[0]

    async def submit_all(
        self, jobs: Sequence[Submission], *, idempotency_key: str | None = None, keep: Keep | None = None
    ) -> list[Job]:
        """Adds several jobs, or none where the queue has no room for all. Otherwise as `submit`."""
        ids = self.make_ids(idempotency_key, len(jobs))
        async with self._submitting:
            return await self.ask(
                lambda database: database.submit(
                    jobs, ids, limit=self._limit, may_be_known=idempotency_key is not None, keep=keep
                )
            )

    def make_ids(self, idempotency_key: str | None, count: int) -> tuple[str, ...]:
        """The ids of jobs that are submitted together: fresh ones, or those that a key always leads to."""
        return tuple(_job_id(idempotency_key, index) for index in range(count))

    async def get(self, job_id: str) -> Job:
        """One job. Raises JobNotFound."""
        return _only(await self.ask(lambda database: database.reader.find([job_id])), job_id)

    async def page(
        self,
        *,
        status: JobStatus | None = None,
        model: str | None = None,
        kind: JobKind | None = None,
        submitted_after: datetime | None = None,
        submitted_before: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[Job], str | None]:
        """Jobs, newest first, and the cursor of the next page. Results of backtests, which are long, are left out.

        Jobs that are submitted while somebody turns the pages don't shift them.

        Args:
            submitted_after, submitted_before: moments with a time zone; the first one belongs to the range, the
                second does not.

        Raises:
            InvalidRequest: the cursor is not one of ours.
        """
        chosen = JobFilter(status, model, kind, _milliseconds(submitted_after), _milliseconds(submitted_before))
        before = None if cursor is None else _read_cursor(cursor)
        jobs, last = await self.ask(lambda database: database.reader.page(limit, before, chosen))
        return jobs, None if last is None else f"{last:x}"

    async def cancel(self, job_id: str) -> Job:
        """Ends a queued job at once and a running one at its next batch. Raises JobNotFound, JobEnded."""
        job = await self.get(job_id)
        if job.is_ended:
            raise JobEnded(f"Job {job_id!r} has ended already: {job.status}.")
        await self.ask(lambda database: database.client.cancel_workflow(job_id))
        return await self.get(job_id)

    async def retry(
        self, job_id: str, *, idempotency_key: str | None = None, check: Callable[[dict[str, Any]], None]
    ) -> Job:
        """Submits the request of a job that has ended once more, as a new job.

        Args:
            check: given the task, raises what keeps it from being done again, such as a data set that is gone.

        Raises:
            JobNotFound, JobNotEnded, QueueFull, IdempotencyKeyReused.
        """
        async with self._submitting:
            return await self.ask(
                lambda database: database.retry(
                    job_id,
                    _job_id(idempotency_key, 0),
                    limit=self._limit,
                    may_be_known=idempotency_key is not None,
                    check=check,
                )
            )

    async def read_log(self, job_id: str) -> list[str]:
        """What workers logged about a job, a line for each event. Raises JobNotFound."""
        await self.get(job_id)
        return await self.ask(lambda database: read_log(database.engine, job_id))

    async def read_history(
        self, job_id: str, *, limit: int = 1000, cursor: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """The epochs of a job as they were reported, and the cursor of the next page.

        Raises:
            JobNotFound, InvalidRequest.
        """
        after = 0 if cursor is None else _read_cursor(cursor)
        await self.get(job_id)
        told = (await self.ask(lambda database: database.reader.read_progress({job_id: after}, limit)))[job_id]
        # Of a page that is full there may be more, though not every report is an epoch's.
        return to_history(told), f"{told[-1][0]:x}" if len(told) == limit else None

    async def find_active(self, model: str) -> Job | None:
        """The oldest waiting or running training job that will publish this model."""
        return await self.ask(lambda database: database.reader.find_training(model))

    async def find_reader(self, dataset_id: str) -> Job | None:
        """A waiting or running job that reads this data set."""
        return await self.ask(lambda database: database.reader.find_reader(dataset_id))

    async def find_oldest(self) -> Job | None:
        """The oldest waiting or running job."""
        return await self.ask(lambda database: database.reader.find_oldest())

    async def count(self, status: JobStatus) -> int:
        """How many jobs have this status."""
        return (await self.count_all())[status]

    async def count_all(self) -> dict[str, int]:
        """How many jobs have each status."""
        return await self.ask(lambda database: database.reader.count())

    async def count_workers(self) -> int:
        """How many workers hold a lease."""
        return await self.ask(lambda database: count_living(database.engine))

    async def expire(self, older_than_seconds: float) -> int:
        """Removes jobs that ended so long ago. Returns how many."""
        return await self.ask(
            lambda database: remove_ended(database.engine, database.client, older_than_seconds), patience_seconds=None
        )

    async def subscribe(self, job_id: str, *, after: int = 0) -> Watching:
        """Subscribes to a job's events after `after`. The caller closes the subscription.

        Raises:
            JobNotFound, TooManyWatchers.
        """
        # Many come at once, for the same job: it is looked for once.
        finding = self._finding.get(job_id)
        if finding is None:
            finding = self._finding[job_id] = asyncio.create_task(self.get(job_id))
            finding.add_done_callback(lambda found: self._forget(job_id, found))
        await asyncio.shield(finding)
        return self._watchers.watch(job_id, after)

    def _forget(self, job_id: str, finding: "asyncio.Task[Job]") -> None:
        del self._finding[job_id]
        if not finding.cancelled():
            # Those who asked may have gone: then nobody else looks at it.
            finding.exception()

    async def watch(self, job_id: str, *, after: int = 0) -> AsyncIterator[JobEvent]:
        """Yields a job's events after `after` as they come; the last is `done`.

        Raises:
            JobNotFound, TooManyWatchers.
        """
        watching = await self.subscribe(job_id, after=after)
        try:
            async for event in watching.events():
                yield event
        finally:
            watching.close()

    async def ask(
        self, call: Callable[[JobDatabase], Answer], patience_seconds: float | None = ANSWER_SECONDS
    ) -> Answer:
        """What a blocking call says of the job database: see `DatabaseThreads.ask`."""
        return await self._threads.ask(call, patience_seconds)


def _only(jobs: list[Job], job_id: str) -> Job:
    if not jobs:
        raise JobNotFound(f"There is no job {job_id[:100]!r}. It may have expired; GET /jobs lists all jobs.")
    return jobs[0]


def _job_id(idempotency_key: str | None, index: int) -> str:
    """A fresh id, or the one that a key always leads to."""
    if idempotency_key is None:
        return uuid.uuid4().hex
    return hashlib.sha256(orjson.dumps([idempotency_key, index])).hexdigest()[:32]


def _milliseconds(moment: datetime | None) -> int | None:
    # Upwards: jobs have whole ones.
    return None if moment is None else -((EPOCH - moment) // MILLISECOND)


def _read_cursor(cursor: str) -> int:
    if _CURSOR.fullmatch(cursor) and int(cursor, 16) <= MOST_INTEGER:
        return int(cursor, 16)
    raise InvalidRequest.at(
        "/cursor",
        "bad_cursor",
        "The cursor is invalid: use the `next_cursor` of a list, or leave it out to start from the beginning.",
    )
