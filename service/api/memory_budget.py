"""Limits the memory of all request bodies and answers together; a request beyond the limit is refused.

So the memory of the process has a bound, however many clients send large bodies slowly or leave large answers unread.
"""

import ctypes
import logging
from collections.abc import Callable

from service.errors import TooMuchInFlight

logger = logging.getLogger(__name__)

# Smaller bodies and answers are not counted: a thousand of them are no burden, and counting would cost each a little.
SMALL_BYTES = 2**16
# The allocator is asked to give memory back once requests have held so much: asking takes a few milliseconds.
TRIM_BYTES = 2**23
RETRY_SECONDS = 5
# Of glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
MMAP_BYTES = 2**21
# The end of the heap is kept, up to so much: with a threshold of one's own for the other, glibc gives it back again and
# again, a tenth of a forecast's time.
KEEP_BYTES = 2**25


class MemoryBudget:
    """Counts the bytes that requests hold. To be used on the event loop."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        # The most since memory was last given back.
        self._peak_bytes = 0

    def open(self) -> "MemoryHold":
        """A hold of nothing, for one request."""
        return MemoryHold(self)

    def take(self, n_bytes: int) -> None:
        """Counts bytes that are there already, such as an answer that waits to be read."""
        self.held_bytes += n_bytes
        self._peak_bytes = max(self._peak_bytes, self.held_bytes)

    def give_back(self, n_bytes: int) -> None:
        self.held_bytes -= n_bytes

    def take_trim(self) -> Callable[[], None] | None:
        """What gives freed memory back to the system, where enough was freed since it was last asked for; it blocks."""
        if self.held_bytes or self._peak_bytes < TRIM_BYTES:
            return None
        self._peak_bytes = 0
        return trim


class MemoryHold:
    """What one request holds; it only grows until it is released."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.n_bytes = 0

    def grow_to(self, n_bytes: int) -> None:
        """Holds so many bytes, or more if it does already.

        Raises:
            TooMuchInFlight: all requests together would hold more than the limit.
        """
        more = n_bytes - self.n_bytes
        if more <= 0 or n_bytes < SMALL_BYTES:
            return
        if self._budget.held_bytes + more > self._budget.limit_bytes:
            raise TooMuchInFlight(self._budget.limit_bytes, RETRY_SECONDS)
        self._budget.take(more)
        self.n_bytes = n_bytes

    def grow(self, n_bytes: int) -> None:
        """Holds so many bytes more. Raises TooMuchInFlight as `grow_to`."""
        self.grow_to(self.n_bytes + n_bytes)

    def release(self) -> None:
        """Gives everything back. May be called again."""
        self._budget.give_back(self.n_bytes)
        self.n_bytes = 0


def settle_allocator() -> None:
    """Has the C library give large blocks back at once; by itself it begins to keep them, up to 32 MB each."""
    try:
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
    except (OSError, AttributeError):
        logger.debug("the C library has no mallopt")


def trim() -> None:
    """Gives freed memory back to the system where the C library can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        logger.debug("the C library has no malloc_trim")
