"""Turns disk errors into one error that says what is wrong and how to fix it."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import StorageUnavailable
from service.storage.log_pace import is_due

logger = logging.getLogger(__name__)

_REASONS = {
    errno.ENOSPC: ("is full", "Free some of its space, then send the request again."),
    errno.EDQUOT: ("has used up its quota", "Free some of its space, or raise the quota, then send the request again."),
    errno.EFBIG: ("holds no larger files", "Raise the limit on the size of files, then send the request again."),
    errno.EROFS: ("is read-only", "Mount it for writing, then send the request again."),
    errno.EACCES: (
        "is closed to this service",
        "Allow the service to read and write there, then send the request again.",
    ),
    errno.EPERM: (
        "is closed to this service",
        "Allow the service to read and write there, then send the request again.",
    ),
    errno.EIO: ("reports an error of its disk", "Check the disk, then send the request again."),
    errno.EMFILE: ("can't be opened: too many files are open", "Send the request again later."),
    errno.ENFILE: ("can't be opened: too many files are open", "Send the request again later."),
    errno.ENOMEM: ("can't be used: memory has run out", "Send the request again later."),
}


@contextmanager
def storing(place: str) -> Iterator[None]:
    """Whatever fails inside for the sake of a disk is a StorageUnavailable.

    Args:
        place: what is written to, such as "model store".
    """
    try:
        yield
    except OSError as error:
        raise make_storage_error(place, error.errno or 0, error) from error


def is_disk_error(number: int | None) -> bool:
    """Whether an `errno` is of the disk or the machine, and not of what is read."""
    return number in _REASONS


def find_disk_errno(text: str) -> int | None:
    """The `errno` of a disk's error that a library tells in words only, such as TensorFlow."""
    return next((number for number in _REASONS if os.strerror(number).lower() in text.lower()), None)


def make_storage_error(place: str, number: int, cause: BaseException | None = None) -> StorageUnavailable:
    """The error of an `errno` that the use of a place met, for which the log has the cause."""
    if is_due((place, number)):
        logger.error("the %s can't be used", place, exc_info=cause)
    what, cure = _REASONS.get(number, ("can't be used", "The server's log says why."))
    return StorageUnavailable(f"The server's {place} {what}. {cure}")
