"""Small files that are read again and again: those that did not change are read once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from service.storage.regular_files import read_regular


class _Signature(NamedTuple):
    """Identifies the state of a file, to see whether it has changed since it was read."""

    device: int
    inode: int
    size: int
    changed: int
    modified: int


@dataclass(slots=True)
class CachedFile:
    """A file that was read: its content, or why it can't be used."""

    signature: _Signature
    value: object
    reason: str | None
    # Of a manifest: all files that it names were there.
    is_complete: bool = False


class FileCache:
    """What files held when they were read, while they are asked for. Not for several threads at once."""

    def __init__(self) -> None:
        self._files: dict[str, CachedFile] = {}
        self._asked: set[str] = set()

    def begin(self) -> None:
        """Begins a round: `forget_unread` drops what is not asked for in it."""
        self._asked = set()

    def forget_unread(self) -> None:
        """Drops what was not asked for since `begin`."""
        self._files = {path: file for path, file in self._files.items() if path in self._asked}

    def read(self, path: str, limit_bytes: int, parse: Callable[[bytes], object]) -> CachedFile:
        """What a file holds, read again only where the file has changed. Raises OSError."""
        status = Path(path).stat()
        signature = _Signature(status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns, status.st_mtime_ns)
        known = self._files.get(path)
        if known is None or known.signature != signature:
            content = read_regular(path, limit_bytes)
            try:
                known = CachedFile(signature, parse(content), None)
            except ValueError as error:
                known = CachedFile(signature, None, str(error))
            self._files[path] = known
        self._asked.add(path)
        return known

    def recall(self, path: str) -> CachedFile | None:
        """What the file held when it was last read; it is kept in this round too. None where it never was."""
        known = self._files.get(path)
        if known is not None:
            self._asked.add(path)
        return known
