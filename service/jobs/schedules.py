"""Schedules in the job database: kept, listed, and taken in turn by one process at a time when they are due."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa

from service.domain.moments import write_milliseconds
from service.errors import IdempotencyKeyReused, ScheduleNotFound, TooManySchedules
from service.jobs.cron import Cron
from service.jobs.leases import now_ms
from service.jobs.queue import JobQueue
from service.jobs.schedule import Schedule, ScheduledRun
from service.jobs.schedule_table import SCHEDULES

Answer = TypeVar("Answer")

MOST_SCHEDULES = 1000
RUNS_KEPT = 20
# What a process may take to submit a schedule's jobs; then another one does, under the same keys.
CLAIM_MS = 300_000
PAUSE_MS = 30_000
# A time so much later than the next by the expression was set by a clock that has been put right since.
CLOCK_SLACK = timedelta(hours=3)


class Schedules:
    """The schedules of a job database. Every method raises DatabaseUnavailable if the database fails."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    async def add(
        self,
        cron: str,
        timezone: str,
        train: dict[str, Any],
        source: dict[str, Any] | None = None,
        *,
        paused: bool = False,
        idempotency_key: str | None = None,
    ) -> Schedule:
        """Keeps a schedule.

        Raises:
            InvalidRequest: the expression or the time zone.
            IdempotencyKeyReused, TooManySchedules.
        """
        due = Cron(cron, timezone)
        asked = {"cron": cron, "timezone": timezone, "train": train, "source": source, "paused": paused}
        digest = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
        schedule_id = uuid.uuid4().hex
        if idempotency_key is not None:
            schedule_id = hashlib.sha256(f"schedule {idempotency_key}".encode()).hexdigest()[:32]

        def insert(connection: sa.Connection) -> Schedule:
            now = _read_clock(connection)
            known = connection.execute(sa.select(SCHEDULES).where(SCHEDULES.c.id == schedule_id)).one_or_none()
            if known is not None:
                if known.digest != digest:
                    raise IdempotencyKeyReused(
                        "This Idempotency-Key was used with another schedule. Use a new key for a new one."
                    )
                return _to_schedule(known)
            count = connection.execute(sa.select(sa.func.count()).select_from(SCHEDULES)).scalar_one()
            if count >= MOST_SCHEDULES:
                raise TooManySchedules(
                    f"There are {count} schedules, and the limit is {MOST_SCHEDULES}. Delete some that are not needed."
                )
            row = {
                "id": schedule_id,
                "digest": digest,
                "cron": cron,
                "timezone": timezone,
                "train": orjson.dumps(train).decode(),
                "source": None if source is None else orjson.dumps(source).decode(),
                "paused": paused,
                "created_ms": now,
                "next_ms": None if paused else _to_ms(due.after(_to_datetime(now))),
                "runs": "[]",
            }
            connection.execute(sa.insert(SCHEDULES).values(**row))
            return _find(connection, schedule_id)

        return await self._write(insert)

    async def get(self, schedule_id: str) -> Schedule:
        """One schedule. Raises ScheduleNotFound."""
        return await self._write(lambda connection: _find(connection, schedule_id))

    async def all(self) -> list[Schedule]:
        """All schedules, the newest first."""
        query = sa.select(SCHEDULES).order_by(SCHEDULES.c.number.desc())
        return await self._write(lambda connection: [_to_schedule(row) for row in connection.execute(query)])

    async def change(
        self,
        schedule_id: str,
        *,
        cron: str | None = None,
        timezone: str | None = None,
        train: dict[str, Any] | None = None,
        paused: bool | None = None,
    ) -> Schedule:
        """Changes what is given and leaves the rest. Raises ScheduleNotFound, InvalidRequest."""

        def update(connection: sa.Connection) -> Schedule:
            old = _find(connection, schedule_id)
            new = replace(
                old,
                cron=old.cron if cron is None else cron,
                timezone=old.timezone if timezone is None else timezone,
                train=old.train if train is None else train,
                paused=old.paused if paused is None else paused,
            )
            due = Cron(new.cron, new.timezone).after(_to_datetime(_read_clock(connection)))
            values = {
                "cron": new.cron,
                "timezone": new.timezone,
                "train": orjson.dumps(new.train).decode(),
                "paused": new.paused,
                "next_ms": None if new.paused else _to_ms(due),
            }
            connection.execute(sa.update(SCHEDULES).where(SCHEDULES.c.id == schedule_id).values(**values))
            return _find(connection, schedule_id)

        return await self._write(update)

    async def delete(self, schedule_id: str) -> None:
        """Removes a schedule; jobs that it has submitted go on. Raises ScheduleNotFound."""

        def remove(connection: sa.Connection) -> None:
            _find(connection, schedule_id)
            connection.execute(sa.delete(SCHEDULES).where(SCHEDULES.c.id == schedule_id))

        await self._write(remove)

    async def find_reader(self, dataset_id: str) -> Schedule | None:
        """A schedule that trains on this data set."""
        return next((schedule for schedule in await self.all() if dataset_id in schedule.datasets), None)

    async def take_due(self) -> list[Schedule]:
        """Takes the schedules that are due, for this process alone; `finish` each of them.

        What a process that has died had taken is due again after `CLAIM_MS`. Of several times that have passed
        unnoticed, the schedule is due once.
        """

        def take(connection: sa.Connection) -> list[Schedule]:
            now = _read_clock(connection)
            _mend_times(connection, now)
            table = SCHEDULES.c
            is_due = (table.next_ms <= now) & (sa.func.coalesce(table.claimed_until_ms, 0) <= now)
            taken = []
            for row in connection.execute(sa.select(SCHEDULES).where(is_due, ~table.paused)).all():
                claim = sa.update(SCHEDULES).where(table.id == row.id, table.next_ms == row.next_ms, is_due)
                # Another process, which may have read the same row, finds its time gone.
                if connection.execute(claim.values(claimed_until_ms=now + CLAIM_MS)).rowcount:
                    taken.append(_to_schedule(row))
            return taken

        return await self._write(take)

    async def finish(self, schedule: Schedule, run: ScheduledRun | None) -> None:
        """Ends a turn of `take_due`.

        Args:
            run: what became of it; None where it could not be tried, so that it is due again.
        """

        def end(connection: sa.Connection) -> None:
            row = connection.execute(sa.select(SCHEDULES).where(SCHEDULES.c.id == schedule.id)).one_or_none()
            if row is None:
                return
            # What could not be tried is not tried again at once.
            pause = None if run is not None else _read_clock(connection) + PAUSE_MS
            values: dict[str, Any] = {"claimed_until_ms": pause}
            current = _to_schedule(row)
            if run is not None:
                values["runs"] = _join_runs(run, current)
                # It may have been changed, or paused, meanwhile.
                if current.next_at == schedule.next_at and not current.paused:
                    now = _to_datetime(_read_clock(connection))
                    values["next_ms"] = _to_ms(Cron(current.cron, current.timezone).after(now))
            connection.execute(sa.update(SCHEDULES).where(SCHEDULES.c.id == schedule.id).values(**values))

        await self._write(end)

    async def record(self, schedule_id: str, run: ScheduledRun) -> None:
        """Notes a run that somebody asked for; when the schedule is due next is left as it is."""

        def note(connection: sa.Connection) -> None:
            values = {"runs": _join_runs(run, _find(connection, schedule_id))}
            connection.execute(sa.update(SCHEDULES).where(SCHEDULES.c.id == schedule_id).values(**values))

        await self._write(note)

    async def _write(self, call: Callable[[sa.Connection], Answer]) -> Answer:
        """What a call says in a transaction of its own; in SQLite it holds the writers' lock."""

        def transact(engine: sa.Engine) -> Answer:
            with engine.begin() as connection:
                return call(connection)

        return await self._queue.ask(lambda database: transact(database.engine))


