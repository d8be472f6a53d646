import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outfielder_client import Client, Retry
from service.store.pretrained import publish_pretrained
from tests.api.server import running
from tests.client.clients import Awaited
from tests.client.proxy import Proxy, proxying
from tests.serving.models import add_kinds

# So short that nobody waits, and so many that a busy machine does not run out of them.
PATIENT = Retry(attempts=50, first_pause_seconds=0.005, longest_pause_seconds=0.02)
# Until a server is up again.
PATIENT_FOR_MINUTES = Retry(attempts=3000, first_pause_seconds=0.01, longest_pause_seconds=0.05)

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kinds, and the zero-shot model, which has intervals. To be read only."""
    root = tmp_path_factory.mktemp("models_store")
    add_kinds(root)
    publish_pretrained(root)
    return root


@pytest.fixture(scope="module")
def url(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server over a store of its own."""
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(store, root, dirs_exist_ok=True)
    with running(root, tmp_path_factory.mktemp("state")) as url:
        yield url


@pytest.fixture(params=[Client, Awaited.client], ids=["blocking", "asyncio"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a client, blocking or asynchronous."""
    made: Make = request.param
    return made


@pytest.fixture
def client(make: Make, url: str) -> Iterator[Any]:
    with make(url, retry=PATIENT) as client:
        yield client


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with proxying(int(url.rpartition(":")[2])) as proxy:
        yield proxy
