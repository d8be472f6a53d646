"""Parts of jobs that any free worker takes: a table of what is to be done, by whom, and what became of it.

The process that performs a job posts its parts, does them one after another itself, and leaves those to others that
they have taken meanwhile, so that a job never waits for help. What a part gives is kept elsewhere, under the part's
key; here stands only how far it is.
"""

import importlib.metadata
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from service.jobs.database_tables import PARTS, JobTables
from service.jobs.engine_names import APPLICATION_VERSION, WORKFLOW
from service.jobs.job_records import ACTIVE, MOST_DEATHS, STORED

State = Literal["open", "taken", "done", "failed", "refused"]
# Owners that are the job's own process, not another worker.
_PARENT = "job:"


@dataclass(frozen=True, slots=True)
class Part:
    """A part to be done: its job, its key, and what to do."""

    job_id: str
    key: str
    task: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PartStatus:
    """How far a part is. `beats` counts up while its owner lives; `error` says why it failed."""

    state: State
    owner: str | None
    beats: int
    deaths: int
    error: str | None

    @property
    def is_helped(self) -> bool:
        """Whether another worker has it."""
        return self.state == "taken" and not (self.owner or "").startswith(_PARENT)


class PartBoard:
    """The table of parts. Blocks; thread-safe; every method raises DatabaseUnavailable."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._status = JobTables(engine.dialect.name).status
        self._release = f"{APPLICATION_VERSION} {importlib.metadata.version('outfielder')}"

    def post(self, job_id: str, tasks: Mapping[str, dict[str, Any]], *, is_rerun: bool) -> None:
        """Posts a job's parts by their keys, in the order in which they are to be taken.

        Tasks of one `shape` are done by one program, which takes a while to compile.
        What the job's own process had taken before it died is open again, in a rerun as one more death.
        """
        own = PARTS.c.job_id == job_id
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(PARTS)
                .where(own, PARTS.c.state == "taken", PARTS.c.owner.startswith(_PARENT))
                .values(state="open", owner=None, deaths=PARTS.c.deaths + int(is_rerun))
            )
            known = set(connection.execute(sa.select(PARTS.c.key).where(own)).scalars())
            first = connection.execute(sa.select(sa.func.max(PARTS.c.number)).where(own)).scalar() or 0
            rows = [
                {
                    "job_id": job_id,
                    "key": key,
                    "number": first + i + 1,
                    "task": json.dumps(task),
                    "shape": task.get("shape", key),
                    "release": self._release,
                    "state": "open",
                    "beats": 0,
                    "deaths": 0,
                }
                for i, (key, task) in enumerate(tasks.items())
                if key not in known
            ]
            if rows:
                connection.execute(sa.insert(PARTS), rows)

    def take_own(self, job_id: str, key: str) -> bool:
        """Takes a part for the job's own process. False where it is not open."""
        with self._engine.begin() as connection:
            return self._take(connection, job_id, key, f"{_PARENT}{job_id}")

    def take_any(self, owner: str, refused: Collection[str] = (), shapes: Collection[str] = ()) -> Part | None:
        """Takes an open part of a running job for another worker, if no job waits for one.

        It is the first whose shape the worker knows, or else the first of a shape that nobody has begun with, or else
        the first.

        Args:
            refused: ids of jobs that this worker can't help.
            shapes: those that it has done.
        """
        status = self._status
        is_running = status.c.status.in_(STORED["running"])
        waiting = sa.select(status.c.workflow_uuid).where(
            status.c.name == WORKFLOW, status.c.status.in_(STORED["queued"])
        )
        begun = PARTS.alias()
        is_begun = sa.exists().where(
            begun.c.job_id == PARTS.c.job_id, begun.c.shape == PARTS.c.shape, begun.c.state != "open"
        )
        query = (
            sa.select(PARTS.c.job_id, PARTS.c.key, PARTS.c.task)
            .join(status, status.c.workflow_uuid == PARTS.c.job_id)
            .where(
                PARTS.c.state == "open",
                PARTS.c.release == self._release,
                PARTS.c.deaths < MOST_DEATHS,
                PARTS.c.job_id.not_in(list(refused)),
                is_running,
                ~sa.exists(waiting),
            )
            .order_by(
                PARTS.c.job_id, sa.case((PARTS.c.shape.in_(list(shapes)), 0), (is_begun, 2), else_=1), PARTS.c.number
            )
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        with self._engine.begin() as connection:
            if not self._take(connection, row.job_id, row.key, owner):
                return None
        return Part(row.job_id, row.key, json.loads(row.task))

    def beat(self, job_id: str, key: str, owner: str) -> bool:
        """Tells that the owner lives. False where the part is no longer its own, or its job has ended."""
        status = self._status
        job = sa.select(status.c.status).where(status.c.workflow_uuid == job_id)
        with self._engine.begin() as connection:
            is_own = self._change(connection, job_id, key, owner, beats=PARTS.c.beats + 1)
            return is_own and connection.execute(job).scalar() in STORED["running"]

    def finish(self, job_id: str, key: str, owner: str | None = None, error: str | None = None) -> bool:
        """Records that a part is done, or has failed for good. False where another owner has it by now.

        Args:
            owner: None for the job's own process.
        """
        state = "done" if error is None else "failed"
        with self._engine.begin() as connection:
            return self._change(connection, job_id, key, owner or f"{_PARENT}{job_id}", state=state, error=error)

    def refuse(self, job_id: str, key: str) -> bool:
        """Records that a part which the job's own process has taken is not to be done, in no run of the job."""
        with self._engine.begin() as connection:
            return self._change(connection, job_id, key, f"{_PARENT}{job_id}", state="refused")

    def close(self, job_id: str, keys: Sequence[str]) -> None:
        """Removes those parts that are not done; whoever has one finds that it is no longer its own."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.delete(PARTS).where(
                    PARTS.c.job_id == job_id, PARTS.c.key.in_(keys), PARTS.c.state.in_(("open", "taken"))
                )
            )

    def give_back(self, job_id: str, key: str, owner: str, *, has_died: bool) -> None:
        """Opens a part that its owner has not done; a death is counted."""
        with self._engine.begin() as connection:
            self._change(
                connection, job_id, key, owner, state="open", owner=None, deaths=PARTS.c.deaths + int(has_died)
            )

    def read(self, job_id: str) -> dict[str, PartStatus]:
        """How far a job's parts are, by key."""
        columns = (PARTS.c.key, PARTS.c.state, PARTS.c.owner, PARTS.c.beats, PARTS.c.deaths, PARTS.c.error)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).where(PARTS.c.job_id == job_id)).all()
        return {row.key: PartStatus(row.state, row.owner, row.beats, row.deaths, row.error) for row in rows}

    def remove(self, job_ids: Sequence[str]) -> None:
        """Removes all parts of jobs."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(PARTS).where(PARTS.c.job_id.in_(job_ids)))

    def sweep(self) -> None:
        """Removes parts of jobs that have ended, or are gone."""
        status = self._status
        alive = sa.select(status.c.workflow_uuid).where(status.c.status.in_(ACTIVE))
        with self._engine.begin() as connection:
            connection.execute(sa.delete(PARTS).where(PARTS.c.job_id.not_in(alive)))

    def find_ended(self, job_ids: Sequence[str]) -> set[str]:
        """Which of these jobs have ended."""
        status = self._status
        query = sa.select(status.c.workflow_uuid).where(
            status.c.workflow_uuid.in_(job_ids), status.c.status.not_in(ACTIVE)
        )
        with self._engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def _take(self, connection: sa.Connection, job_id: str, key: str, owner: str) -> bool:
        statement = (
            sa.update(PARTS)
            .where(PARTS.c.job_id == job_id, PARTS.c.key == key, PARTS.c.state == "open")
            .values(state="taken", owner=owner, beats=PARTS.c.beats + 1)
        )
        return connection.execute(statement).rowcount == 1

    def _change(self, connection: sa.Connection, job_id: str, key: str, owner: str, /, **values: Any) -> bool:
        statement = (
            sa.update(PARTS)
            .where(PARTS.c.job_id == job_id, PARTS.c.key == key, PARTS.c.state == "taken", PARTS.c.owner == owner)
            .values(**values)
        )
        return connection.execute(statement).rowcount == 1
