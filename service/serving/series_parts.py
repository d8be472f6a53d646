"""The series of a request, taken apart at once or, where they are many, later and in another thread."""

from collections.abc import Callable, Iterator
from typing import Any

from service.domain.panel import Panel
from service.domain.series import NUMBERS_AND_NULL, PostedSeries, split, unpack

# Series of a request's whole body that are taken apart on the event loop.
INLINE_SERIES = 1000


def _has_many(posted: Any) -> bool:
    """Whether JSON is so many series that taking them apart is not for the event loop."""
    if not isinstance(posted, list | dict) or len(posted) <= INLINE_SERIES:
        return False
    # One series, a list of numbers, may be long.
    return not (isinstance(posted, list) and {type(posted[0]), type(posted[-1])} <= NUMBERS_AND_NULL)


def read_later(posted: Any, *, in_body: bool) -> Iterator[list[PostedSeries]] | None:
    """The series of a request in parts that a thread reads; None where they are so few that they need none."""
    if isinstance(posted, Panel):
        return _later(lambda: unpack(posted, "/series" if in_body else "/dataset", numbered=in_body))
    if isinstance(posted, Iterator):
        return posted
    return _later(lambda: split(posted)) if _has_many(posted) else None


def _later(read: Callable[[], list[PostedSeries]]) -> Iterator[list[PostedSeries]]:
    """Reads series lazily, in the thread that asks for them."""
    yield read()
