"""Reads a store folder, and says of each entry whether it is intact."""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import orjson

from service.errors import StoreUnreadable
from service.storage.regular_files import SHORTAGES, Irregular, explain, name_kind, read_regular
from service.store.damage_record import Damage, show_name
from service.store.layout import ALIASES, COUNTER, DEFAULT, MANIFEST, MOST_VERSION, is_alias, is_name, parse_version
from service.store.manifest import Manifest
from service.store.model_entry import ModelEntry

# The largest that was ever written had 200 kB: residuals, scores by step, trials.
MOST_MANIFEST_BYTES = 16 * 2**20
MOST_SMALL_BYTES = 2**20
# A check of the file system puts what it finds there.
NOT_OURS = ("lost+found",)
SHOWN_NAMES = 3


@dataclass(frozen=True, slots=True)
class Picture:
    """A snapshot of a store."""

    models: MappingProxyType[str, ModelEntry] = field(default_factory=lambda: MappingProxyType({}))
    default: str | None = None
    damaged: tuple[Damage, ...] = ()


class _Signature(NamedTuple):
    """Identifies the state of a file, to see whether it has changed since it was read."""

    device: int
    inode: int
    size: int
    changed: int
    modified: int


@dataclass(slots=True)
class _Read:
    """A file that was read: its content, or why it can't be used."""

    signature: _Signature
    value: object
    reason: str | None
    # Of a manifest: all files that it names were there.
    is_complete: bool = False


