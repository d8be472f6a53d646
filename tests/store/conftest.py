"""Two machines that share a store."""

from pathlib import Path

import pytest

from tests.store.machines import Machine


@pytest.fixture
def one(s3_url: str, tmp_path: Path) -> Machine:
    return Machine(s3_url, tmp_path / "one")


@pytest.fixture
def two(s3_url: str, tmp_path: Path) -> Machine:
    return Machine(s3_url, tmp_path / "two")
