"""The entries of the store's folders: what kind of file they are, and why one can't be read."""

import os
import stat
from pathlib import Path

from service.errors import StoreUnreadable
from service.storage.regular_files import SHORTAGES, explain, name_kind
from service.store.layout import MANIFEST
from service.store.manifest import Manifest


def list_entries(path: str) -> list["os.DirEntry[str]"]:
    """A folder's entries, by name. Raises OSError."""
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def find_mode(entry: "os.DirEntry[str]") -> int:
    """What an entry is, links followed; without a look at the disk for a folder."""
    return stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else entry.stat().st_mode


def is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a regular file, or was until a moment ago."""
    try:
        return stat.S_ISREG(find_mode(entry))
    except FileNotFoundError:
        return not entry.is_symlink()
    except OSError:
        return False


def blame(error: OSError) -> str:
    """Why an entry can't be read. Raises StoreUnreadable where that is not for the entry's sake."""
    if error.errno in SHORTAGES:
        what = (error.strerror or "the machine is short of memory or files").lower()
        raise StoreUnreadable(f"The model store can't be read: {what}.") from error
    return explain(error)


def why_no_manifest(folder: "os.DirEntry[str]") -> str | None:
    """Why a version's folder has no manifest; None where it is just being deleted."""
    try:
        kind = name_kind(Path(folder.path).stat().st_mode)
    except FileNotFoundError:
        return "is a symbolic link to nothing" if folder.is_symlink() else None
    except OSError as error:
        return f"can't be read: {blame(error)}"
    return f"has no {MANIFEST}" if kind == "a folder" else f"is {kind or 'a file'}, not a folder"


def find_missing(folder: str, manifest: Manifest) -> str | None:
    """What is wrong with the files that a manifest names, checked by their kind only."""
    for path in manifest.files:
        try:
            kind = name_kind(Path(folder, path).stat().st_mode)
        except OSError as error:
            return f"can't be read: {path}: {blame(error)}"
        if kind is not None:
            return f"can't be read: {path}: it is {kind}, not a file"
    return None