def _read_clock(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(now_ms(connection.dialect.name))).scalar_one())


def _mend_times(connection: sa.Connection, now: int) -> None:
    """Moves times that a clock in the future left behind to where they belong."""
    moment = _to_datetime(now)
    query = sa.select(SCHEDULES).where(SCHEDULES.c.next_ms > now + CLOCK_SLACK // timedelta(milliseconds=1))
    for row in connection.execute(query).all():
        due = Cron(row.cron, row.timezone).after(moment)
        if row.next_ms > _to_ms(due + CLOCK_SLACK):
            connection.execute(sa.update(SCHEDULES).where(SCHEDULES.c.id == row.id).values(next_ms=_to_ms(due)))


def _join_runs(run: ScheduledRun, schedule: Schedule) -> str:
    runs = (run, *(known for known in schedule.runs if known.due_at != run.due_at))[:RUNS_KEPT]
    return orjson.dumps([asdict(known) for known in runs]).decode()


def _find(connection: sa.Connection, schedule_id: str) -> Schedule:
    row = None
    # PostgreSQL's texts hold any character but this one.
    if "\0" not in schedule_id:
        row = connection.execute(sa.select(SCHEDULES).where(SCHEDULES.c.id == schedule_id)).one_or_none()
    if row is None:
        raise ScheduleNotFound(f"There is no schedule {schedule_id[:100]!r}. GET /schedules lists all schedules.")
    return _to_schedule(row)


def _to_schedule(row: Any) -> Schedule:
    return Schedule(
        row.id,
        row.cron,
        row.timezone,
        orjson.loads(row.train),
        None if row.source is None else orjson.loads(row.source),
        bool(row.paused),
        write_milliseconds(row.created_ms),
        None if row.next_ms is None else write_milliseconds(row.next_ms),
        tuple(ScheduledRun(**{**run, "jobs": tuple(run["jobs"])}) for run in orjson.loads(row.runs)),
    )


def _to_datetime(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
