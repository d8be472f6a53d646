"""Names and paths in the models_store folder, and the lock for writers."""

import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import StorageUnavailable
from service.storage.durability import flush_folder

# The store in messages to clients.
PLACE = "model store"
STAGING = ".staging"
# What a repair sets aside. Names that begin with a dot are no models.
ASIDE = ".damaged"
MANIFEST = "manifest.json"
ALIASES = "aliases.json"
COUNTER = "last_version.json"
DEFAULT = "default.json"

LOCK_POLL_SECONDS = 0.02

# Names become folders: no separators, no leading dot, nothing that a shell or a URL would read otherwise.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
ALIAS_PATTERN = r"^[A-Za-z][A-Za-z0-9._-]{0,99}$"
_NAME = re.compile(NAME_PATTERN.replace("$", r"\Z"))
_ALIAS = re.compile(ALIAS_PATTERN.replace("$", r"\Z"))
MOST_VERSION = 999_999_999
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
def locked(folder: Path, patience_seconds: float | None = None) -> Iterator[None]:
    """Holds the folder's lock against other threads and processes; a process that dies lets it go.

    Args:
        patience_seconds: how long it waits for another holder; None for as long as that takes.

    Raises:
        StorageUnavailable: another holds it for longer.
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mode = _file_mode(folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    descriptor = os.open(folder / ".lock", flags, mode)
    try:
        status = os.fstat(descriptor)
        if status.st_uid == os.geteuid() and status.st_mode & 0o777 != mode:
            os.fchmod(descriptor, mode)
        _lock(descriptor, patience_seconds)
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file as a whole: readers see the old content or the new, also after a crash. Raises OSError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _permit(scratch, _file_mode(path.parent))
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def make_model_folder(root: Path, name: str) -> Path:
    """The folder of a model, made where there is none, for all who may read the store. Raises OSError."""
    folder = model_folder(root, name)
    root.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        _permit(folder, _folder_mode(root))
    return folder


def make_staging(root: Path) -> Path:
    """The folder of what is being made and removed, for all who may write the store. Raises OSError."""
    folder = root / STAGING
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _permit(folder, _folder_mode(root))
    return folder


def open_up(folder: Path, model: Path) -> None:
    """Gives all in a folder the permissions of a model's folder: who may read that may read its versions.

    The process itself makes private files; TensorFlow Serving may run as another user.
    """
    folder_mode, file_mode = _folder_mode(model), _file_mode(model)
    for path in (folder, *folder.rglob("*")):
        _permit(path, folder_mode if path.is_dir() else file_mode)


def _permit(path: Path, mode: int) -> None:
    # What is inherited, such as the group of a shared folder, stays.
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o777 | mode)


def _folder_mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def _file_mode(folder: Path) -> int:
    """That of files in a folder: as readable as it is, and no more."""
    return _folder_mode(folder) & 0o666 | stat.S_IRUSR | stat.S_IWUSR


def _lock(descriptor: int, patience_seconds: float | None) -> None:
    if patience_seconds is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StorageUnavailable(
                    f"The model has been locked by another change for {patience_seconds:g} s. Send the request again."
                ) from None
            time.sleep(LOCK_POLL_SECONDS)
