from collections.abc import Iterator

import pytest
import tensorflow as tf

from tests.conftest import PROFILE


@pytest.fixture(scope="module", autouse=True)
def plain_graphs() -> Iterator[None]:
    """A graph that is called a few times is optimised for longer than it computes: `make test-all` does it, as the
    service does, and so do processes that are started as a user starts them."""
    if PROFILE != "quick":
        yield
        return
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options(before | {"disable_meta_optimizer": False})
