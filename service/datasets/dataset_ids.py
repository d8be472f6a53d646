"""Ids of data sets: what they look like, where they come from, and pages of lists by them."""

import hashlib
import re
from collections.abc import Iterable
from typing import TypeVar

from service.datasets.quota import INLINE
from service.errors import DatasetNotFound, IdempotencyKeyReused, InvalidRequest

T = TypeVar("T")

_ID = re.compile(r"(inline-)?[0-9a-f]{32}\Z")
_CURSOR = re.compile(r"[0-9]{1,19}-[0-9a-f]{32}\Z")


def name_upload(key: str) -> str:
    """The id of the data set that was kept under a key."""
    return hashlib.sha256(f"upload {key}".encode()).hexdigest()[:32]


def name_inline(digest: str) -> str:
    """The id under which a panel with this digest is kept for jobs."""
    return INLINE + digest[:32]


def is_upload(name: str) -> bool:
    """Whether it is the name of an upload, or of series that are kept for a job."""
    return _ID.match(name) is not None


def cut_page(keyed: Iterable[tuple[str, T]], limit: int, cursor: str | None) -> tuple[list[T], str | None]:
    """A page of what has keys, the highest first, and the cursor of the next. Raises InvalidRequest."""
    if cursor is not None and not _CURSOR.match(cursor):
        raise InvalidRequest.at(
            "/cursor",
            "bad_cursor",
            "The cursor is invalid: use the `next_cursor` of a list, or leave it out to start from the beginning.",
        )
    before = sorted(
        ((key, value) for key, value in keyed if cursor is None or key < cursor), key=lambda item: item[0], reverse=True
    )
    return [value for _, value in before[:limit]], before[limit - 1][0] if len(before) > limit else None


def missing(dataset_id: str) -> DatasetNotFound:
    """What is told of a data set that isn't there."""
    shown = dataset_id if len(dataset_id) <= 60 else dataset_id[:60] + "..."
    return DatasetNotFound(f"There is no data set {shown!r}. It may have expired; GET /datasets lists all data sets.")


def reused() -> IdempotencyKeyReused:
    """What is told of a key that came with other series."""
    return IdempotencyKeyReused("This Idempotency-Key was used with other series. Use a new key for a new upload.")
