"""Exchanges two folders at once."""

import ctypes
import errno
import os
from pathlib import Path

# Of linux/fcntl.h and linux/fs.h.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV)


def exchange(one: Path, other: Path, aside: Path | None = None) -> None:
    """Gives each of two folders of one file system the other's name; nobody ever sees neither.

    Where the file system can't do it at once, as NFS can't, there is a moment without the second.

    Args:
        aside: where the second lies in that moment, and after a crash in it; nothing else may have that name. By
            default a name beside the first.

    Raises:
        OSError.
    """
    if _exchange_at_once(one, other):
        return
    aside = one.with_name(f"{one.name}-before") if aside is None else aside
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)


def _exchange_at_once(one: Path, other: Path) -> bool:
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number))
