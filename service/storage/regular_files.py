"""Opens files that others may have written: only regular ones, and only up to a size."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)
_WORDS = {
    errno.ENOENT: "it is not there",
    errno.EACCES: "the service is not permitted to read it",
    errno.EPERM: "the service is not permitted to read it",
    errno.ELOOP: "it is a symbolic link that leads back to itself",
    errno.ENOTDIR: "it is not a folder",
    errno.EIO: "the disk reports an error",
}
# What the process or the machine is short of says nothing of a file.
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Irregular(OSError):
    """The path is not a regular file, or the file is too large."""

    def __str__(self) -> str:
        return str(self.args[0])


def name_kind(mode: int) -> str | None:
    """What a thing that is no regular file is, with its article, by its `st_mode`; None for a regular file."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), None)


def open_regular(path: Path | str) -> BinaryIO:
    """Opens a file to read it; never waits, whatever lies there.

    Raises:
        Irregular: a folder, a FIFO, a socket or a device. None of them is opened.
        OSError: it can't be opened.
    """
    _check(Path(path).stat().st_mode)
    # Another thing may have taken its place meanwhile: one that would wait for its other end doesn't.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path | str, limit_bytes: int) -> bytes:
    """A regular file's content.

    Raises:
        Irregular: it is none, or holds more than the limit.
        OSError: it can't be read.
    """
    with open_regular(path) as file:
        # Not all files tell their size.
        content = file.read(limit_bytes + 1) if os.fstat(file.fileno()).st_size <= limit_bytes else None
    if content is None or len(content) > limit_bytes:
        raise Irregular(f"it holds more than {limit_bytes} bytes")
    return content


def explain(error: OSError) -> str:
    """Why a file can't be read, as a clause without its path."""
    if isinstance(error, Irregular):
        return str(error)
    return _WORDS.get(error.errno or 0) or (error.strerror or "it can't be read").lower()


def _check(mode: int) -> None:
    kind = name_kind(mode)
    if kind is not None:
        raise Irregular(f"it is {kind}, not a file")
