from collections.abc import Iterator

import pytest

from tests.abuse.process import Server, serving
from tests.serving.models import add_kinds


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server at its default settings, but for its patience."""
    store = tmp_path_factory.mktemp("models_store")
    add_kinds(store)
    settings = {"OUTFIELDER_READ_SECONDS": "3", "OUTFIELDER_WRITE_SECONDS": "3"}
    with serving(store, tmp_path_factory.mktemp("server"), **settings) as server:
        yield server
