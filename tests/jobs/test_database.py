import time
from pathlib import Path

from sqlalchemy import create_engine, text

import service.jobs.connection  # noqa: F401  gives connections the clock


def test_sqlite_of_any_release_tells_the_milliseconds_that_the_job_engine_asks_for(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    with engine.begin() as connection:
        # As its tables have it: as a default of a column that must not be NULL.
        connection.execute(text("CREATE TABLE jobs (id, at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000))"))
        connection.execute(text("INSERT INTO jobs (id) VALUES (1)"))
    with engine.connect() as connection:
        at = connection.execute(text("SELECT at FROM jobs")).scalar_one()
    assert abs(at / 1000 - time.time()) < 10
