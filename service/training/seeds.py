"""Initial weights that depend on the seed alone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from keras.src.random import seed_generator


@contextmanager
def seeds_of_its_own(seed: int) -> Iterator[None]:
    """Keras draws the seeds of initial weights from a generator that nobody else draws from.

    By default it is Python's global one, from which other threads draw as well (the job engine's, for the pauses
    between its questions): now and then a fit began with other weights. Keras has no public place for a generator; the
    seeds are those that the global one would have given after `random.seed(seed)`.
    """
    shared = seed_generator.python_random
    seed_generator.python_random = random.Random(seed)
    try:
        yield
    finally:
        seed_generator.python_random = shared
