"""The files of a published version, which its manifest says all about."""

import os
from collections.abc import Callable
from pathlib import Path

from service.errors import VersionDamaged
from service.storage.digest import digest_file
from service.storage.regular_files import explain, name_kind
from service.store.manifest import Manifest


def verify_files(folder: Path, manifest: Manifest, give_up: Callable[[], bool] = lambda: False) -> None:
    """Compares a version's files with the SHA-256 in its manifest.

    Args:
        give_up: called now and then; True ends the check with InterruptedError.

    Raises:
        VersionDamaged.
    """
    subject = f"Version {manifest.version} of {manifest.name!r} is damaged"
    for path, expected in manifest.files.items():
        try:
            digest = digest_file(folder / path, give_up)
        except InterruptedError:
            raise
        except OSError as error:
            raise VersionDamaged(f"{subject}: {path}: {explain(error)}. Restore it, or train it again.") from error
        if digest != expected:
            raise VersionDamaged(f"{subject}: {path} is not what was published. Train it again, or restore the file.")
    strange = _find_strange(folder)
    if strange is not None:
        # What loads it may open it, and wait for ever.
        raise VersionDamaged(f"{subject}: it holds {strange}. Remove that, or train it again.")


def sign_files(folder: Path, manifest: Manifest) -> tuple[tuple[int, ...] | None, ...]:
    """A signature of a version's files that changes when any of them does, made without reading them."""
    return tuple(_sign(folder / path) for path in manifest.files)


def _find_strange(folder: Path) -> str | None:
    """A thing in a folder that is neither a regular file nor a folder, in words."""
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                kind = name_kind(Path(parent, name).stat().st_mode)
            except OSError as error:
                return f"something that can't be read: {explain(error)}"
            if kind not in (None, "a folder"):
                return str(kind)
    return None


def _sign(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
