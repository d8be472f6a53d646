"""What the store holds, read from disk into one immutable picture that is swapped as a whole."""

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import orjson

from service.errors import (
    AliasInUse,
    InvalidRequest,
    ModelNotFound,
    NoChampion,
    StoreUnreadable,
    VersionDamaged,
    VersionNotFound,
)
from service.store.layout import (
    ALIASES,
    DEFAULT,
    MANIFEST,
    STAGING,
    is_alias,
    is_name,
    locked,
    model_folder,
    parse_version,
    write_atomically,
)
from service.store.manifest import Manifest
from service.store.publish import digest_file

CHAMPION = "champion"
# The model that a request without a name means, before a person has set another.
FAVOURITE = "lstm"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model: its versions in ascending order and its aliases. There is at least one version."""

    name: str
    versions: tuple[Manifest, ...]
    aliases: dict[str, int]
    # What a request that names no version gets: the champion, else the newest that no gate rejected.
    current: Manifest | None = field(init=False)

    def __post_init__(self) -> None:
        champion = self.aliases.get(CHAMPION)
        accepted = (m for m in reversed(self.versions) if m.gate is None or m.gate.get("passed"))
        current = next((m for m in self.versions if m.version == champion), None) or next(accepted, None)
        object.__setattr__(self, "current", current)


@dataclass(frozen=True, slots=True)
class _Picture:
    models: MappingProxyType[str, ModelEntry] = field(default_factory=lambda: MappingProxyType({}))
    default: str | None = None


class Catalog:
    """The models, versions and aliases of a store folder.

    Reading is from memory and safe from any thread; `refresh` and what changes the store do file I/O. Several processes
    may share the folder: each sees the others' changes at its next `refresh`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._picture = _Picture()
        self._refreshing = threading.Lock()
        # A published version never changes, so its manifest is read once.
        self._manifests: dict[Path, Manifest] = {}

    def refresh(self) -> None:
        """Reads what is new. Folders that are no versions are passed over.

        Raises:
            StoreUnreadable: the folder can't be listed. A folder that does not exist is an empty store.
        """
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        try:
            folders = [path for path in self.root.iterdir() if is_name(path.name) and path.is_dir()]
            models = {folder.name: entry for folder in sorted(folders) if (entry := self._read_model(folder))}
            default = _read_json(self.root / DEFAULT).get("name")
        except FileNotFoundError:
            models, default = {}, None
        except OSError as error:
            raise StoreUnreadable("The model store can't be read. See the server's log.") from error
        self._picture = _Picture(MappingProxyType(models), default if isinstance(default, str) else None)
        shown = {self.folder(manifest) for entry in models.values() for manifest in entry.versions}
        self._manifests = {folder: manifest for folder, manifest in self._manifests.items() if folder in shown}

    def models(self) -> list[ModelEntry]:
        """All models, by name."""
        return list(self._picture.models.values())

    def model(self, name: str) -> ModelEntry:
        """One model. Raises ModelNotFound."""
        entry = self._picture.models.get(name)
        if entry is None:
            known = ", ".join(self._picture.models) or "none yet"
            raise ModelNotFound(f"There is no model named {name!r}. Models: {known}.")
        return entry

    @property
    def default(self) -> str | None:
        """The model that a request without a name means; None in an empty store."""
        models = self._picture.models
        for name in (self._picture.default, FAVOURITE):
            if name in models:
                return name
        return min(models, key=lambda name: models[name].versions[0].created_at, default=None)

    def resolve(self, name: str | None = None, version: int | str | None = None) -> Manifest:
        """The version that a request means.

        Args:
            name: a model's, or None for the default model.
            version: a number, an alias, or None for the model's current version.

        Raises:
            ModelNotFound, VersionNotFound, NoChampion.
        """
        name = self.default if name is None else name
        if name is None:
            raise ModelNotFound("The store holds no model yet. Train one: POST /train.")
        entry = self.model(name)
        if version is None:
            if entry.current is None:
                raise NoChampion(
                    f"No version of {name!r} has passed the gate. Name a version: "
                    f"{', '.join(str(m.version) for m in entry.versions)}."
                )
            return entry.current
        number = entry.aliases.get(version) if isinstance(version, str) else version
        manifest = next((m for m in entry.versions if m.version == number), None)
        if manifest is None:
            aliases = "".join(f", {alias} ({number})" for alias, number in sorted(entry.aliases.items()))
            raise VersionNotFound(
                f"Model {name!r} has no version {version!r}. It has: "
                f"{', '.join(str(m.version) for m in entry.versions)}{aliases}."
            )
        return manifest

    def folder(self, manifest: Manifest) -> Path:
        """Where a version lies."""
        return model_folder(self.root, manifest.name) / str(manifest.version)

    def verify(self, manifest: Manifest) -> None:
        """Compares a version's files with the SHA-256 in its manifest. Raises VersionDamaged."""
        folder = self.folder(manifest)
        for path, expected in manifest.files.items():
            try:
                intact = digest_file(folder / path) == expected
            except OSError:
                intact = False
            if not intact:
                raise VersionDamaged(
                    f"Version {manifest.version} of {manifest.name!r} is damaged: {path} is not what was published. "
                    "Train it again, or restore the file."
                )

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Points an alias at a version. Raises ModelNotFound, VersionNotFound, InvalidRequest (not an alias)."""
        if not is_alias(alias):
            raise InvalidRequest.at(
                "/alias",
                "bad_name",
                "An alias begins with a letter and holds up to 100 letters, digits, '.', '_', '-'.",
            )
        self.refresh()
        self.model(name)
        folder = model_folder(self.root, name)
        with locked(folder):
            self.refresh()
            self.resolve(name, version)
            aliases = {**self.model(name).aliases, alias: version}
            write_atomically(folder / ALIASES, orjson.dumps(aliases, option=orjson.OPT_INDENT_2))
        self.refresh()

    def delete_version(self, name: str, version: int) -> None:
        """Removes a version; its number is never used again.

        Raises:
            ModelNotFound, VersionNotFound.
            AliasInUse: an alias names it.
        """
        self.refresh()
        self.model(name)
        with locked(model_folder(self.root, name)):
            self.refresh()
            manifest = self.resolve(name, version)
            using = sorted(alias for alias, number in self.model(name).aliases.items() if number == version)
            if using:
                raise AliasInUse(
                    f"Version {version} of {name!r} has the alias {using[0]!r}. Point it at another version first: "
                    f"PUT /models/{name}/aliases/{using[0]}."
                )
            trash = self.root / STAGING / f"deleted-{name}-{version}"
            trash.parent.mkdir(exist_ok=True)
            # One rename hides it whole; what a crash leaves of the rest is swept later.
            self.folder(manifest).rename(trash)
            shutil.rmtree(trash, ignore_errors=True)
        self.refresh()

    def set_default(self, name: str) -> None:
        """Makes a model the one that a request without a name means. Raises ModelNotFound."""
        self.refresh()
        self.model(name)
        with locked(self.root):
            write_atomically(self.root / DEFAULT, orjson.dumps({"name": name}))
        self.refresh()

    def _read_model(self, folder: Path) -> ModelEntry | None:
        """A model's versions and aliases; None for a folder without a version."""
        versions = [m for path in folder.iterdir() if (m := self._read_version(path)) is not None]
        if not versions:
            return None
        numbers = {manifest.version for manifest in versions}
        aliases = {a: v for a, v in _read_json(folder / ALIASES).items() if v in numbers}
        return ModelEntry(folder.name, tuple(sorted(versions, key=lambda m: m.version)), aliases)

    def _read_version(self, folder: Path) -> Manifest | None:
        known = self._manifests.get(folder)
        if known is not None and folder.is_dir():
            return known
        version = parse_version(folder.name)
        if version is None:
            return None
        try:
            manifest = Manifest.from_json((folder / MANIFEST).read_bytes())
        except (OSError, ValueError):
            # Not one of ours, or just being deleted.
            return None
        if (manifest.name, manifest.version) != (folder.parent.name, version):
            return None
        self._manifests[folder] = manifest
        return manifest


def _read_json(path: Path) -> dict[str, object]:
    """A small JSON object; empty where there is none or somebody wrote something else there."""
    try:
        value = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
