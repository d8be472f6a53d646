"""Tries again what an object store refuses for a while."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from service.errors import StorageUnavailable
from service.storage.object_failure import AccessRefused

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What was computed for hours is not given up for an outage; a job that is cancelled meanwhile ends at once.
PATIENCE_SECONDS = 1800.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
STEP_SECONDS = 0.5


def persist(
    call: Callable[[], T],
    raise_if_stopped: Callable[[], None] = lambda: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> T:
    """What a call answers once the store does; it must be one that may be made twice.

    Args:
        raise_if_stopped: called while it waits; what it raises ends the wait.

    Raises:
        StorageUnavailable: the store refuses access, or goes on failing for longer than `patience_seconds`.
    """
    deadline = time.monotonic() + patience_seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except AccessRefused:
            raise
        except StorageUnavailable as error:
            if time.monotonic() + pause >= deadline:
                raise
            logger.warning("%s It is tried again in %.1f s.", error.message, pause)
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0:
            raise_if_stopped()
            time.sleep(min(left, STEP_SECONDS))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
