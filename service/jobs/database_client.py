"""The API's connection to the job database: made on first use, and checked for the file being replaced."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from dbos import DBOSClient, EnqueueOptions
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from service.errors import (
    DatabaseUnavailable,
    IdempotencyKeyReused,
    JobNotEnded,
    JobNotFound,
    NotReady,
    QueueFull,
)
from service.jobs import database_errors
from service.jobs.connection import connect, find_file, probe, reach
from service.jobs.database import SERIALIZER, migrate
from service.jobs.database_tables import add_number
from service.jobs.engine_names import APPLICATION, APPLICATION_VERSION, QUEUE, WORKFLOW
from service.jobs.job import Job
from service.jobs.job_reader import JobReader, count_waiting
from service.jobs.priority import DEFAULT, rank

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
# A submission takes a few pages, and the log of writes before them.
LEAST_FREE_BYTES = 2**17
# A job's request as it is shown, and its task.
Submission = tuple[dict[str, Any], dict[str, Any]]
# Puts on disk what jobs read, and returns what takes it away again.
Keep = Callable[[], Callable[[], None]]


class JobDatabase:
    """The job database, connected on first use. Blocks; thread-safe."""

    engine: sa.Engine
    client: DBOSClient
    reader: JobReader

    def __init__(self, url: str) -> None:
        self._url = url
        self._file = find_file(url)
        self._identity: tuple[int, int] | None = None
        self._connecting = threading.Lock()
        self._state = "new"

    def ask(self, call: Callable[["JobDatabase"], Answer]) -> Answer:
        """What a call says. Raises DatabaseUnavailable for whatever the database can't do."""
        try:
            with self._connecting:
                if self._state == "new":
                    self._connect()
            if self._state == "closed":
                raise NotReady("The job queue is not open.")
            # SQLite goes on in a file that nobody else sees any more.
            if self._file is not None and _identify(self._file) != self._identity:
                raise DatabaseUnavailable(database_errors.GONE)
            return call(self)
        except (SQLAlchemyError, OSError) as error:
            raise database_errors.explain(error) from error

    def probe(self) -> None:
        """Raises DatabaseUnavailable when the database can't be read or written."""
        if self._file is not None:
            disk = os.statvfs(self._file.parent)
            if disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES:
                raise DatabaseUnavailable(database_errors.FULL)
        with self.engine.connect() as connection:
            probe(connection)

    def close(self) -> None:
        with self._connecting:
            if self._state == "open":
                self.client.destroy()
                self.engine.dispose()
            self._state = "closed"

    def submit(
        self,
        jobs: Sequence[Submission],
        ids: Sequence[str],
        *,
        limit: int,
        may_be_known: bool,
        keep: Keep | None,
        retry_of: str | None = None,
    ) -> list[Job]:
        """As of JobQueue.submit_all; `retry_of` is the id of the job that is done again."""
        try:
            return self._submit(jobs, ids, limit, may_be_known, keep, retry_of)
        except IntegrityError:
            # Another process was faster with the same key; now its jobs can be seen.
            return self._submit(jobs, ids, limit, may_be_known, keep, retry_of)

    def retry(
        self, job_id: str, new_id: str, *, limit: int, may_be_known: bool, check: Callable[[dict[str, Any]], None]
    ) -> Job:
        """As of JobQueue.retry."""
        job = next(iter(self.reader.find([job_id])), None)
        task = None if job is None else self.reader.read_task(job_id)
        if job is None or task is None:
            raise JobNotFound(f"There is no job {job_id[:100]!r} that could be submitted again. It may have expired.")
        if not job.is_ended:
            raise JobNotEnded(f"Job {job_id!r} has not ended: it is {job.status}. Cancel it first, or wait.")

        def keep() -> Callable[[], None]:
            check(task)
            return _nothing

        [again] = self.submit(
            [(job.request, task)],
            [new_id],
            limit=limit,
            may_be_known=may_be_known,
            keep=keep,
            retry_of=job_id,
        )
        return again

    def _submit(
        self,
        jobs: Sequence[Submission],
        ids: Sequence[str],
        limit: int,
        may_be_known: bool,
        keep: Keep | None,
        retry_of: str | None,
    ) -> list[Job]:
        digests = [_digest(request) for request, _ in jobs]
        missing = self._find_missing(ids, digests) if may_be_known else list(range(len(jobs)))
        if missing:
            # Nothing is put on disk for a job that there is no room for.
            undo = self._keep(len(missing), limit, keep)
            try:
                with self.engine.begin() as connection:
                    submitted_ms = time.time_ns() // 1_000_000
                    tasks = [jobs[index][1] for index in missing]
                    numbers = [
                        add_number(connection, ids[index], task["model"], task["kind"], submitted_ms)
                        for index, task in zip(missing, tasks, strict=True)
                    ]
                    # Now this process alone may write, on SQLite.
                    _check_room(connection, len(missing), limit)
                    for index, number in zip(missing, numbers, strict=True):
                        facts = {"digest": digests[index], "submitted_ms": submitted_ms}
                        if retry_of is not None:
                            facts["retry_of"] = retry_of
                        self._enqueue(connection, ids[index], jobs[index], number, facts)
            except IntegrityError:
                # The request that was faster has the same key, and may have kept the same series.
                raise
            except BaseException:
                undo()
                raise
        return self.reader.find(ids)

    def _find_missing(self, ids: Sequence[str], digests: Sequence[str]) -> list[int]:
        """The places of ids that no job has yet. Raises IdempotencyKeyReused where one has another request's."""
        known = [self.reader.find_digest(job_id) for job_id in ids]
        if any(stored not in (None, digest) for stored, digest in zip(known, digests, strict=True)):
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used with another request. Use a new key for a new request."
            )
        return [index for index, stored in enumerate(known) if stored is None]

    def _keep(self, count: int, limit: int, keep: Keep | None) -> Callable[[], None]:
        """Puts on disk what jobs read, if there is room for so many. Returns what undoes it."""
        if keep is None:
            return _nothing
        with self.engine.begin() as connection:
            _check_room(connection, count, limit)
        return keep()

    def _enqueue(
        self, connection: sa.Connection, job_id: str, job: Submission, number: int, facts: dict[str, Any]
    ) -> None:
        request, task = job
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
                **facts,
            },
            "priority": rank(request.get("priority") or DEFAULT, number),
        }
        self.client.enqueue_in_transaction(connection, options, task)

    def _connect(self) -> None:
        engine = connect(self._url)
        try:
            if self._file is None or self._file.exists():
                # The engine's migrations would wait much longer for what can't be reached.
                reach(engine)
            migrate(self._url)
            client = DBOSClient(
                system_database_engine=engine,
                serializer=SERIALIZER,
                application_name=APPLICATION,
                retry_connection_errors=False,
            )
        except Exception as error:  # whatever it is, it is asked again with the next request
            engine.dispose()
            raise error if isinstance(error, DatabaseUnavailable) else database_errors.explain(error) from error
        self.engine, self.client, self.reader = engine, client, JobReader(engine)
        self._identity = None if self._file is None else _identify(self._file)
        self._state = "open"


def _check_room(connection: sa.Connection, count: int, limit: int) -> None:
    waiting = count_waiting(connection)
    if waiting + count > limit:
        raise QueueFull(
            f"{waiting} jobs are waiting, and the limit is {limit}. Wait until some end, or cancel some.",
            retry_after_seconds=10,
        )


def _identify(file: Path) -> tuple[int, int] | None:
    """Identifies a file, to notice another one of the same name; None if there is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _digest(request: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _nothing() -> None:
    return None
