"""Removes jobs that ended long ago, with all that is stored of them."""

import time

import sqlalchemy as sa
from dbos import DBOSClient

from service.jobs.database_tables import LOG, NUMBERS, JobTables
from service.jobs.engine_names import WORKFLOW
from service.jobs.job_records import ENDED, STORED

# Of a transaction: few enough that no other writer waits for long.
AT_ONCE = 100
# One process tidies up at a time; what it leaves in this round, it finds in the next one.
ROUNDS = 1000


def remove_ended(engine: sa.Engine, client: DBOSClient, older_than_seconds: float) -> int:
    """Removes jobs that ended so long ago, the oldest first. Returns how many. Blocks."""
    status = JobTables(engine.dialect.name).status
    before_ms = int((time.time() - older_than_seconds) * 1000)
    oldest = (
        sa.select(status.c.workflow_uuid)
        .where(
            status.c.name == WORKFLOW,
            status.c.status.in_([stored for shown in ENDED for stored in STORED[shown]]),
            sa.func.coalesce(status.c.completed_at, status.c.updated_at) < before_ms,
        )
        .limit(AT_ONCE)
    )
    removed = 0
    for _ in range(ROUNDS):
        with engine.begin() as connection:
            ids = list(connection.execute(oldest).scalars())
        if not ids:
            break
        client.delete_workflows(ids)
        with engine.begin() as connection:
            connection.execute(sa.delete(LOG).where(LOG.c.job_id.in_(ids)))
            connection.execute(sa.delete(NUMBERS).where(NUMBERS.c.job_id.in_(ids)))
        removed += len(ids)
    return removed
