"""Reads a store folder, and says of each entry whether it is intact."""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import orjson

from service.errors import StoreUnreadable
from service.storage.regular_files import Irregular, explain, name_kind
from service.store.damage_record import Damage, show_name
from service.store.file_cache import FileCache
from service.store.folder_entries import blame, find_missing, find_mode, is_file, list_entries, why_no_manifest
from service.store.layout import ALIASES, COUNTER, DEFAULT, MANIFEST, is_alias, is_name, parse_version
from service.store.manifest import Manifest
from service.store.model_entry import ModelEntry
from service.store.small_files import MOST_MANIFEST_BYTES, MOST_SMALL_BYTES, parse_object, read_counter

# A check of the file system puts what it finds there.
NOT_OURS = ("lost+found",)
SHOWN_NAMES = 3


@dataclass(frozen=True, slots=True)
class Picture:
    """A snapshot of a store."""

    models: MappingProxyType[str, ModelEntry] = field(default_factory=lambda: MappingProxyType({}))
    default: str | None = None
    damaged: tuple[Damage, ...] = ()


class Scanner:
    """Reads the store again and again; files that did not change are read once. Not for several threads at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = FileCache()
        self._models: dict[str, ModelEntry] = {}

    def scan(self) -> Picture:
        """What the store holds now.

        Raises:
            StoreUnreadable: the folder can't be listed, or the machine is short of something. A folder that does not
                exist is an empty store.
        """
        self._files.begin()
        damaged: list[Damage] = []
        models: dict[str, ModelEntry] = {}
        try:
            entries = list_entries(str(self._root))
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
        self._files.forget_unread()
        self._models = models
        return Picture(MappingProxyType(models), default, tuple(damaged))

    def _read_entry(self, entry: "os.DirEntry[str]", damaged: list[Damage]) -> ModelEntry | None:
        """A model of the store's folder; None for anything else."""
        shown = show_name(entry.name)
        try:
            kind = name_kind(find_mode(entry))
        except FileNotFoundError:
            if entry.is_symlink():
                damaged.append(Damage(shown, "is a symbolic link to nothing"))
            return None
        except OSError as error:
            damaged.append(Damage(shown, f"can't be read: {blame(error)}"))
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
            entries = list_entries(folder.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            damaged.append(Damage(name, f"can't be read: {blame(error)}", name))
            # What was there a moment ago may still be served from memory.
            return self._models.get(name)
        versions: list[Manifest] = []
        foreign: list[str] = []
        for entry in entries:
            number = parse_version(entry.name)
            if number is None:
                if not entry.name.startswith(".") and entry.name not in (ALIASES, COUNTER) and not is_file(entry):
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
            read = self._files.read(path, MOST_MANIFEST_BYTES, lambda content: _parse_manifest(content, name, number))
        except FileNotFoundError:
            return None, why_no_manifest(folder)
        except NotADirectoryError:
            return None, why_no_manifest(folder) or "is no folder"
        except OSError as error:
            return self._recall(path, error), f"can't be read: {MANIFEST}: {blame(error)}"
        if read.reason is not None:
            return None, f"has an unusable {MANIFEST}: {read.reason}"
        manifest = read.value
        assert isinstance(manifest, Manifest)  # what is not has a reason
        if not read.is_complete:
            missing = find_missing(folder.path, manifest)
            if missing is not None:
                return None, missing
            # What is lost later shows when it is loaded.
            read.is_complete = True
        return manifest, None

    def _recall(self, path: str, error: OSError) -> Manifest | None:
        """The manifest that was there before the disk failed to give it: its version may still be in memory."""
        known = None if isinstance(error, Irregular) or error.errno == errno.ELOOP else self._files.recall(path)
        return known.value if known and known.is_complete and isinstance(known.value, Manifest) else None

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
            read = self._files.read(path, MOST_SMALL_BYTES, parse_object)
        except (FileNotFoundError, NotADirectoryError):
            if not Path(path).is_symlink():
                return {}
            damaged.append(Damage(place, "is a symbolic link to nothing", name))
            return {}
        except OSError as error:
            damaged.append(Damage(place, f"can't be read: {blame(error)}", name))
            return {}
        if read.reason is not None:
            damaged.append(Damage(place, f"can't be used: {read.reason}", name))
            return {}
        value = read.value
        assert isinstance(value, dict)  # what is not has a reason
        return value


def _parse_manifest(content: bytes, name: str, number: int) -> Manifest:
    manifest = Manifest.from_json(content)
    if (manifest.name, manifest.version) != (name, number):
        raise ValueError(f"it is the manifest of version {manifest.version} of {manifest.name[:100]!r}")
    if not manifest.files:
        raise ValueError("it names no files")
    return manifest


def _show(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 40 else f"{text[:40]}..."
