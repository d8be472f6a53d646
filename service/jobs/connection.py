"""Connections to the job database, also for processes that have nothing to do with the job engine."""

import logging
import re
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL, Engine, make_url

from service.database_url import read_database_url
from service.errors import DatabaseUnavailable
from service.jobs.database_errors import PASSING, translate_errors
from service.jobs.database_tables import NUMBERS
from service.jobs.engine_names import APPLICATION

# The first SQLite that tells the time in parts of a second. With Python 3.12 and newer DBOS asks for it, whatever
# release of SQLite Python runs with: Debian 12 and images made from it have 3.40, which answers NULL.
SQLITE_WITH_SUBSECONDS = (3, 42)
# What a request waits for another writer, or for a server that does not answer; then it is told so. Writers here hold
# the lock for milliseconds, or for a second where a machine has other work for a worker that is nice to it.
BUSY_SECONDS = 3.0
CONNECT_SECONDS = 2
POOL_SIZE = 8
# Of a server whose machine or network is gone without a word: that it is, is noticed after so long.
_SILENCE = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

_MISSING = re.compile(r'database "[^"]*" does not exist')
# Between tries to reach a server.
WAIT_SECONDS = 5.0

logger = logging.getLogger(__name__)


@event.listens_for(Engine, "connect")
def tell_time(connection: Any, record: Any) -> None:
    """Gives a new connection to an older SQLite the clock that DBOS asks."""
    del record
    if isinstance(connection, sqlite3.Connection) and sqlite3.sqlite_version_info < SQLITE_WITH_SUBSECONDS:
        connection.create_function("unixepoch", 1, lambda _: round(time.time(), 3))


def connect(database_url: str) -> Engine:
    """An engine that does not wait long, and says what goes wrong as DatabaseUnavailable."""
    url = _engine_url(database_url)
    is_file = url.get_backend_name() == "sqlite"
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
        pool_pre_ping=not is_file,
        connect_args={} if is_file else {"application_name": APPLICATION, "connect_timeout": CONNECT_SECONDS},
    )
    if is_file:
        event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "handle_error", translate_errors)
    return engine


def wait_for_server(database_url: str, stop: threading.Event) -> bool:
    """Waits for a server that can't be reached, as one that restarts. False where `stop` was set meanwhile.

    Raises:
        DatabaseUnavailable: it answers, and can't be used.
    """
    if find_file(database_url) is not None:
        return True
    engine = connect(database_url)
    try:
        while not stop.is_set():
            try:
                reach(engine)
            except DatabaseUnavailable as error:
                if error.message not in PASSING:
                    raise
                logger.error("%s This worker waits for it.", error.message)
                stop.wait(WAIT_SECONDS)
            else:
                return True
        return False
    finally:
        engine.dispose()


def reach(engine: Engine) -> None:
    """Makes sure that there is a server, though it may lack this database, which `migrate` makes.

    Raises:
        DatabaseUnavailable.
    """
    try:
        with engine.connect():
            return
    except DatabaseUnavailable as error:
        if not _MISSING.search(str(error.__cause__)):
            raise


def find_file(database_url: str) -> Path | None:
    """The file of an embedded database; None for a server's."""
    url = make_url(database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def probe(connection: Connection) -> None:
    """Raises what keeps the database from being read and written; changes nothing."""
    if connection.dialect.name == "sqlite":
        # Takes the writers' lock, or, of a file that can't be written, no more than the readers'.
        connection.execute(text("BEGIN IMMEDIATE"))
    # Writes nothing, and is refused where nothing may be written.
    connection.execute(text(f"DELETE FROM {NUMBERS.name} WHERE number IS NULL"))
    connection.execute(text(f"SELECT max(number) FROM {NUMBERS.name}"))
    connection.rollback()


def write_url(database_url: str) -> str:
    """A database's URL for the job engine, which makes connections of its own."""
    return _engine_url(database_url).render_as_string(hide_password=False)


def _engine_url(database_url: str) -> URL:
    url = make_url(read_database_url(database_url))
    if url.get_backend_name() == "sqlite":
        return url
    return url.update_query_dict({**_SILENCE, **url.query})


def _set_up_sqlite(connection: Any, record: Any) -> None:
    """Sets a connection up like the engine's own, except for the time that it waits for locks."""
    del record
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={round(BUSY_SECONDS * 1000)}")
    connection.execute("PRAGMA foreign_keys=ON")
