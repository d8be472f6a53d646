from collections.abc import Iterator

import pytest
import tensorflow as tf

from tests.conftest import PROFILE


@pytest.fixture(scope="module", autouse=True)
def plain_graphs() -> Iterator[None]:
    """Leaves out TensorFlow's optimiser, which takes longer than graphs that are called a few times compute.

    `make test-all` has it, as the service does, and so have processes that are started as a user starts them.
    """
    if PROFILE != "quick":
        yield
        return
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options(before | {"disable_meta_optimizer": False})
