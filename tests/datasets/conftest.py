"""Two machines that share uploads."""

from pathlib import Path

import pytest

from service.datasets.shared_store import SharedDatasets
from tests.datasets.test_shared_store import make


@pytest.fixture
def one(s3_url: str, tmp_path: Path) -> SharedDatasets:
    return make(s3_url, tmp_path / "one")


@pytest.fixture
def two(s3_url: str, tmp_path: Path) -> SharedDatasets:
    return make(s3_url, tmp_path / "two")
