"""What the queue and its workers agree on in the job database. Why DBOS: docs/decisions/0003-job-engine.md."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from dbos import DBOS
from dbos._serialization import DBOSPortableJSON
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url

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
# The first SQLite that tells the time in parts of a second. With Python 3.12 and newer DBOS asks for it, whatever
# release of SQLite Python runs with: Debian 12 and images made from it have 3.40, which answers NULL.
SQLITE_WITH_SUBSECONDS = (3, 42)


@event.listens_for(Engine, "connect")
def tell_time(connection: Any, record: Any) -> None:
    """Gives a new connection to an older SQLite the clock that DBOS asks."""
    del record
    if isinstance(connection, sqlite3.Connection) and sqlite3.sqlite_version_info < SQLITE_WITH_SUBSECONDS:
        connection.create_function("unixepoch", 1, lambda _: round(time.time(), 3))


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
