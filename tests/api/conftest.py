from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.server import client
from tests.serving.models import add_kinds


@pytest.fixture(scope="session")
def stored_kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one version of each of `tests.serving.models.KINDS`. To be read only."""
    root = tmp_path_factory.mktemp("models_store")
    add_kinds(root)
    return root


@pytest.fixture(scope="module")
def http(stored_kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a real server over the stored kinds."""
    with client(stored_kinds, tmp_path_factory.mktemp("state"), max_body_bytes=2**20, queue_limit=200) as http:
        yield http


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, as the service does."""
    return "asyncio"
