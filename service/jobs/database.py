"""The tables of the job database and of its engine. Why DBOS: docs/decisions/0003-job-engine.md."""

import sqlite3

from dbos import DBOS
from dbos._serialization import DBOSPortableJSON
from sqlalchemy import create_engine

from service.jobs.connection import find_file, write_url
from service.jobs.database_tables import make_tables
from service.jobs.pickle_refusal import refuse_pickles

# Plain JSON: a pickle would tie stored jobs to the code that wrote them, and run what somebody put there.
SERIALIZER = DBOSPortableJSON

refuse_pickles()


def migrate(database_url: str) -> None:
    """Makes or updates the tables. Safe to call from several processes at once."""
    path = find_file(database_url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # With a write-ahead log readers don't wait for writers; the file remembers it.
        connection = sqlite3.connect(path, timeout=30)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
    DBOS.migrate(write_url(database_url))
    engine = create_engine(write_url(database_url))
    try:
        with engine.begin() as transaction:
            make_tables(transaction)
    finally:
        engine.dispose()
