"""What the queue and its workers agree on in the job database. Why DBOS: docs/decisions/0003-job-engine.md."""

import sqlite3
from pathlib import Path

from dbos import DBOS
from dbos._serialization import DBOSPortableJSON
from sqlalchemy.engine import make_url

APPLICATION = "outfielder"
# Jobs run only on workers of the same version of this layout: raise it when a stored job could no longer be read.
APPLICATION_VERSION = "jobs-v2"
QUEUE = "jobs"
WORKFLOW = "run_job"
PROGRESS = "progress"
# A job that took its worker down is tried again; after this many further tries it is the job that is at fault.
MAX_RECOVERIES = 2
# Plain JSON: a pickle would tie stored jobs to the code that wrote them, and run what somebody put there.
SERIALIZER = DBOSPortableJSON


def migrate(database_url: str) -> None:
    """Makes or updates the tables. Safe to call from several processes at once."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        path = Path(url.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        # With a write-ahead log readers don't wait for writers; the file remembers it.
        connection = sqlite3.connect(path, timeout=30)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
    DBOS.migrate(database_url)
