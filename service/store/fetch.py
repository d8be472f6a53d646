"""Brings versions from the object store to this machine, compared with the checksums of their publication."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.errors import VersionDamaged
from service.storage.digest import digest_bytes, digest_file
from service.storage.object_storage import ObjectMissing, ObjectStorage
from service.storage.regular_files import read_regular
from service.store.folder_entries import find_missing
from service.store.layout import MANIFEST, model_folder, open_up
from service.store.manifest import Manifest
from service.store.small_files import MOST_MANIFEST_BYTES


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of the object store; the SHA-256 of its manifest, where it was published and not copied there."""

    name: str
    number: int
    digest: str | None

    @property
    def entry(self) -> str:
        return f"{self.name}/{self.number}"


class Fetch:
    """Fetches versions. What it finds to be wrong is a VersionDamaged, whose message is a clause about the version."""

    def __init__(self, storage: ObjectStorage, root: Path) -> None:
        self._storage = storage
        self._root = root
        # The manifests that were compared, by what changes with their files.
        self._compared: dict[str, tuple[object, str | None]] = {}

    def forget(self) -> None:
        """Looks at all files again."""
        self._compared.clear()

    def is_here(self, version: StoredVersion) -> bool:
        """Whether a version is on this machine: its manifest, and files of the names in it."""
        folder = model_folder(self._root, version.name) / str(version.number)
        try:
            status = (folder / MANIFEST).stat()
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self._compared.get(version.entry) == (signature, version.digest):
                return True
            content = read_regular(folder / MANIFEST, MOST_MANIFEST_BYTES)
            manifest = Manifest.from_json(content)
        except (OSError, ValueError):
            return False
        if version.digest not in (None, digest_bytes(content)) or find_missing(str(folder), manifest) is not None:
            return False
        self._compared[version.entry] = (signature, version.digest)
        return True

    def fetch(self, version: StoredVersion, scratch: Path) -> Path:
        """A folder with the version in it. Raises VersionDamaged, StorageUnavailable, OSError."""
        staged = scratch / "version"
        staged.mkdir()
        content, manifest = self._read_manifest(version)
        for path, expected in manifest.files.items():
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            self._download(version.entry, path, staged / path, expected)
        (staged / MANIFEST).write_bytes(content)
        return staged

    def check(self, version: StoredVersion, scratch: Path, give_up: Callable[[], bool] = lambda: False) -> None:
        """Compares all of a version's objects with its manifest. Raises as `fetch`."""
        _, manifest = self._read_manifest(version)
        for path, expected in manifest.files.items():
            self._download(version.entry, path, scratch / "object", expected, give_up)

    def read_whole(self, version: StoredVersion) -> Manifest | None:
        """The manifest of this machine's copy, if all of its files are what was published."""
        folder = model_folder(self._root, version.name) / str(version.number)
        try:
            content = read_regular(folder / MANIFEST, MOST_MANIFEST_BYTES)
            manifest = Manifest.from_json(content)
        except (OSError, ValueError):
            return None
        is_whole = version.digest in (None, digest_bytes(content)) and bool(manifest.files)
        is_whole = is_whole and all(_digest(folder / path) == digest for path, digest in manifest.files.items())
        return manifest if is_whole else None

    def mend(self, manifest: Manifest, scratch: Path) -> list[str]:
        """Replaces those files of a version that are not what was published. Returns which. Raises as `fetch`."""
        folder = model_folder(self._root, manifest.name) / str(manifest.version)
        mended = []
        for path, expected in manifest.files.items():
            if _digest(folder / path) != expected:
                self._download(f"{manifest.name}/{manifest.version}", path, scratch / "file", expected)
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                open_up(scratch, folder.parent)
                (scratch / "file").replace(folder / path)
                mended.append(path)
        return mended

    def _read_manifest(self, version: StoredVersion) -> tuple[bytes, Manifest]:
        try:
            content = self._storage.get(f"{version.entry}/{MANIFEST}")
        except ObjectMissing:
            raise VersionDamaged(f"lacks its {MANIFEST}") from None
        if version.digest not in (None, digest_bytes(content)):
            raise VersionDamaged(f"has another {MANIFEST} than was published")
        try:
            manifest = Manifest.from_json(content)
        except ValueError as error:
            raise VersionDamaged(f"has an unusable {MANIFEST}: {error}") from error
        if (manifest.name, manifest.version) != (version.name, version.number):
            raise VersionDamaged(f"has the {MANIFEST} of {manifest.name}/{manifest.version}")
        return content, manifest

    def _download(
        self, entry: str, path: str, target: Path, expected: str, give_up: Callable[[], bool] = lambda: False
    ) -> None:
        try:
            self._storage.download(f"{entry}/{path}", target, give_up)
        except ObjectMissing:
            raise VersionDamaged(f"lacks {path}") from None
        if digest_file(target) != expected:
            raise VersionDamaged(f"has a {path} that is not what was published")


def _digest(path: Path) -> str | None:
    try:
        return digest_file(path)
    except OSError:
        return None
