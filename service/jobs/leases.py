"""Leases: how workers notice that another is gone, and take over its jobs.

A worker counts up a number in its row every few seconds. Whoever sees that a number stands still, and that by the
database's clock the lease has run out, puts the jobs of that worker back into the queue; their runs count as deaths.
No host's clock plays a part, and the database's alone decides nothing: after a jump every lease would seem to have
run out.
"""

import logging
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service.errors import DatabaseUnavailable
from service.jobs.database_tables import LOG, WORKERS, JobTables
from service.jobs.engine_names import APPLICATION, QUEUE

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
# Twice and more what a worker may miss for the sake of a busy machine or a database that restarts.
LEASE_SECONDS = 30.0
# For how long a number is watched before it counts as standing still: a living worker beats twice.
WATCH_SECONDS = 2.4 * BEAT_SECONDS


@dataclass(slots=True)
class _Sight:
    """What was seen of a worker, and since when, by this process's own running time."""

    # None of one without a row: it ended while it had a job, or is of a release without leases.
    run_and_beats: tuple[str, int] | None
    since: float


class Leases:
    """One worker's lease, and its view of the others'. Blocks; every method raises DatabaseUnavailable."""

    def __init__(self, engine: sa.Engine, executor: str, host: str) -> None:
        """Args: `executor` is the worker's name in the database, `host` what people call its machine."""
        self._engine = engine
        self._executor = executor
        self._host = host
        self._run = uuid.uuid4().hex
        self._sights: dict[str, _Sight] = {}
        self._looked: float | None = None

    def beat(self) -> None:
        """Tells that this worker lives."""
        now = now_ms(self._engine.dialect.name)
        mine = WORKERS.c.executor == self._executor
        values = {"heartbeat_ms": now, "beats": WORKERS.c.beats + 1, "run": self._run, "host": self._host}
        with self._engine.begin() as connection:
            if connection.execute(sa.update(WORKERS).where(mine).values(values)).rowcount:
                return
            connection.execute(
                sa.insert(WORKERS).values(
                    executor=self._executor,
                    host=self._host,
                    run=self._run,
                    beats=0,
                    started_ms=now,
                    heartbeat_ms=now,
                )
            )

    def end(self) -> None:
        """Takes this worker's row away: it has handed back what it had."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.delete(WORKERS).where(WORKERS.c.executor == self._executor, WORKERS.c.run == self._run)
            )

    def take_over(self) -> int:
        """Puts jobs of workers that are gone back into the queue. Returns how many. Call it at every beat."""
        now = time.monotonic()
        if self._looked is not None and now - self._looked > 2 * BEAT_SECONDS:
            # The database was away, or this process slept: so may the others have, and they need time to say so.
            self._sights.clear()
        ages = self._read()
        self._looked = now
        taken = 0
        for executor, (run_and_beats, age_seconds) in ages.items():
            sight = self._sights.get(executor)
            if sight is None or sight.run_and_beats != run_and_beats:
                self._sights[executor] = _Sight(run_and_beats, now)
                continue
            watched = now - sight.since
            # The former also where the database's clock was set back, which makes beats seem to come.
            is_gone = watched >= LEASE_SECONDS or (watched >= WATCH_SECONDS and age_seconds >= LEASE_SECONDS)
            if is_gone:
                taken += self._take_from(executor, run_and_beats)
                del self._sights[executor]
        for executor in self._sights.keys() - ages.keys():
            del self._sights[executor]
        return taken

    def _read(self) -> dict[str, tuple[tuple[str, int] | None, float]]:
        """Of every other worker that has a row or a job: its run and beats, and how old its last beat is."""
        status = JobTables(self._engine.dialect.name).status
        age = now_ms(self._engine.dialect.name) - WORKERS.c.heartbeat_ms
        with self._engine.begin() as connection:
            holders = connection.execute(
                sa.select(status.c.executor_id).where(*_is_running(status)).distinct()
            ).scalars()
            ages: dict[str, tuple[tuple[str, int] | None, float]] = {
                str(executor): (None, 0.0) for executor in holders if executor is not None
            }
            for executor, run, beats, age_ms in connection.execute(
                sa.select(WORKERS.c.executor, WORKERS.c.run, WORKERS.c.beats, age)
            ):
                ages[executor] = ((run, beats), age_ms / 1000)
        ages.pop(self._executor, None)
        return ages

    def _take_from(self, executor: str, run_and_beats: tuple[str, int] | None) -> int:
        with self._engine.begin() as connection:
            if run_and_beats is not None:
                run, beats = run_and_beats
                gone = sa.delete(WORKERS).where(
                    WORKERS.c.executor == executor, WORKERS.c.run == run, WORKERS.c.beats == beats
                )
                if not connection.execute(gone).rowcount:
                    # It lives, or another worker has been faster.
                    return 0
            has_row = sa.exists().where(WORKERS.c.executor == executor)
            taken = requeue(connection, [executor], ~has_row)
        if taken:
            logger.warning("worker %s is gone: %d of its jobs go back into the queue", executor, taken)
        return taken


def keep_lease(leases: Leases, stop: threading.Event) -> None:
    """Beats, and takes over from those that don't, until it is stopped."""
    while not stop.wait(BEAT_SECONDS):
        try:
            leases.beat()
            leases.take_over()
        except DatabaseUnavailable:
            # It has been logged.
            continue


