from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.workers import Workers


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    processes = Workers(tmp_path)
    yield processes
    processes.close()
