"""Uploads in an object store: what all machines see of them.

.uploads/facts/<name>.json             what it is, where its files lie: written last, by compare-and-set
.uploads/data/<name>/<generation>/..   its files; they never change
.uploads/used/<name>                   written now and then while it is used
"""

import logging
import re
import time
import uuid
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from service.datasets.dataset import read_record
from service.errors import StorageUnavailable
from service.storage.digest import digest_bytes, digest_file
from service.storage.object_storage import ObjectChanged, ObjectExists, ObjectFacts, ObjectMissing, ObjectStorage

logger = logging.getLogger(__name__)

ROOT = ".uploads"
FACTS = f"{ROOT}/facts"
DATA = f"{ROOT}/data"
USED = f"{ROOT}/used"
READERS = 8
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_GENERATION = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where an upload's files lie.

    Attributes:
        generation: changes with the content.
        files: SHA-256 of each, by its name.
        n_bytes: of all files.
        made_ns: when it was made, which a replacement leaves; lists are ordered by it.
        facts: of `Dataset`; None for a panel that is kept for jobs and never listed.
    """

    generation: str
    files: dict[str, str]
    n_bytes: int
    made_ns: int
    facts: dict[str, Any] | None

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))


class DamagedUpload(Exception):
    """The objects of an upload are not what was kept."""


class SharedUploads:
    """Safe for several threads, processes and machines. Everything raises StorageUnavailable."""

    def __init__(self, storage: ObjectStorage) -> None:
        self.storage = storage
        self._known: dict[str, tuple[str, Pointer]] = {}

    def find(self, name: str) -> tuple[Pointer, str]:
        """An upload, and the tag of its state. Raises ObjectMissing, DamagedUpload."""
        content, tag = self.storage.read(f"{FACTS}/{name}.json")
        return _parse(name, content), tag

    def find_state(self, name: str) -> tuple[Pointer | None, str]:
        """As `find`; None for an upload whose facts are damaged. Raises ObjectMissing."""
        content, tag = self.storage.read(f"{FACTS}/{name}.json")
        try:
            return _parse(name, content), tag
        except DamagedUpload:
            return None, tag

    def list_names(self) -> list[str]:
        """The names of all uploads, damaged or not."""
        listed = self.storage.list_objects(FACTS)
        return [facts.key.removeprefix(f"{FACTS}/").removesuffix(".json") for facts in listed]

    def list_all(self) -> dict[str, Pointer]:
        """All uploads by name; damaged ones are left out."""
        listed = {
            facts.key.removeprefix(f"{FACTS}/").removesuffix(".json"): facts.tag
            for facts in self.storage.list_objects(FACTS)
        }
        known = self._known
        new = [name for name, tag in listed.items() if name not in known or known[name][0] != tag]

        def read(name: str) -> Pointer | None:
            try:
                return self.find(name)[0]
            except (ObjectMissing, DamagedUpload):
                return None

        with ThreadPoolExecutor(READERS) as readers:
            pointers = dict(zip(new, readers.map(read, new), strict=True))
        kept = {name: known[name] for name in listed if name not in pointers}
        self._known = kept | {name: (listed[name], pointer) for name, pointer in pointers.items() if pointer}
        return {name: pointer for name, (_, pointer) in self._known.items()}

    def put(
        self,
        name: str,
        folder: Path,
        facts: dict[str, Any] | None,
        made_ns: int,
        replaced: tuple[Pointer | None, str] | None = None,
    ) -> str:
        """Keeps a folder's files as an upload. Returns its generation.

        Args:
            replaced: what it takes the place of, as `find_state` gave it; None for a new one.

        Raises:
            ObjectExists: there is one of that name.
            ObjectChanged: what it would replace is not what it was.
        """
        generation = uuid.uuid4().hex
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        files = {path.name: digest_file(path) for path in paths}
        n_bytes = sum(path.stat().st_size for path in paths)
        content = Pointer(generation, files, n_bytes, made_ns, facts).to_json()
        key = f"{FACTS}/{name}.json"
        try:
            for path in paths:
                self.storage.upload(path, f"{DATA}/{name}/{generation}/{path.name}")
        except (StorageUnavailable, OSError):
            self._drop(name, generation)
            raise
        try:
            # Where the answer to this is lost, the facts may name the files: `remove_orphans` finds those that are not.
            if replaced is None:
                self.storage.put_new(key, content)
            else:
                self.storage.put_if_match(key, content, replaced[1])
        except (ObjectExists, ObjectChanged):
            self._drop(name, generation)
            raise
        if replaced is not None and replaced[0] is not None:
            self._drop(name, replaced[0].generation)
        return generation

    def copy(self, name: str, pointer: Pointer, files: Collection[str], target: str, marker: str) -> None:
        """Keeps some files of an upload under another name too, never listed, with an empty file that marks it.

        Raises:
            ObjectMissing: the files are not there.
            ObjectExists: the other name is taken.
        """
        generation = uuid.uuid4().hex
        kept = {file: pointer.files[file] for file in files} | {marker: digest_bytes(b"")}
        content = Pointer(generation, kept, pointer.n_bytes, time.time_ns(), None).to_json()
        folder = f"{DATA}/{target}/{generation}"
        try:
            for file in files:
                self.storage.copy(f"{DATA}/{name}/{pointer.generation}/{file}", f"{folder}/{file}")
            self.storage.put(f"{folder}/{marker}", b"")
            self.storage.put_new(f"{FACTS}/{target}.json", content)
        except (ObjectMissing, ObjectExists):
            self._drop(target, generation)
            raise

    def fetch(self, name: str, pointer: Pointer, folder: Path) -> None:
        """Brings an upload's files into a folder. Raises DamagedUpload: they are not what was kept."""
        for file, expected in pointer.files.items():
            try:
                self.storage.download(f"{DATA}/{name}/{pointer.generation}/{file}", folder / file)
            except ObjectMissing as error:
                raise DamagedUpload(f"lacks {file}") from error
            if digest_file(folder / file) != expected:
                raise DamagedUpload(f"has a {file} that is not what was kept")

    def delete(self, name: str) -> None:
        """Removes an upload, damaged or not. Raises ObjectMissing."""
        self.storage.get(f"{FACTS}/{name}.json")
        self.storage.delete([f"{FACTS}/{name}.json", f"{USED}/{name}"])
        self._drop(name)

    def touch(self, name: str) -> None:
        """Says that an upload is in use."""
        self.storage.put(f"{USED}/{name}", b"")

    def last_used(self) -> dict[str, float]:
        """When uploads were made or used last, in seconds since 1970, by name."""
        used: dict[str, float] = {}
        for prefix in (FACTS, USED):
            for facts in self.storage.list_objects(prefix):
                name = facts.key.removeprefix(f"{prefix}/").removesuffix(".json")
                used[name] = max(used.get(name, 0.0), facts.modified_at)
        return used

    def find_orphans(self, live: Mapping[str, str | None]) -> dict[str, list[ObjectFacts]]:
        """Objects that no upload names, such as interrupted ones and deletions leave, by name and generation.

        Args:
            live: the generation of each upload; None for one whose facts are damaged, of which all may be needed.
        """
        orphans: dict[str, list[ObjectFacts]] = {}
        for facts in self.storage.list_objects(DATA):
            name, _, rest = facts.key.removeprefix(f"{DATA}/").partition("/")
            generation = rest.partition("/")[0]
            if live.get(name, "") not in (generation, None):
                orphans.setdefault(f"{name}/{generation}", []).append(facts)
        return orphans

    def remove_orphans(self, older_than_seconds: float) -> None:
        """Removes what `find_orphans` finds, where it is no upload in progress, and marks of uploads that are gone."""
        live: dict[str, str | None] = dict.fromkeys(self.list_names())
        live |= {name: pointer.generation for name, pointer in self.list_all().items()}
        oldest = time.time() - older_than_seconds
        for objects in self.find_orphans(live).values():
            if max(facts.modified_at for facts in objects) < oldest:
                self.storage.delete([facts.key for facts in objects])
        marks = [facts for facts in self.storage.list_objects(USED) if facts.modified_at < oldest]
        self.storage.delete([facts.key for facts in marks if facts.key.removeprefix(f"{USED}/") not in live])

    def measure(self) -> dict[str, int]:
        """The bytes of all uploads by name, also of those that are being uploaded, or of which a crash left some."""
        sizes: dict[str, int] = {}
        for facts in self.storage.list_objects(DATA):
            name = facts.key.removeprefix(f"{DATA}/").partition("/")[0]
            sizes[name] = sizes.get(name, 0) + facts.n_bytes
        return sizes

    def _drop(self, name: str, generation: str = "") -> None:
        """Removes the files of a generation, or of all; what is left, repair finds."""
        try:
            folder = f"{DATA}/{name}/{generation}"
            self.storage.delete([facts.key for facts in self.storage.list_objects(folder)])
        except StorageUnavailable as error:
            logger.warning("objects of the upload %s are left in the store: %s", name, error.message)


def _parse(name: str, content: bytes) -> Pointer:
    """An upload's facts; what a later release writes beside them is left out. Raises DamagedUpload."""
    try:
        record = orjson.loads(content)
        pointer = Pointer(**{field.name: record[field.name] for field in fields(Pointer)})
        is_sound = (
            _GENERATION.match(pointer.generation) is not None
            # They become files of this machine.
            and all(_FILE.match(file) and _DIGEST.match(digest) for file, digest in pointer.files.items())
            and all(type(number) is int and 0 <= number < 2**63 for number in (pointer.n_bytes, pointer.made_ns))
            and (pointer.facts is None or read_record(pointer.facts).id == name)
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DamagedUpload("has unreadable facts") from error
    if not is_sound:
        raise DamagedUpload("has facts that the service doesn't write")
    return pointer
