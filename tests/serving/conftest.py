from pathlib import Path

import pytest

from tests.serving.models import add_kinds


@pytest.fixture(scope="session")
def stored_kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one version of each of `tests.serving.models.KINDS`. To be read only."""
    root = tmp_path_factory.mktemp("models_store")
    add_kinds(root)
    return root


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, as the service does."""
    return "asyncio"
