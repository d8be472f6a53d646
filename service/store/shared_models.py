"""The models of an object store: what every machine reads of them, and changes by compare-and-set.

    <name>/<version>/...            as in a folder: a TensorFlow SavedModel, its manifest last
    .state/models/<name>.json       versions, numbers in use and aliases: `shared_state`
    .state/default.json             the default model

What readers see changes with the one object of a model's state. Objects that no state names are nobody's, unless they
were copied here by hand: a version with a manifest whose number was never given out.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import orjson

from service.errors import StorageUnavailable, VersionDamaged
from service.storage.digest import digest_bytes
from service.storage.object_storage import (
    ObjectChanged,
    ObjectExists,
    ObjectFacts,
    ObjectMissing,
    ObjectStorage,
)
from service.store.layout import ALIASES, COUNTER, DEFAULT, MANIFEST, is_name, parse_version
from service.store.manifest import Manifest
from service.store.shared_state import ModelState
from service.store.small_files import parse_object, pick_aliases, read_counter

logger = logging.getLogger(__name__)

T = TypeVar("T")

STATES = ".state"
MODELS = f"{STATES}/models"
# Behind all keys that begin with a dot, and before those of models.
BEFORE_MODELS = ".~"
# Writers of one model meet rarely; whoever loses so often has another problem.
MOST_CONFLICTS = 200
SAVED_MODEL = "saved_model.pb"


class StateDamaged(StorageUnavailable):
    """The object that says what readers see of a model is not what the service wrote."""


class SharedModels:
    """Safe for several threads, processes and machines. Everything raises StorageUnavailable."""

    def __init__(self, storage: ObjectStorage) -> None:
        self.storage = storage

    def list_states(self) -> dict[str, str]:
        """The models that have a state, each with what changes with it; the default's under ""."""
        states = {}
        for facts in self.storage.list_objects(STATES):
            name = facts.key.removeprefix(f"{MODELS}/").removesuffix(".json")
            if facts.key == f"{STATES}/{DEFAULT}":
                states[""] = facts.tag
            elif facts.key == state_key(name) and is_name(name):
                states[name] = facts.tag
        return states

    def list_versions(self) -> dict[str, set[int]]:
        """All versions whose manifests lie in the store, by model, whatever the states say of them."""
        return find_versions(self.storage.list_objects(after=BEFORE_MODELS))

    def list_numbers(self, name: str) -> set[int]:
        """As `list_versions`, of one model."""
        return find_versions(self.storage.list_objects(name)).get(name, set())

    def read(self, name: str) -> tuple[ModelState, str | None]:
        """A model's state, and its tag: None where it has none yet, so that what was copied here speaks for it."""
        try:
            content, tag = self.storage.read(state_key(name))
        except ObjectMissing:
            return self._read_copied(name), None
        try:
            return ModelState.from_json(content), tag
        except ValueError as error:
            raise StateDamaged(
                f"The {self.storage.place} holds a damaged {state_key(name)}: {error}. Restore an earlier state of it."
            ) from error

    def read_default(self) -> str | None:
        """The model that was made the default."""
        for key in (f"{STATES}/{DEFAULT}", DEFAULT):
            try:
                name = parse_object(self.storage.get(key)).get("name")
            except (ObjectMissing, ValueError):
                continue
            return name if isinstance(name, str) and is_name(name) else None
        return None

    def write_default(self, name: str) -> None:
        self.storage.put(f"{STATES}/{DEFAULT}", orjson.dumps({"name": name}))

    def change(self, name: str, step: Callable[[ModelState], tuple[ModelState, T]]) -> T:
        """Changes a model's state as nobody else does meanwhile.

        Args:
            step: what becomes of a state, and what is answered; called again where somebody was faster. What it raises
                leaves all as it was.
        """
        for _ in range(MOST_CONFLICTS):
            state, tag = self.read(name)
            changed, answer = step(state)
            if changed == state:
                return answer
            content = changed.renewed().to_json()
            try:
                if tag is None:
                    self.storage.put_new(state_key(name), content)
                else:
                    self.storage.put_if_match(state_key(name), content, tag)
            except (ObjectExists, ObjectChanged):
                time.sleep(random.uniform(0, 0.05))
                continue
            return answer
        raise StorageUnavailable(f"Model {name!r} is changed all the time by others. Send the request again.")

    def publish(
        self, folder: Path, name: str, origin: str | None, describe: Callable[[int], bytes], token: str
    ) -> tuple[int, bool]:
        """Publishes a folder as a version, whole or not at all. It may be called again after any failure.

        Args:
            folder: its files, without a manifest.
            origin: whose version it is; who has published one already gets that.
            describe: the manifest's content by the version's number.
            token: of this publication, the same when it is called again.

        Returns:
            The version's number, and whether it is this folder.
        """
        listed = self.list_numbers(name)

        def claim(state: ModelState) -> tuple[ModelState, tuple[int, bool]]:
            known = state.find(origin)
            if known is not None:
                return state, (known, False)
            claimed, number = state.claim(token, time.time(), listed)
            return claimed, (number, True)

        number, is_ours = self.change(name, claim)
        if not is_ours:
            return number, False
        manifest = describe(number)
        for path in _in_order(folder):
            self.storage.upload(path, f"{name}/{number}/{path.relative_to(folder).as_posix()}")
        self.storage.put(f"{name}/{number}/{MANIFEST}", manifest)
        digest = digest_bytes(manifest)

        def commit(state: ModelState) -> tuple[ModelState, tuple[int, bool]]:
            known = state.versions.get(number)
            if known is not None and known.manifest == digest:
                return state, (number, True)
            other = state.find(origin)
            if other is not None:
                # A run of the same job that was thought dead, or its successor.
                return state.remove([number]), (other, False)
            if not state.holds_claim(number, token):
                raise StorageUnavailable(
                    f"The number {number} of {name!r} was taken back while the version was uploaded. Train it again."
                )
            return state.commit(number, origin, digest), (number, True)

        decided = self.change(name, commit)
        if not decided[1]:
            self.drop(name, [number])
        return decided

    def read_manifest(self, name: str, number: int) -> Manifest:
        """A version's manifest. Raises VersionDamaged, if it is not one."""
        try:
            return Manifest.from_json(self.storage.get(f"{name}/{number}/{MANIFEST}"))
        except (ObjectMissing, ValueError) as error:
            raise VersionDamaged(f"Version {number} of {name!r} has no usable {MANIFEST} in the store.") from error

    def drop(self, name: str, numbers: Iterable[int]) -> None:
        """Removes the objects of versions that no state shows any more; what is left, repair finds."""
        for number in numbers:
            try:
                keys = [facts.key for facts in self.storage.list_objects(f"{name}/{number}")]
                # Without its manifest, nobody takes the rest for a version.
                self.storage.delete([key for key in keys if key.endswith(f"/{MANIFEST}")])
                self.storage.delete(keys)
            except StorageUnavailable as error:
                logger.warning("objects of %s/%d are left in the store: %s", name, number, error.message)

    def _read_copied(self, name: str) -> ModelState:
        """What the files of a folder that was copied here say."""
        last, aliases = 0, {}
        with suppress(ObjectMissing, ValueError):
            last = read_counter(parse_object(self.storage.get(f"{name}/{COUNTER}"))) or 0
        with suppress(ObjectMissing, ValueError):
            aliases = pick_aliases(parse_object(self.storage.get(f"{name}/{ALIASES}")))
        return ModelState(last_version=last, aliases=aliases)


def state_key(name: str) -> str:
    """Where a model's state lies."""
    return f"{MODELS}/{name}.json"


def _in_order(folder: Path) -> list[Path]:
    """A folder's files, the one last that tells TensorFlow Serving of a version."""
    files = [path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST]
    return sorted(files, key=lambda path: (path.name == SAVED_MODEL, path))


def find_versions(objects: Iterable[ObjectFacts]) -> dict[str, set[int]]:
    """The versions that have manifests, by model."""
    versions: dict[str, set[int]] = {}
    for facts in objects:
        name, _, rest = facts.key.partition("/")
        number, _, path = rest.partition("/")
        version = parse_version(number)
        if path == MANIFEST and version is not None and is_name(name):
            versions.setdefault(name, set()).add(version)
    return versions
