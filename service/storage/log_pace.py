"""Keeps one cause from filling the log."""

import time
from collections.abc import Hashable

# A store that is away, or a disk that is full, refuses every request alike: one line from time to time is enough.
LOG_EVERY_SECONDS = 60.0
_last_logged: dict[Hashable, float] = {}


def is_due(cause: Hashable) -> bool:
    """Whether a cause was not logged for a while; whoever asks logs it now."""
    now = time.monotonic()
    if now - _last_logged.get(cause, -LOG_EVERY_SECONDS) < LOG_EVERY_SECONDS:
        return False
    _last_logged[cause] = now
    return True
