"""Reads jobs from the database: many at once, by the order in which they were submitted, and JSON alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from service.jobs.database_tables import MOST_INTEGER, NUMBERS, JobTables
from service.jobs.engine_names import PROGRESS, WORKFLOW
from service.jobs.job import Job, JobFilter
from service.jobs.job_records import ACTIVE, READABLE, SHOWN, STORED, JobRow, read_json, to_job

# Conditions of one statement: SQLite takes a thousand, each inside the one before.
CONDITIONS = 200


class JobReader:
    """Blocks; each call is a transaction of its own. Raises DatabaseUnavailable."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._tables = tables = JobTables(engine.dialect.name)
        status, output = tables.status, tables.output
        # As the engine writes it: what is inside a string of the request has its quotes escaped.
        is_backtest = sa.cast(status.c.attributes, sa.Text).like('%"kind": "backtest"%')
        self._is_long = is_backtest & (status.c.status == "SUCCESS")
        self._columns = (
            NUMBERS.c.number,
            status.c.workflow_uuid,
            status.c.status,
            sa.func.coalesce(status.c.recovery_attempts, 0),
            status.c.started_at_epoch_ms,
            sa.func.coalesce(status.c.completed_at, status.c.updated_at),
            status.c.serialization,
        )
        self._output = sa.func.coalesce(output.c.output, status.c.output)
        self._error = sa.func.coalesce(output.c.error, status.c.error)
        self._from = (
            sa.join(NUMBERS, status, NUMBERS.c.job_id == status.c.workflow_uuid)
            .outerjoin(output, output.c.workflow_uuid == status.c.workflow_uuid)
        )  # fmt: skip

    def find(self, ids: Sequence[str]) -> list[Job]:
        """The jobs that are there, in the order of their submission."""
        known = [job_id for job_id in ids if "\0" not in job_id]
        return self._jobs(self._select(self._output).where(NUMBERS.c.job_id.in_(known)).order_by(NUMBERS.c.number))

    def page(self, limit: int, before: int | None, chosen: JobFilter) -> tuple[list[Job], int | None]:
        """The newest such jobs whose number is less than `before`, and the number of the last where there are more.

        Results of backtests, which are long, are left out.
        """
        if chosen.model is not None and "\0" in chosen.model:
            # PostgreSQL's texts hold any character but this one.
            return [], None
        output = sa.case((self._is_long, sa.null()), else_=self._output)
        query = self._select(output).order_by(NUMBERS.c.number.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(NUMBERS.c.number < before)
        for column, wanted in ((NUMBERS.c.model, chosen.model), (NUMBERS.c.kind, chosen.kind)):
            if wanted is not None:
                query = query.where(column == wanted)
        if chosen.from_ms is not None:
            query = query.where(NUMBERS.c.submitted_ms >= chosen.from_ms)
        if chosen.to_ms is not None:
            query = query.where(NUMBERS.c.submitted_ms < chosen.to_ms)
        if chosen.status is not None:
            query = query.where(self._tables.status.c.status.in_(STORED[chosen.status]))
        if chosen.status in ("queued", "running"):
            # Few are: by the index of names and states. All others by their numbers, until there are enough.
            query = query.where(self._tables.status.c.name == WORKFLOW)
        rows = self._rows(query)
        return self._to_jobs(rows[:limit]), rows[limit - 1].number if len(rows) > limit else None

    def find_training(self, model: str) -> Job | None:
        """The oldest waiting or running job that will publish this model."""
        if "\0" in model:
            return None
        attributes = self._tables.status.c.attributes
        of_model = (attributes["model"].as_string() == model) & attributes["kind"].as_string().not_in(
            ["backtest", "forecast"]
        )
        return self._first_active(of_model)

    def find_reader(self, dataset_id: str) -> Job | None:
        """A waiting or running job that reads this data set."""
        request = self._tables.status.c.attributes
        paths = (("request", "dataset"), ("request", "data", "id"))
        return self._first_active(sa.or_(*(request[path].as_string() == dataset_id for path in paths)))

    def find_oldest(self) -> Job | None:
        """The oldest waiting or running job."""
        return self._first_active(sa.true())

    def find_digest(self, job_id: str) -> str | None:
        """The digest of a job's request; None if the job doesn't exist."""
        status = self._tables.status
        with self._engine.begin() as connection:
            attributes = connection.execute(
                sa.select(sa.cast(status.c.attributes, sa.Text)).where(status.c.workflow_uuid == job_id)
            ).scalar()
        return None if attributes is None else str((read_json(attributes) or {}).get("digest"))

    def read_task(self, job_id: str) -> dict[str, Any] | None:
        """What a job's worker was given; None where that was not written by this service."""
        status, given = self._tables.status, self._tables.input
        with self._engine.begin() as connection:
            row = connection.execute(
                sa.select(given.c.inputs, status.c.serialization)
                .join_from(given, status, given.c.workflow_uuid == status.c.workflow_uuid)
                .where(given.c.workflow_uuid == job_id)
            ).first()
        arguments = None if row is None or row.serialization not in READABLE else read_json(row.inputs)
        positional = (arguments or {}).get("positionalArgs")
        return positional[0] if isinstance(positional, list) and len(positional) == 1 else None

    def count(self) -> dict[str, int]:
        """How many jobs have each status."""
        status = self._tables.status
        counts: dict[str, int] = dict.fromkeys(STORED, 0)
        with self._engine.begin() as connection:
            rows = connection.execute(
                sa.select(status.c.status, sa.func.count()).where(status.c.name == WORKFLOW).group_by(status.c.status)
            )
            for stored, count in rows:
                if stored in SHOWN:
                    counts[SHOWN[stored]] += count
        return counts

    def find_heads(self, ids: Sequence[str]) -> dict[str, tuple[bool, int]]:
        """For each job that exists, whether it has ended and how many progress events it has written."""
        status, streams = self._tables.status, self._tables.streams
        heads: dict[str, tuple[bool, int]] = {}
        with self._engine.begin() as connection:
            # First whether it has ended: what it told before that has then been counted.
            statuses = connection.execute(
                sa.select(status.c.workflow_uuid, status.c.status).where(status.c.workflow_uuid.in_(ids))
            ).all()
            counts: dict[str, int] = {
                job_id: last + 1
                for job_id, last in connection.execute(
                    sa.select(streams.c.workflow_uuid, sa.func.max(streams.c.offset))
                    .where(streams.c.workflow_uuid.in_(ids), streams.c.key == PROGRESS)
                    .group_by(streams.c.workflow_uuid)
                )
            }
        for job_id, stored in statuses:
            heads[job_id] = (stored not in ACTIVE, counts.get(job_id, 0))
        return heads

    def read_progress(self, after: Mapping[str, int], limit: int) -> dict[str, list[tuple[int, dict[str, Any]]]]:
        """Progress events of jobs, as (number from 1, fields), from the one after `after` on: up to `limit` of each."""
        streams = self._tables.streams
        told: dict[str, list[tuple[int, dict[str, Any]]]] = {job_id: [] for job_id in after}
        # Behind more than a column holds there is nothing, whatever a client says that it saw.
        wanted = [(job_id, min(seen, MOST_INTEGER - limit)) for job_id, seen in after.items()]
        with self._engine.begin() as connection:
            for first in range(0, len(wanted), CONDITIONS):
                conditions = [
                    (streams.c.workflow_uuid == job_id)
                    & (streams.c.key == PROGRESS)
                    & (streams.c.offset >= seen)
                    & (streams.c.offset < seen + limit)
                    for job_id, seen in wanted[first : first + CONDITIONS]
                ]
                rows = connection.execute(
                    sa.select(streams.c.workflow_uuid, streams.c.offset, streams.c.value, streams.c.serialization)
                    .where(sa.or_(*conditions))
                    .order_by(streams.c.workflow_uuid, streams.c.offset)
                )
                for job_id, offset, value, serialization in rows:
                    fields = read_json(value) if serialization in READABLE else None
                    # What others wrote has a number too, but nothing to say.
                    told[job_id].append((offset + 1, fields or {}))
        return told

    def _first_active(self, condition: sa.ColumnElement[bool]) -> Job | None:
        active = self._tables.status.c.status.in_(ACTIVE) & (self._tables.status.c.name == WORKFLOW)
        query = self._select(self._output).where(active, condition).order_by(NUMBERS.c.number).limit(1)
        jobs = self._jobs(query)
        return jobs[0] if jobs else None

    def _select(self, output: Any) -> sa.Select[Any]:
        # As text: what one row holds must not keep all others from being read.
        attributes = sa.cast(self._tables.status.c.attributes, sa.Text)
        return sa.select(*self._columns, output, self._error, attributes).select_from(self._from)

    def _jobs(self, query: sa.Select[Any]) -> list[Job]:
        return self._to_jobs(self._rows(query))

    def _rows(self, query: sa.Select[Any]) -> list[JobRow]:
        with self._engine.begin() as connection:
            return [_to_row(values) for values in connection.execute(query)]

    def _to_jobs(self, rows: list[JobRow]) -> list[Job]:
        told = self._last_told([row.id for row in rows if row.shown != "queued" or row.attempts])
        return [to_job(row, told.get(row.id)) for row in rows]

    def _last_told(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """What jobs reported last."""
        if not ids:
            return {}
        events = self._tables.events
        with self._engine.begin() as connection:
            rows = connection.execute(
                sa.select(events.c.workflow_uuid, events.c.value).where(
                    events.c.workflow_uuid.in_(ids),
                    events.c.key == PROGRESS,
                    sa.or_(events.c.serialization.is_(None), events.c.serialization == READABLE[1]),
                )
            ).all()
        return {job_id: told for job_id, value in rows if (told := read_json(value)) is not None}


def count_waiting(connection: sa.Connection) -> int:
    """How many jobs wait. Costs what waits, however many have ended."""
    status = JobTables(connection.dialect.name).status
    waiting = sa.select(sa.func.count()).where(status.c.name == WORKFLOW, status.c.status.in_(STORED["queued"]))
    return int(connection.execute(waiting).scalar() or 0)


def _to_row(values: Any) -> JobRow:
    *facts, attributes = values
    number, job_id, status, attempts, began_ms, ended_ms, serialization, output, error = facts
    return JobRow(
        number, job_id, status, attempts, began_ms, ended_ms, serialization, output, error, read_json(attributes) or {}
    )
