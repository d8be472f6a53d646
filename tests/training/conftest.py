from collections.abc import Iterator

import pytest

from tests.training.bench import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One store and one exporting process for all tests that train: give models names of their own."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    yield bench
    bench.trainer.close()
