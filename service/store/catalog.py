"""The models in the store: read from disk into an immutable snapshot, which is replaced as a whole."""

import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import orjson

from service.errors import (
    AliasInUse,
    InvalidRequest,
    ModelNotFound,
    NoChampion,
    VersionDamaged,
    VersionNotFound,
)
from service.storage.disk_errors import storing
from service.store.damage_record import Damage
from service.store.damage_scan import Picture, Scanner
from service.store.layout import (
    ALIASES,
    DEFAULT,
    PLACE,
    is_alias,
    locked,
    make_staging,
    model_folder,
    write_atomically,
)
from service.store.manifest import Manifest
from service.store.model_entry import CHAMPION as CHAMPION
from service.store.model_entry import ModelEntry as ModelEntry
from service.store.small_files import read_aliases
from service.store.version_files import sign_files, verify_files

# What changes the store waits for others who do; a publisher holds a model for a second or two.
LOCK_SECONDS = 10.0
# The models that a request without a name means, before a person has set another: the first that is there.
FAVOURITES = ("zero-shot", "lstm")


class Catalog:
    """The models, versions and aliases of a store folder.

    Reading is from memory and safe from any thread; `refresh` and what changes the store do file I/O. Several processes
    may share the folder: each sees the others' changes at its next `refresh`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._picture = Picture()
        self._refreshing = threading.Lock()
        self._scanner = Scanner(root)

    def refresh(self) -> None:
        """Reads changes from disk. Damaged entries are left out and listed in `damaged`.

        Raises:
            StoreUnreadable: the folder can't be listed. A folder that does not exist is an empty store.
        """
        with self._refreshing:
            self._picture = self._scan()

    def catch_up(self) -> None:
        """As `refresh`, and first sees what other machines have just changed, where the store is shared by many."""
        self.refresh()

    def open(self) -> None:
        """Follows a store that is elsewhere from now on; a folder is read when it is asked for."""

    def close(self) -> None:
        """Ends what `open` began."""

    @property
    def age_seconds(self) -> float:
        """How long ago the store was last read whole, where it is elsewhere; a folder is read all the time."""
        return 0.0

    @property
    def failures(self) -> int:
        """How often a store that is elsewhere could not be read."""
        return 0

    @property
    def damaged(self) -> tuple[Damage, ...]:
        """What the last look found to be wrong, by place."""
        return self._picture.damaged

    def models(self) -> list[ModelEntry]:
        """All models, by name."""
        return list(self._picture.models.values())

    def model(self, name: str) -> ModelEntry:
        """One model.

        Raises:
            ModelNotFound.
            VersionDamaged: it has nothing that can be served, and something that is damaged.
        """
        picture = self._picture
        entry = picture.models.get(name)
        if entry is None:
            damage = next((damage for damage in picture.damaged if damage.model == name), None)
            if damage is not None:
                raise VersionDamaged(f"Model {name!r} can't be served: in the store, {damage.entry} {damage.reason}.")
            known = ", ".join(self._picture.models) or "none yet"
            raise ModelNotFound(f"There is no model named {name!r}. Models: {known}.")
        return entry

    @property
    def default(self) -> str | None:
        """The model that a request without a name means; None in an empty store."""
        models = self._picture.models
        for name in (self._picture.default, *FAVOURITES):
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
            VersionDamaged: the version or the alias exists but is damaged.
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
            damage = self._find_damage(name, version)
            if damage is not None:
                raise VersionDamaged(f"It can't be served: in the store, {damage.entry} {damage.reason}.")
            aliases = "".join(f", {alias} ({number})" for alias, number in sorted(entry.aliases.items()))
            raise VersionNotFound(
                f"Model {name!r} has no version {version!r}. It has: "
                f"{', '.join(str(m.version) for m in entry.versions)}{aliases}."
            )
        return manifest

    def folder(self, manifest: Manifest) -> Path:
        """Where a version lies."""
        return model_folder(self.root, manifest.name) / str(manifest.version)

    def verify(self, manifest: Manifest, give_up: Callable[[], bool] = lambda: False) -> None:
        """Compares a version's files with the SHA-256 in its manifest.

        Args:
            give_up: called now and then; True ends the check with InterruptedError.

        Raises:
            VersionDamaged.
        """
        verify_files(self.folder(manifest), manifest, give_up)

    def sign(self, manifest: Manifest) -> tuple[tuple[int, ...] | None, ...]:
        """A signature of a version's files that changes when any of them does, made without reading them."""
        return sign_files(self.folder(manifest), manifest)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Points an alias at a version. Raises ModelNotFound, VersionNotFound, InvalidRequest (not an alias)."""
        check_alias(alias)
        self._point(name, alias, version)

    def promote(self, published: Manifest) -> None:
        """Makes a version the champion, unless a later one is that already. Raises ModelNotFound, VersionNotFound."""
        self._point(published.name, CHAMPION, published.version, only_forward=True)

    def _point(self, name: str, alias: str, version: int, *, only_forward: bool = False) -> None:
        self.refresh()
        self.model(name)
        folder = model_folder(self.root, name)
        with storing(PLACE), locked(folder, LOCK_SECONDS):
            self.refresh()
            self.resolve(name, version)
            # Also those that lead nowhere now: their versions may be restored.
            aliases = read_aliases(folder)
            present = aliases.get(alias, 0)
            is_late = only_forward and present >= version and (folder / str(present)).exists()
            if not is_late:
                aliases[alias] = version
                write_atomically(folder / ALIASES, orjson.dumps(aliases, option=orjson.OPT_INDENT_2))
        self.refresh()

    def delete_version(self, name: str, version: int) -> None:
        """Removes a version, damaged or not; its number is never used again.

        Raises:
            ModelNotFound, VersionNotFound.
            AliasInUse: an alias names it.
        """
        self.refresh()
        if self._find_damage(name, version) is None:
            self.resolve(name, version)
        folder = model_folder(self.root, name)
        with storing(PLACE), locked(folder, LOCK_SECONDS):
            self.refresh()
            if self._find_damage(name, version) is None:
                self.resolve(name, version)
            using = sorted(alias for alias, number in read_aliases(folder).items() if number == version)
            if using:
                raise make_alias_in_use(name, version, using[0])
            self._remove(folder, name, version)
        self.refresh()

    def delete_model(self, name: str) -> None:
        """Removes all versions of a model and its aliases; numbers are never used again. Raises ModelNotFound."""
        self.refresh()
        self.model(name)
        folder = model_folder(self.root, name)
        with storing(PLACE), locked(folder, LOCK_SECONDS):
            self.refresh()
            versions = [manifest.version for manifest in self.model(name).versions]
            write_atomically(folder / ALIASES, orjson.dumps({}))
            for version in versions:
                self._remove(folder, name, version)
        self.refresh()

    def set_default(self, name: str) -> None:
        """Makes a model the one that a request without a name means. Raises ModelNotFound, VersionDamaged."""
        self.refresh()
        self.model(name)
        with storing(PLACE), locked(self.root, LOCK_SECONDS):
            write_atomically(self.root / DEFAULT, orjson.dumps({"name": name}))
        self.refresh()

    def _scan(self) -> Picture:
        """What there is now. Raises StoreUnreadable."""
        return self._scanner.scan()

    def _remove(self, folder: Path, name: str, version: int) -> None:
        trash = make_staging(self.root) / f"deleted-{name[:60]}-{version}-{uuid.uuid4().hex}"
        # One rename hides it whole; what a crash leaves of the rest is swept later.
        (folder / str(version)).rename(trash)
        if trash.is_symlink() or not trash.is_dir():
            trash.unlink()
        else:
            shutil.rmtree(trash, ignore_errors=True)

    def _find_damage(self, name: str, version: int | str) -> Damage | None:
        """What is wrong with a version, or with an alias."""
        return next(
            (
                damage
                for damage in self._picture.damaged
                if damage.model == name and version in (damage.version, damage.alias)
            ),
            None,
        )


def check_alias(alias: str) -> None:
    """Raises InvalidRequest where a version can't have the alias."""
    if not is_alias(alias):
        raise InvalidRequest.at(
            "/alias",
            "bad_name",
            "An alias begins with a letter and holds up to 100 letters, digits, '.', '_', '-'.",
        )


def make_alias_in_use(name: str, version: int, alias: str) -> AliasInUse:
    """Why a version that an alias names is not removed."""
    return AliasInUse(
        f"Version {version} of {name!r} has the alias {alias!r}. Point it at another version first: "
        f"PUT /models/{name}/aliases/{alias}."
    )
