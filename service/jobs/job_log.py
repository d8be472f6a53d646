"""What workers log about a job, kept in the job database so that any API process can show it."""

import threading
from collections import deque

import sqlalchemy as sa

from service.domain.moments import write_milliseconds
from service.errors import DatabaseUnavailable
from service.jobs.database_tables import LOG
from service.jobs.leases import now_ms

# Of a job: the newest lines that are kept.
MOST_LINES = 1000
MOST_CHARACTERS = 2000
# Lines that wait for a database that is away.
MOST_WAITING = 200
# Old lines are looked for once in so many new ones.
_TRIM_EVERY = 100
_BREAKS = {ord("\n"): "\\n", ord("\r"): "\\r"}


class JobLog:
    """The log of the jobs of one worker. Thread-safe; never fails: a line that can't be kept is dropped at last."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._waiting: deque[tuple[str, int, str, str]] = deque(maxlen=MOST_WAITING)
        self._lock = threading.Lock()
        self._written = 0

    def write(self, job_id: str, attempt: int, level: str, text: str) -> None:
        """Args: `level` is the name of a level of logging."""
        with self._lock:
            self._waiting.append((job_id, attempt, level, shorten(text)))
            try:
                self._flush()
            except DatabaseUnavailable:
                # It has been logged; the next line is tried together with this one.
                return

    def _flush(self) -> None:
        now = now_ms(self._engine.dialect.name)
        with self._engine.begin() as connection:
            for job_id, attempt, level, text in self._waiting:
                connection.execute(
                    sa.insert(LOG).values(job_id=job_id, attempt=attempt, at_ms=now, level=level, text=text)
                )
                self._written += 1
                if self._written % _TRIM_EVERY == 0:
                    trim(connection, job_id)
        self._waiting.clear()


def trim(connection: sa.Connection, job_id: str) -> None:
    """Removes all but a job's newest lines."""
    kept = sa.select(LOG.c.number).where(LOG.c.job_id == job_id).order_by(LOG.c.number.desc()).limit(MOST_LINES)
    oldest = sa.select(sa.func.min(kept.subquery().c.number)).scalar_subquery()
    connection.execute(sa.delete(LOG).where(LOG.c.job_id == job_id, LOG.c.number < oldest))


def read_log(engine: sa.Engine, job_id: str) -> list[str]:
    """A job's lines, oldest first: when by the database's clock, level, run, text. Raises DatabaseUnavailable."""
    newest = sa.select(LOG).where(LOG.c.job_id == job_id).order_by(LOG.c.number.desc()).limit(MOST_LINES)
    with engine.begin() as connection:
        rows = connection.execute(newest).all()
    return [f"{write_milliseconds(row.at_ms)} {row.level:<7} run {row.attempt}: {row.text}" for row in reversed(rows)]


def shorten(text: str) -> str:
    """One line, and not too long."""
    line = text.translate(_BREAKS)
    # A terminal would obey them; a database refuses zeros.
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 3]}..."
