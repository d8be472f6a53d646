"""Explains failures of the job database, and how to fix them."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from service.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

FULL = "The disk of the job database is full. Free some space."
UNREACHABLE = "The job database can't be reached."
RESTARTING = "The job database is starting or shutting down."
CROWDED = "The job database has no connection left. Allow it more."
# They pass, though nobody changes a setting here.
PASSING = (UNREACHABLE, RESTARTING, CROWDED)
# Parts of what SQLite and PostgreSQL say, and what it means.
_MEANINGS = (
    (("is full", "no space left", "could not extend file"), FULL),
    (
        ("authentication failed", "pg_hba.conf", 'role "', "no password supplied", "certificate"),
        "The job database refuses the user, the password or the encryption of OUTFIELDER_DATABASE_URL. Check them, and "
        "what the server says of them in its log.",
    ),
    (
        ("permission denied for", "must be owner of"),
        "The user of the job database may not make or change its tables. Let it own the database: "
        "ALTER DATABASE .. OWNER TO ..",
    ),
    (("too many clients", "remaining connection slots"), CROWDED),
    (("starting up", "shutting down", "recovery mode"), RESTARTING),
    (("locked", "busy"), "Another program has locked the job database. Try again when it is done."),
    (
        ("readonly", "read-only", "permission denied", "attempt to write"),
        "The job database can't be written. Check the permissions of its folder, and that its disk is not read-only.",
    ),
    (("no such table", "does not exist"), "The job database has lost its tables. Restart the service."),
    (
        ("malformed", "not a database", "corrupt", "disk i/o error"),
        "The job database or its disk is damaged. Restore it, or move it away to start with a new one.",
    ),
    (
        ("unable to open",),
        "The job database can't be opened. Check that its folder exists, its permissions, and that its disk is not "
        "read-only.",
    ),
)
SILENT = "The job database does not answer. A job that was being submitted may have been accepted: GET /jobs tells."
GONE = (
    "The job database's file was deleted or replaced while the service ran. Put it back, or restart the API and "
    "its workers."
)


def explain(error: BaseException) -> DatabaseUnavailable:
    """What an error of the database's driver means. The log has the error itself."""
    said = str(error).lower()
    logger.warning("the job database failed: %s", error)
    return DatabaseUnavailable(
        next((meaning for parts, meaning in _MEANINGS if any(part in said for part in parts)), UNREACHABLE)
    )


@contextmanager
def explaining() -> Iterator[None]:
    """Whatever fails inside for the sake of the database, its file or its folder is a DatabaseUnavailable."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise explain(error) from error


def translate_errors(context: ExceptionContext) -> None:
    """Puts our own error in the place of what a driver says of the database, not of a statement or a value."""
    if context.is_pre_ping:
        # A connection of before the server was started anew, which is replaced.
        return
    error: Any = context.sqlalchemy_exception or context.original_exception
    is_of_statement = isinstance(error, IntegrityError | DataError) or (
        isinstance(error, ProgrammingError) and "does not exist" not in str(error)
    )
    if not is_of_statement:
        raise explain(context.original_exception) from error
