"""Private files: everything in the state folder is for the service's user only."""

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

FOLDER_MODE = 0o700
FILE_MODE = 0o600
# Files that a process makes from now on: for its own user alone.
PRIVATE_UMASK = 0o077
OTHERS = stat.S_IRWXG | stat.S_IRWXO
# What the service puts into a state folder, by how names begin.
OURS = (
    *("jobs.sqlite", "worker-", "host-id", "checkpoints", "datasets", "programs", "logs", "task_results"),
    "store-cache",
    # TensorFlow's, of code that it makes.
    *("__autograph", "__pycache__"),
)


def keep_private(state_dir: Path, models_store: Path) -> None:
    """Makes whatever this process writes private, and narrows what is in the state folder already. Once, at the start.

    The state folder itself is narrowed where it holds nothing but ours: another, such as /tmp, others use too.
    Whatever can't be narrowed is told of in the log. The models store is made first, if it has to be, with the
    permissions that its user's umask leaves.
    """
    with contextlib.suppress(OSError):
        # Where it can't be made it is an empty store until somebody makes it.
        models_store.mkdir(parents=True, exist_ok=True)
    os.umask(PRIVATE_UMASK)
    with contextlib.suppress(OSError):
        state_dir.parent.mkdir(parents=True, exist_ok=True)
        make_folder(state_dir)
    try:
        with os.scandir(state_dir) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        # Whoever needs it says what is wrong.
        return
    ours = [name for name in names if name.startswith(OURS)]
    if len(ours) == len(names):
        _narrow(state_dir, FOLDER_MODE)
    elif state_dir.stat().st_mode & OTHERS:
        logger.warning(
            "the state folder holds other files too, so it is left open to others: chmod 700 it, or choose another"
        )
    for name in ours:
        for path, is_folder in _walk(state_dir / name):
            _narrow(path, FOLDER_MODE if is_folder else FILE_MODE)


def make_folder(path: Path) -> None:
    """Makes a private folder, and those above it, where there is none."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def create(path: Path) -> BinaryIO:
    """Opens a new file to write, private from its first moment. It is not buffered: what is written is on its way."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, FILE_MODE), "wb", buffering=0)


def write(path: Path, content: bytes) -> None:
    """Writes a private file."""
    with create(path) as file:
        append(file, content)


def append(file: BinaryIO, content: bytes) -> None:
    """Writes all of a content to a file that is not buffered."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _walk(top: Path) -> Iterator[tuple[Path, bool]]:
    """A thing and all below it; links are not followed."""
    if top.is_symlink():
        return
    yield top, top.is_dir()
    for folder, folders, files in os.walk(top):
        yield from ((Path(folder, name), True) for name in folders)
        yield from ((Path(folder, name), False) for name in files)


def _narrow(path: Path, mode: int) -> None:
    try:
        present = path.lstat().st_mode
        if not stat.S_ISLNK(present) and present & OTHERS:
            path.chmod(stat.S_IMODE(present) & mode)
    except FileNotFoundError:  # removed meanwhile
        return
    except OSError as error:
        logger.warning("others can read %s of the state folder: %s", path.name, error.strerror)
