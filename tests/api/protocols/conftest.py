from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.store.pretrained import publish_pretrained
from tests.api.server import client
from tests.engines.versions import add_fast_version
from tests.serving.models import add_kinds


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the kinds of `tests.serving.models`, one for TensorFlow, a network, and the zero-shot one."""
    root = tmp_path_factory.mktemp("models_store")
    add_kinds(root, without_graphs=["lstm"])
    add_fast_version(root, "gru")
    publish_pretrained(root)
    return root


@pytest.fixture(scope="module")
def http(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a real server over the store."""
    with client(store, tmp_path_factory.mktemp("state"), max_body_bytes=2**26) as http:
        yield http
