"""Limits the disk space of all uploads and kept series, over all processes of a machine."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from service.errors import UploadsFull
from service.storage.private_files import write

STAGING = ".staging"
# Series that came with a request, not as an upload: kept for its job under what they hold, never listed.
INLINE = "inline-"
# In a folder of something in progress: the bytes that it may come to.
RESERVED = "reserved"
# How many of the largest uploads a refusal names.
NAMED = 3


class Use(NamedTuple):
    """Bytes of what is kept, by its name, and of what is in progress, by its folder's."""

    kept: dict[str, int]
    staged: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.kept.values()) + sum(self.staged.values())


class Quota:
    """Gives out room in the folder of uploads. Safe for several threads and processes; does file I/O."""

    def __init__(self, root: Path, limit_bytes: int | None) -> None:
        """Args: `limit_bytes` is for all together; None for no limit."""
        self.limit_bytes = limit_bytes
        self._root = root
        # By name and inode: what is kept is replaced as a whole, if ever.
        self._sizes: dict[tuple[str, int], int] = {}

    def reserve(self, folder: Path, n_bytes: int, wish: int = 0) -> int:
        """Sets how much something in progress may come to in all.

        Args:
            folder: one of the staging folder.
            wish: what would spare another call, if there is room.

        Returns:
            Between `n_bytes` and `wish`.

        Raises:
            UploadsFull: there is not so much room. What was reserved before stays so.
            OSError: the folder can't be read or written.
        """
        if self.limit_bytes is None:
            return max(n_bytes, wish)
        with self.locked():
            use = self.measure()
            free = self.limit_bytes - use.total + use.staged.get(folder.name, 0)
            if n_bytes > free:
                raise self._refuse(use, n_bytes - free)
            granted = max(n_bytes, min(wish, free))
            write(folder / RESERVED, str(granted).encode())
        return granted

    def measure(self) -> Use:
        """What is in use. Raises OSError."""
        sizes: dict[tuple[str, int], int] = {}
        for name, inode in _entries(self._root):
            if not name.startswith("."):
                size = self._sizes.get((name, inode))
                sizes[name, inode] = _measure(self._root / name) if size is None else size
        # A folder that was read while it came to be is read again.
        self._sizes = {entry: size for entry, size in sizes.items() if size}
        kept = {name: size for (name, _), size in sizes.items()}
        staged = {}
        for name, _ in _entries(self._root / STAGING):
            folder = self._root / STAGING / name
            staged[name] = max(_measure(folder), _read_reserved(folder / RESERVED))
        return Use(kept, staged)

    @contextlib.contextmanager
    def locked(self, *, always: bool = False) -> Iterator[None]:
        """While somebody counts, nothing moves from what is in progress to what is kept. Raises OSError.

        Args: `always` says to lock also where there is no limit to count for.
        """
        if self.limit_bytes is None and not always:
            yield
            return
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Held for as long as it takes to list the folder.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _refuse(self, use: Use, lacking: int) -> UploadsFull:
        uploads = sorted(((size, name) for name, size in use.kept.items() if not name.startswith(INLINE)), reverse=True)
        largest = ", ".join(f"{name} ({format_bytes(size)})" for size, name in uploads[:NAMED])
        what = (
            f"Delete uploads that are no longer needed (DELETE /datasets/{{dataset_id}}), the largest first: {largest}."
            if largest
            else "There is no upload to delete: wait until kept series and uploads in progress go."
        )
        return UploadsFull(
            f"Uploads and kept series take {format_bytes(use.total)} of the {format_bytes(self.limit_bytes or 0)} that "
            f"they may take together; there is no room for {format_bytes(lacking)} more. {what} Or raise "
            "OUTFIELDER_UPLOADS_QUOTA_BYTES on the server."
        )


def format_bytes(n_bytes: int) -> str:
    """Bytes with the largest unit that leaves a whole number before the point: `1.5 GiB`."""
    size = float(n_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"


def _entries(folder: Path) -> list[tuple[str, int]]:
    """The names in a folder, and their inodes."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.inode()) for entry in entries]
    except FileNotFoundError:
        return []


def _measure(folder: Path) -> int:
    """The bytes of a folder's files; what is removed meanwhile counts for nothing."""
    total = 0
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.name != RESERVED:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def _read_reserved(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0
