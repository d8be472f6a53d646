import random
import threading
from collections.abc import Iterator

import keras
import numpy as np
import pytest

from service.domain.recipes.resolve import resolve
from service.networks.network import make_network
from service.training.seeds import seeds_of_its_own

RECIPE = resolve({"architecture": "gru"})


@pytest.fixture
def others() -> Iterator[None]:
    """Another thread that draws from Python's global generator, as a job engine's does."""
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    yield
    stop.set()
    thread.join()


def weights() -> list[np.ndarray]:
    with seeds_of_its_own(7):
        return [np.asarray(one) for one in make_network(RECIPE).get_weights()]


@pytest.mark.usefixtures("others")
def test_initial_weights_depend_on_the_seed_whatever_other_threads_draw() -> None:
    first = weights()
    for _ in range(5):
        for one, again in zip(first, weights(), strict=True):
            assert np.array_equal(one, again)


def test_the_seeds_are_those_of_the_global_generator_when_nobody_else_draws() -> None:
    keras.utils.set_random_seed(7)
    expected = make_network(RECIPE).get_weights()
    for one, again in zip(weights(), expected, strict=True):
        assert np.array_equal(one, again)
