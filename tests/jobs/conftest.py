from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.database import migrate
from tests.jobs.workers import Workers
from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres_tables(postgres: PostgresServer) -> str:
    """The URL of a database with tables, made once: a database of its own takes most of a test's time."""
    url = postgres.make_database()
    migrate(url)
    return url


@pytest.fixture
def emptied_postgres_url(postgres: PostgresServer, postgres_tables: str) -> str:
    """The URL of a database with empty tables, this test's alone while it runs."""
    postgres.empty(postgres_tables)
    return postgres_tables


@pytest.fixture
def workers(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Workers on an SQLite file; tests that `tests.jobs.workers.on_both` marks run on a PostgreSQL as well."""
    on_postgres = getattr(request, "param", "sqlite") == "postgres"
    processes = Workers(tmp_path, request.getfixturevalue("emptied_postgres_url") if on_postgres else None)
    yield processes
    processes.close()