def count_living(engine: sa.Engine) -> int:
    """How many workers have a lease that has not run out. Raises DatabaseUnavailable."""
    age = sa.func.abs(now_ms(engine.dialect.name) - WORKERS.c.heartbeat_ms)
    with engine.begin() as connection:
        living = sa.select(sa.func.count()).select_from(WORKERS).where(age < LEASE_SECONDS * 1000)
        return int(connection.execute(living).scalar() or 0)


def requeue(connection: sa.Connection, executors: Sequence[str], *conditions: sa.ColumnElement[bool]) -> int:
    """Puts the jobs of workers that died back into the queue, each run a death. Returns how many."""
    status = JobTables(connection.dialect.name).status
    taken = _put_back(connection, status, {}, status.c.executor_id.in_(executors), *conditions)
    for job_id, attempt in taken:
        connection.execute(
            sa.insert(LOG).values(
                job_id=job_id,
                attempt=attempt,
                at_ms=now_ms(connection.dialect.name),
                level="ERROR",
                text="died with its worker; the job goes back into the queue",
            )
        )
    return len(taken)


def hand_back(connection: sa.Connection, executor: str, job_ids: Sequence[str]) -> int:
    """Puts a worker's jobs back into the queue as if it had not taken them. Returns how many.

    Those that were cancelled meanwhile, or have another owner, are left alone.
    """
    status = JobTables(connection.dialect.name).status
    uncounted = {
        "recovery_attempts": sa.case((status.c.recovery_attempts > 0, status.c.recovery_attempts - 1), else_=0)
    }
    ours = (status.c.executor_id == executor, status.c.workflow_uuid.in_(job_ids))
    return len(_put_back(connection, status, uncounted, *ours))


def now_ms(dialect: str) -> sa.ColumnElement[int]:
    """Milliseconds by the clock of the database, at the statement and not at the transaction's begin."""
    if dialect == "sqlite":
        return sa.cast((sa.func.julianday("now") - 2440587.5) * 86_400_000, sa.BigInteger)
    return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()) * 1000, sa.BigInteger)


def _is_running(status: sa.TableClause) -> tuple[sa.ColumnElement[bool], ...]:
    return status.c.status == "PENDING", status.c.application_name == APPLICATION


def _put_back(
    connection: sa.Connection, status: sa.TableClause, values: dict[str, Any], *conditions: sa.ColumnElement[bool]
) -> list[tuple[str, int]]:
    """The jobs that were put back, and how many runs they have had.

    As the engine's own recovery does it; the token of the run that owned a job is worth nothing from then on.
    """
    statement = (
        sa.update(status)
        .where(*_is_running(status), *conditions)
        .values(
            status="ENQUEUED",
            owner_xid=None,
            started_at_epoch_ms=None,
            updated_at=now_ms(connection.dialect.name),
            queue_name=sa.func.coalesce(status.c.queue_name, QUEUE),
            **values,
        )
        .returning(status.c.workflow_uuid, status.c.recovery_attempts)
    )
    return [(job_id, attempts or 1) for job_id, attempts in connection.execute(statement)]
