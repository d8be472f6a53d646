"""Names and places in the models_store folder, and the lock that its writers share."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAGING = ".staging"
MANIFEST = "manifest.json"
ALIASES = "aliases.json"
COUNTER = "last_version.json"
DEFAULT = "default.json"

# Names become folders: no separators, no leading dot, nothing that a shell or a URL would read otherwise.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
ALIAS_PATTERN = r"^[A-Za-z][A-Za-z0-9._-]{0,99}$"
_NAME = re.compile(NAME_PATTERN.replace("$", r"\Z"))
_ALIAS = re.compile(ALIAS_PATTERN.replace("$", r"\Z"))
_VERSION = re.compile(r"[1-9][0-9]{0,8}\Z")


def is_name(text: str) -> bool:
    """Whether a model can have this name."""
    return _NAME.match(text) is not None


def is_alias(text: str) -> bool:
    """Whether a version can have this alias: as a name, but never to be taken for a number."""
    return _ALIAS.match(text) is not None


def parse_version(folder_name: str) -> int | None:
    """The version that a folder's name stands for, or None."""
    return int(folder_name) if _VERSION.match(folder_name) else None


def model_folder(root: Path, name: str) -> Path:
    """The folder of a model.

    Raises:
        ValueError: the name is not a model's, so it may lead out of the store.
    """
    if not is_name(name):
        raise ValueError(f"not a model's name: {name!r}")
    return root / name


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock against other threads and processes; a process that dies lets it go."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file as a whole: readers see the old content or the new, also after a crash."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Makes the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
