"""The tables that jobs stand in: the engine's, as far as they are read here, and the one that numbers them.

The engine's are documented (DBOS, "System Tables"). They hold what the engine needs; the order in which jobs were
submitted is ours, for its own rests on the clock.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.jobs.job_records import read_json, read_submitted_ms
from service.jobs.schedule_table import SCHEDULES

# The largest INTEGER of PostgreSQL.
MOST_INTEGER = 2**31 - 1
# A clock may be set; a number that the database counts up is always more than the one before.
NUMBERS = sa.Table(
    "outfielder_jobs",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.Text, nullable=False, unique=True),
    # What lists are filtered by; the engine's attributes have it too, but no index.
    sa.Column("model", sa.Text),
    sa.Column("kind", sa.Text),
    # By the clock of the process that took the submission, as it is shown.
    sa.Column("submitted_ms", sa.BigInteger),
    sa.Index("outfielder_jobs_by_model", "model", "number"),
    # So that the number of a deleted job is never used again.
    sqlite_autoincrement=True,
)
# The workers that live, and those of whom nobody has noticed yet that they don't: see service.jobs.leases.
WORKERS = sa.Table(
    "outfielder_workers",
    sa.MetaData(),
    sa.Column("executor", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    # A process's life, and what it counts.
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("beats", sa.BigInteger, nullable=False),
    # By the database's clock.
    sa.Column("started_ms", sa.BigInteger, nullable=False),
    sa.Column("heartbeat_ms", sa.BigInteger, nullable=False),
)
# What workers logged about jobs: see service.jobs.job_log.
LOG = sa.Table(
    "outfielder_job_log",
    sa.MetaData(),
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    # By the database's clock.
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Index("outfielder_job_log_by_job", "job_id", "number"),
)
# Parts of jobs that other workers may take: see service.jobs.parts.
PARTS = sa.Table(
    "outfielder_job_parts",
    sa.MetaData(),
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    # What parts have in common that are done by one program; who has it compiled takes them sooner.
    sa.Column("shape", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
)
# For the engine's tables, as it has it.
_SCHEMA = "dbos"
_STATUS_INDEX = "outfielder_jobs_by_status"
_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


class JobTables:
    """The engine's tables under the names that they have in a database."""

    def __init__(self, dialect: str) -> None:
        schema = None if dialect == "sqlite" else _SCHEMA
        self.status = sa.table(
            "workflow_status",
            *(sa.column(name, sa.Text) for name in ("workflow_uuid", "name", "status", "output", "error")),
            *(sa.column(name, sa.Text) for name in ("serialization", "executor_id", "queue_name")),
            *(sa.column(name, sa.Text) for name in ("application_name", "owner_xid")),
            *(sa.column(name, sa.BigInteger) for name in ("recovery_attempts", "priority", "updated_at")),
            *(sa.column(name, sa.BigInteger) for name in ("started_at_epoch_ms", "completed_at")),
            sa.column("attributes", _JSON),
            schema=schema,
        )
        self.input = sa.table(
            "workflow_input",
            *(sa.column(name, sa.Text) for name in ("workflow_uuid", "inputs")),
            schema=schema,
        )
        self.output = sa.table(
            "workflow_output",
            *(sa.column(name, sa.Text) for name in ("workflow_uuid", "output", "error")),
            schema=schema,
        )
        texts = ("workflow_uuid", "key", "value", "serialization")
        self.events = sa.table("workflow_events", *(sa.column(name, sa.Text) for name in texts), schema=schema)
        self.streams = sa.table(
            "streams",
            *(sa.column(name, sa.Text) for name in texts),
            sa.column("offset", sa.Integer),
            schema=schema,
        )


def make_tables(connection: sa.Connection) -> None:
    """Makes what is missing, and numbers jobs of a time when their order was that of the clock."""
    if connection.dialect.name == "sqlite":
        connection.execute(sa.text("BEGIN IMMEDIATE"))
    else:
        # Released with the transaction; another process that starts now waits, and finds the table.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": NUMBERS.name})
    status = JobTables(connection.dialect.name).status
    connection.execute(sa.text(f"CREATE INDEX IF NOT EXISTS {_STATUS_INDEX} ON {_full_name(status)} (name, status)"))
    for table in (WORKERS, LOG, PARTS, SCHEDULES):
        table.create(connection, checkfirst=True)
    _make_numbers(connection, status)
    _describe_numbered(connection, status)


def _make_numbers(connection: sa.Connection, status: sa.TableClause) -> None:
    inspector = sa.inspect(connection)
    if inspector.has_table(NUMBERS.name):
        known = {column["name"] for column in inspector.get_columns(NUMBERS.name)}
        for column in NUMBERS.columns:
            if column.name not in known:
                kind = column.type.compile(connection.dialect)
                connection.execute(sa.text(f"ALTER TABLE {NUMBERS.name} ADD COLUMN {column.name} {kind}"))
        for index in NUMBERS.indexes:
            index.create(connection, checkfirst=True)
        return
    NUMBERS.create(connection)
    rows = connection.execute(
        sa.select(status.c.workflow_uuid, status.c.attributes["order"].as_integer().label("order")).where(
            status.c.name == "run_job"
        )
    ).all()
    for row in sorted(rows, key=lambda row: row.order or 0):
        number = _insert(connection, {"job_id": row.workflow_uuid})
        # Those that wait are taken in the order of their numbers, as all that come.
        connection.execute(sa.update(status).where(status.c.workflow_uuid == row.workflow_uuid).values(priority=number))


def _describe_numbered(connection: sa.Connection, status: sa.TableClause) -> None:
    """Fills in what a release that only numbered jobs left out."""
    # As text: what one row holds must not keep all others from being read.
    attributes = sa.cast(status.c.attributes, sa.Text)
    rows = connection.execute(
        sa.select(NUMBERS.c.number, attributes)
        .join_from(NUMBERS, status, NUMBERS.c.job_id == status.c.workflow_uuid)
        .where(NUMBERS.c.model.is_(None))
    ).all()
    for number, text in rows:
        told = read_json(text) or {}
        connection.execute(
            sa.update(NUMBERS)
            .where(NUMBERS.c.number == number)
            .values(
                model=str(told.get("model", "")),
                kind="backtest" if told.get("kind") == "backtest" else "train",
                submitted_ms=read_submitted_ms(told),
            )
        )


def add_number(connection: sa.Connection, job_id: str, model: str, kind: str, submitted_ms: int) -> int:
    """Numbers a job: by more than all before it. Takes the lock of writers, in SQLite."""
    return _insert(connection, {"job_id": job_id, "model": model, "kind": kind, "submitted_ms": submitted_ms})


def _insert(connection: sa.Connection, values: dict[str, Any]) -> int:
    key = connection.execute(sa.insert(NUMBERS).values(values)).inserted_primary_key
    if key is None:
        raise RuntimeError("the database told no number")
    return int(key[0])


def _full_name(table: sa.TableClause) -> str:
    return table.name if table.schema is None else f"{table.schema}.{table.name}"
