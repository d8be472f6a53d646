from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.workers import Workers


@pytest.fixture
def workers(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Workers on an SQLite file; tests that `tests.jobs.workers.on_both` marks run on a PostgreSQL as well."""
    on_postgres = getattr(request, "param", "sqlite") == "postgres"
    processes = Workers(tmp_path, request.getfixturevalue("postgres_url") if on_postgres else None)
    yield processes
    processes.close()
