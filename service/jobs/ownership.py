"""What a run holds its job by: a token that the job's row has until the job ends or another run takes it over."""

import sqlalchemy as sa
from dbos._context import current_owner_xid

from service.jobs.database_tables import JobTables


class NotOwned(Exception):
    """The job has ended, was cancelled, or belongs to another run by now."""


class Ownership:
    """One run's hold on its job. A worker that was away for longer than its lease finds out here that it lost it."""

    def __init__(self, engine: sa.Engine, job_id: str, token: str | None) -> None:
        self._engine = engine
        self._job_id = job_id
        self._token = token
        status = JobTables(engine.dialect.name).status
        self._query = sa.select(status.c.status, status.c.owner_xid, status.c.recovery_attempts).where(
            status.c.workflow_uuid == job_id
        )

    @classmethod
    def of_this_run(cls, engine: sa.Engine, job_id: str) -> "Ownership":
        """To be called where the engine runs the job."""
        return cls(engine, job_id, current_owner_xid(job_id))

    def check(self) -> int:
        """Asks the database. Returns how many runs the job has had, this one included.

        Raises:
            NotOwned, DatabaseUnavailable.
        """
        with self._engine.begin() as connection:
            row = connection.execute(self._query).first()
        if row is None or row.status != "PENDING" or row.owner_xid != self._token:
            raise NotOwned(self._job_id)
        return int(row.recovery_attempts or 1)
