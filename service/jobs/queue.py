"""The API's side of the jobs: submit, look up, list, cancel, watch."""

import asyncio
import hashlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from dbos import DBOSClient, EnqueueOptions, WorkflowStatus
from sqlalchemy.exc import SQLAlchemyError

from service.errors import IdempotencyKeyReused, InvalidRequest, JobEnded, JobNotFound, NotReady, QueueFull
from service.jobs.database import APPLICATION, APPLICATION_VERSION, PROGRESS, QUEUE, SERIALIZER, WORKFLOW, migrate
from service.jobs.job import Job, JobEvent, JobStatus
from service.jobs.records import STORED, has_begun, kind_of, order_of, to_job

logger = logging.getLogger(__name__)

WATCH_INTERVAL_SECONDS = 0.25
CHUNK = 200
# The engine takes the waiting job with the lowest priority number first, which must fit 31 bits: tenths of a second
# since 2026 do until 2032. Without it, jobs of one second would run in any order on SQLite.
EPOCH_NS = 1_767_225_600 * 10**9
PRIORITY_NS = 10**8
_CURSOR = re.compile(r"[0-9a-f]{1,16}")


class JobQueue:
    """Jobs in the job database; what runs them is a worker of its own. Nothing blocks the event loop."""

    def __init__(self, database_url: str, *, limit: int) -> None:
        """Args: `limit` is the most jobs that may wait."""
        self._database_url = database_url
        self._limit = limit
        self._client: DBOSClient | None = None
        self._last_order = 0
        # Counting the waiting jobs and adding one must not be torn apart by another request.
        self._submitting = asyncio.Lock()

    async def open(self) -> None:
        """Makes the tables where there are none and connects."""

        def connect() -> DBOSClient:
            migrate(self._database_url)
            return DBOSClient(
                system_database_url=self._database_url,
                serializer=SERIALIZER,
                application_name=APPLICATION,
                retry_connection_errors=False,
            )

        self._client = await asyncio.to_thread(connect)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.destroy)

    async def check(self) -> None:
        """Raises NotReady when the job database can't be reached."""
        try:
            await self._connected.check_connection_async()
        except (SQLAlchemyError, OSError) as error:
            logger.warning("the job database can't be reached", exc_info=error)
            raise NotReady("The job database can't be reached.") from error

    async def submit(self, request: dict[str, Any], task: dict[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Adds a job.

        Args:
            request: what the client asked for, to be shown with the job.
            task: what the worker needs: `kind` and `model` as in Job, and what else its kind takes.
            idempotency_key: with the same key and request the job that is there already is returned.

        Raises:
            QueueFull, IdempotencyKeyReused.
        """
        return (await self.submit_all([(request, task)], idempotency_key=idempotency_key))[0]

    async def submit_all(
        self, jobs: Sequence[tuple[dict[str, Any], dict[str, Any]]], *, idempotency_key: str | None = None
    ) -> list[Job]:
        """Adds several jobs, or none where the queue has no room for all. Otherwise as `submit`."""
        ids = [_job_id(idempotency_key, index) for index in range(len(jobs))]
        digests = [_digest(request) for request, _ in jobs]
        async with self._submitting:
            if idempotency_key is not None:
                known = await self._find(ids)
                if known:
                    return await self._same_jobs(known, ids, digests, jobs)
            waiting = await self.count("queued")
            if waiting + len(jobs) > self._limit:
                raise QueueFull(
                    f"{waiting} jobs are waiting, the limit is {self._limit}. Wait for some to end, or cancel some.",
                    retry_after_seconds=10,
                )
            for job_id, digest, (request, task) in zip(ids, digests, jobs, strict=True):
                await self._enqueue(job_id, digest, request, task)
        found = {status.workflow_id: status for status in await self._find(ids)}
        return [await self._to_job(found[job_id]) for job_id in ids]

    async def get(self, job_id: str) -> Job:
        """One job. Raises JobNotFound."""
        return await self._to_job(await self._status(job_id))

    async def page(
        self, *, status: JobStatus | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Job], str | None]:
        """Jobs, newest first, and the cursor of the next page. Results of backtests, which are long, are left out.

        Jobs that are submitted while somebody turns the pages don't shift them.

        Raises:
            InvalidRequest: the cursor is not one of ours.
        """
        before = None if cursor is None else _read_cursor(cursor)
        statuses = await self._newest(limit + 1, before, None if status is None else STORED[status])
        jobs = [await self._to_job(found) for found in await self._load_outputs(statuses[:limit])]
        return jobs, _make_cursor(order_of(statuses[limit - 1])) if len(statuses) > limit else None

    async def cancel(self, job_id: str) -> Job:
        """Ends a queued job at once and a running one at its next batch. Raises JobNotFound, JobEnded."""
        job = await self.get(job_id)
        if job.is_ended:
            raise JobEnded(f"Job {job_id!r} has ended already: {job.status}.")
        await self._connected.cancel_workflow_async(job_id)
        return await self.get(job_id)

    async def find_active(self, model: str) -> Job | None:
        """The oldest waiting or running training job that will publish this model."""
        # The engine filters by attributes on PostgreSQL only; the queue's limit bounds what is read here.
        active = await self._list(status=[*STORED["queued"], *STORED["running"]])
        of_model = [status for status in active if _trains(status, model)]
        return await self._to_job(min(of_model, key=order_of)) if of_model else None

    async def find_reader(self, dataset_id: str) -> Job | None:
        """A waiting or running job that reads this data set."""
        for status in await self._list(status=[*STORED["queued"], *STORED["running"]]):
            request = (status.attributes or {}).get("request", {})
            data = request.get("data")
            if dataset_id in (request.get("dataset"), data.get("id") if isinstance(data, dict) else None):
                return await self._to_job(status)
        return None

    async def count(self, status: JobStatus) -> int:
        """How many jobs have this status."""
        return len(await self._list(status=STORED[status]))

    async def watch(self, job_id: str, *, after: int = 0) -> AsyncIterator[JobEvent]:
        """Tells a job's events from the one after `after` on, as they come; the last is `done`.

        Raises:
            JobNotFound.
        """
        await self._status(job_id)
        number = after
        stream = self._connected.read_stream_async(
            job_id, PROGRESS, offset=after, polling_interval_sec=WATCH_INTERVAL_SECONDS
        )
        async for value in stream:
            number += 1
            yield JobEvent(number, "progress", value)
        yield JobEvent(number + 1, "done", (await self.get(job_id)).to_dict())

    @property
    def _connected(self) -> DBOSClient:
        if self._client is None:
            raise NotReady("The job queue is not open.")
        return self._client

    async def _list(self, *, load_output: bool = False, **filters: Any) -> list[WorkflowStatus]:
        """Statuses without their inputs, which may hold long series."""
        return await self._connected.list_workflows_async(
            name=WORKFLOW, load_input=False, load_output=load_output, **filters
        )

    async def _newest(self, count: int, before: int | None, stored: list[str] | None) -> list[WorkflowStatus]:
        """The newest `count` jobs whose order is under `before`.

        The engine may know submission times by the second only, so jobs are read until the second after the last one
        that counts has been passed, and sorted by their own order.
        """
        until = None if before is None else datetime.fromtimestamp(before / 1e9 + 1, UTC).isoformat()
        found: list[WorkflowStatus] = []
        offset = 0
        while True:
            chunk = await self._list(status=stored, end_time=until, sort_desc=True, limit=CHUNK, offset=offset)
            found += [status for status in chunk if before is None or order_of(status) < before]
            reached = (chunk[-1].created_at or 0) if len(chunk) == CHUNK else 0
            if reached == 0 or sum((status.created_at or 0) > reached for status in found) >= count:
                return sorted(found, key=order_of, reverse=True)[:count]
            offset += CHUNK

    async def _load_outputs(self, statuses: list[WorkflowStatus]) -> list[WorkflowStatus]:
        """The same with results and errors, but for the results of backtests."""
        short = [s.workflow_id for s in statuses if s.status != "SUCCESS" or kind_of(s) != "backtest"]
        found = {status.workflow_id: status for status in await self._find(short)} if short else {}
        return [found.get(status.workflow_id, status) for status in statuses]

    async def _find(self, ids: list[str]) -> list[WorkflowStatus]:
        return await self._list(workflow_ids=ids, load_output=True)

    async def _status(self, job_id: str) -> WorkflowStatus:
        found = await self._find([job_id])
        if not found:
            raise JobNotFound(f"There is no job {job_id!r}. It may have expired; GET /jobs lists what is there.")
        return found[0]

    async def _same_jobs(
        self,
        known: list[WorkflowStatus],
        ids: list[str],
        digests: list[str],
        jobs: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    ) -> list[Job]:
        """The jobs of an idempotency key that was used before; a submission that broke off half way is completed."""
        by_id = {status.workflow_id: status for status in known}
        for job_id, digest in zip(ids, digests, strict=True):
            status = by_id.get(job_id)
            if status is not None and (status.attributes or {}).get("digest") != digest:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was used with another request. Use a new key for a new request."
                )
        for job_id, digest, (request, task) in zip(ids, digests, jobs, strict=True):
            if job_id not in by_id:
                await self._enqueue(job_id, digest, request, task)
        found = {status.workflow_id: status for status in await self._find(ids)}
        return [await self._to_job(found[job_id]) for job_id in ids]

    async def _enqueue(self, job_id: str, digest: str, request: dict[str, Any], task: dict[str, Any]) -> None:
        # Later jobs come later, also within one tick of the priority or of the clock.
        self._last_order = order = max(time.time_ns(), self._last_order + PRIORITY_NS)
        options: EnqueueOptions = {
            "queue_name": QUEUE,
            "workflow_name": WORKFLOW,
            "workflow_id": job_id,
            "app_version": APPLICATION_VERSION,
            # What lists and look-ups show stands here, so that they need not read the inputs.
            "attributes": {
                "kind": task["kind"],
                "model": task["model"],
                "request": request,
                "digest": digest,
                "order": order,
            },
            "priority": (order - EPOCH_NS) // PRIORITY_NS,
        }
        await self._connected.enqueue_async(options, task)

    async def _to_job(self, status: WorkflowStatus) -> Job:
        last = None
        if has_begun(status):
            last = await self._connected.get_event_async(status.workflow_id, PROGRESS, timeout_seconds=0)
        return to_job(status, last)


def _job_id(idempotency_key: str | None, index: int) -> str:
    """A fresh id, or the one that a key always leads to."""
    if idempotency_key is None:
        return uuid.uuid4().hex
    return hashlib.sha256(orjson.dumps([idempotency_key, index])).hexdigest()[:32]


def _digest(request: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _trains(status: WorkflowStatus, model: str) -> bool:
    return kind_of(status) == "train" and (status.attributes or {}).get("model") == model


def _make_cursor(order: int) -> str:
    return f"{order:x}"


def _read_cursor(cursor: str) -> int:
    if _CURSOR.fullmatch(cursor):
        return int(cursor, 16)
    raise InvalidRequest.at("/cursor", "bad_cursor", "The cursor is not one that a list gave: leave it out to begin.")