class Scanner:
    """Reads the store again and again; files that did not change are read once. Not for several threads at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._reads: dict[str, _Read] = {}
        self._seen: set[str] = set()
        self._models: dict[str, ModelEntry] = {}

    def scan(self) -> Picture:
        """What the store holds now.

        Raises:
            StoreUnreadable: the folder can't be listed, or the machine is short of something. A folder that does not
                exist is an empty store.
        """
        self._seen = set()
        damaged: list[Damage] = []
        models: dict[str, ModelEntry] = {}
        try:
            entries = _list(str(self._root))
        except FileNotFoundError:
            return Picture()
        except OSError as error:
            raise StoreUnreadable(f"The model store can't be read: {explain(error)}.") from error
        for entry in entries:
            if entry.name.startswith(".") or entry.name in (DEFAULT, *NOT_OURS):
                continue
            model = self._read_entry(entry, damaged)
            if model is not None:
                models[model.name] = model
        default = self._read_default(models, damaged)
        self._reads = {path: read for path, read in self._reads.items() if path in self._seen}
        self._models = models
        return Picture(MappingProxyType(models), default, tuple(damaged))

    def _read_entry(self, entry: "os.DirEntry[str]", damaged: list[Damage]) -> ModelEntry | None:
        """A model of the store's folder; None for anything else."""
        shown = show_name(entry.name)
        try:
            kind = name_kind(_mode(entry))
        except FileNotFoundError:
            if entry.is_symlink():
                damaged.append(Damage(shown, "is a symbolic link to nothing"))
            return None
        except OSError as error:
            damaged.append(Damage(shown, f"can't be read: {_blame(error)}"))
            return None
        if kind is None:
            # Read-mes and the like are nobody's business, but what is named as a model is meant as one.
            if is_name(entry.name) and "." not in entry.name:
                damaged.append(Damage(shown, "is a file where the folder of a model is expected"))
            return None
        if kind != "a folder":
            damaged.append(Damage(shown, f"is {kind}, not the folder of a model"))
            return None
        if not is_name(entry.name):
            damaged.append(Damage(shown, "is a folder whose name can't be a model's"))
            return None
        return self._read_model(entry, damaged)

    def _read_model(self, folder: "os.DirEntry[str]", damaged: list[Damage]) -> ModelEntry | None:
        """A model's versions and aliases; None for a folder without a version that can be served."""
        name = folder.name
        try:
            entries = _list(folder.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            damaged.append(Damage(name, f"can't be read: {_blame(error)}", name))
            # What was there a moment ago may still be served from memory.
            return self._models.get(name)
        versions: list[Manifest] = []
        foreign: list[str] = []
        for entry in entries:
            number = parse_version(entry.name)
            if number is None:
                if not entry.name.startswith(".") and entry.name not in (ALIASES, COUNTER) and not _is_file(entry):
                    foreign.append(show_name(entry.name))
                continue
            manifest, reason = self._read_version(name, number, entry)
            if manifest is not None:
                versions.append(manifest)
            if reason is not None:
                damaged.append(Damage(f"{name}/{number}", reason, name, number))
        if foreign:
            more = f" and {len(foreign) - SHOWN_NAMES} more" if len(foreign) > SHOWN_NAMES else ""
            what = f"contains entries that are neither versions nor files: {', '.join(foreign[:SHOWN_NAMES])}{more}"
            damaged.append(Damage(name, what, name))
        self._check_counter(name, folder.path, damaged)
        numbers = {manifest.version for manifest in versions}
        aliases = self._read_aliases(name, folder.path, numbers, damaged)
        if not versions:
            return None
        return ModelEntry(name, tuple(sorted(versions, key=lambda m: m.version)), aliases)

    def _read_version(self, name: str, number: int, folder: "os.DirEntry[str]") -> tuple[Manifest | None, str | None]:
        """A version's manifest, where it can be served, and what is wrong; neither where it is just being deleted."""
        path = f"{folder.path}/{MANIFEST}"
        try:
            read = self._read(path, MOST_MANIFEST_BYTES, lambda content: _parse_manifest(content, name, number))
        except FileNotFoundError:
            return None, _why_no_manifest(folder)
        except NotADirectoryError:
            return None, _why_no_manifest(folder) or "is no folder"
        except OSError as error:
            return self._recall(path, error), f"can't be read: {MANIFEST}: {_blame(error)}"
        if read.reason is not None:
            return None, f"has an unusable {MANIFEST}: {read.reason}"
        manifest = read.value
        assert isinstance(manifest, Manifest)  # what is not has a reason
        if not read.is_complete:
            missing = _find_missing(folder.path, manifest)
            if missing is not None:
                return None, missing
            # What is lost later shows when it is loaded.
            read.is_complete = True
        return manifest, None

    def _recall(self, path: str, error: OSError) -> Manifest | None:
        """The manifest that was there before the disk failed to give it: its version may still be in memory."""
        known = self._reads.get(path)
        if known is None or not known.is_complete or isinstance(error, Irregular) or error.errno == errno.ELOOP:
            return None
        self._seen.add(path)
        return known.value if isinstance(known.value, Manifest) else None

    def _read_aliases(self, name: str, folder: str, numbers: set[int], damaged: list[Damage]) -> dict[str, int]:
        """The aliases that lead to versions."""
        place = f"{name}/{ALIASES}"
        given = self._read_small(place, f"{folder}/{ALIASES}", damaged, name)
        aliases: dict[str, int] = {}
        for alias, number in given.items():
            shown = repr(alias[:40])
            if not is_alias(alias):
                damaged.append(Damage(place, f"names {shown}, which can't be an alias", name))
            elif type(number) is not int:
                reason = f"leads {shown} to {_show(number)}: expected the number of a version"
                damaged.append(Damage(place, reason, name, alias=alias))
            elif number not in numbers:
                what = f"leads {shown} to version {number}, which is missing or damaged"
                damaged.append(Damage(place, what, name, alias=alias))
            else:
                aliases[alias] = number
        return aliases

    def _check_counter(self, name: str, folder: str, damaged: list[Damage]) -> None:
        place = f"{name}/{COUNTER}"
        content = self._read_small(place, f"{folder}/{COUNTER}", damaged, name)
        if content and read_counter(content) is None:
            damaged.append(Damage(place, "holds no number of a version", name))

    def _read_default(self, models: dict[str, ModelEntry], damaged: list[Damage]) -> str | None:
        content = self._read_small(DEFAULT, str(self._root / DEFAULT), damaged, None)
        if not content:
            return None
        default = content.get("name")
        if not isinstance(default, str):
            damaged.append(Damage(DEFAULT, f"names {_show(default)}: expected the name of a model"))
            return None
        if default not in models:
            damaged.append(Damage(DEFAULT, f"names {default[:100]!r}, which has no version that can be served"))
        return default

    def _read_small(self, place: str, path: str, damaged: list[Damage], name: str | None) -> dict[str, object]:
        """A small JSON object; empty where there is none, or none that can be used."""
        try:
            read = self._read(path, MOST_SMALL_BYTES, parse_object)
        except (FileNotFoundError, NotADirectoryError):
            if not Path(path).is_symlink():
                return {}
            damaged.append(Damage(place, "is a symbolic link to nothing", name))
            return {}
        except OSError as error:
            damaged.append(Damage(place, f"can't be read: {_blame(error)}", name))
            return {}
        if read.reason is not None:
            damaged.append(Damage(place, f"can't be used: {read.reason}", name))
            return {}
        value = read.value
        assert isinstance(value, dict)  # what is not has a reason
        return value

    def _read(self, path: str, limit_bytes: int, parse: Callable[[bytes], object]) -> _Read:
        """What a file holds, read again only where the file has changed. Raises OSError."""
        status = Path(path).stat()
        signature = _Signature(status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns, status.st_mtime_ns)
        known = self._reads.get(path)
        if known is None or known.signature != signature:
            content = read_regular(path, limit_bytes)
            try:
                known = _Read(signature, parse(content), None)
            except ValueError as error:
                known = _Read(signature, None, str(error))
            self._reads[path] = known
        self._seen.add(path)
        return known


def read_aliases(folder: Path) -> dict[str, int]:
    """All aliases of a model's folder that name a number, of existing versions or not; none if damaged."""
    try:
        given = parse_object(read_regular(folder / ALIASES, MOST_SMALL_BYTES))
    except (OSError, ValueError):
        return {}
    return {alias: number for alias, number in given.items() if is_alias(alias) and type(number) is int}


def read_counter(content: dict[str, object]) -> int | None:
    """The highest number ever given out, from `last_version.json`; None where it does not say."""
    number = content.get("last_version")
    return number if type(number) is int and 0 <= number <= MOST_VERSION else None


def parse_object(content: bytes) -> dict[str, object]:
    """A JSON object. Raises ValueError with a clause that says why it is none."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg.lower()}, line {error.lineno}") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def _parse_manifest(content: bytes, name: str, number: int) -> Manifest:
    manifest = Manifest.from_json(content)
    if (manifest.name, manifest.version) != (name, number):
        raise ValueError(f"it is the manifest of version {manifest.version} of {manifest.name[:100]!r}")
    if not manifest.files:
        raise ValueError("it names no files")
    return manifest


def _find_missing(folder: str, manifest: Manifest) -> str | None:
    """What is wrong with the files that a manifest names, checked by their kind only."""
    for path in manifest.files:
        try:
            kind = name_kind(Path(folder, path).stat().st_mode)
        except OSError as error:
            return f"can't be read: {path}: {_blame(error)}"
        if kind is not None:
            return f"can't be read: {path}: it is {kind}, not a file"
    return None


def _why_no_manifest(folder: "os.DirEntry[str]") -> str | None:
    try:
        kind = name_kind(Path(folder.path).stat().st_mode)
    except FileNotFoundError:
        return "is a symbolic link to nothing" if folder.is_symlink() else None
    except OSError as error:
        return f"can't be read: {_blame(error)}"
    return f"has no {MANIFEST}" if kind == "a folder" else f"is {kind or 'a file'}, not a folder"


def _list(path: str) -> list["os.DirEntry[str]"]:
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _mode(entry: "os.DirEntry[str]") -> int:
    """What an entry is, links followed; without a look at the disk for a folder."""
    return stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else entry.stat().st_mode


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a regular file, or was until a moment ago."""
    try:
        return stat.S_ISREG(_mode(entry))
    except FileNotFoundError:
        return not entry.is_symlink()
    except OSError:
        return False


def _blame(error: OSError) -> str:
    """Why an entry can't be read. Raises StoreUnreadable where that is not for the entry's sake."""
    if error.errno in SHORTAGES:
        what = (error.strerror or "the machine is short of memory or files").lower()
        raise StoreUnreadable(f"The model store can't be read: {what}.") from error
    return explain(error)


def _show(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 40 else f"{text[:40]}..."
