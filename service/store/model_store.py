"""Where a job takes models from and publishes them to: a folder, or an object store that many machines share."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from service.storage.finding import Repair
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from service.store.publish import find_by_job, publish, publish_packaged, staging, sweep
from service.store.repair import check_folder

Stop = Callable[[], None]


def go_on() -> None:
    """Stops nothing."""


class ModelStore(Protocol):
    """What jobs, and whoever else publishes, know of a store. Everything raises StorageUnavailable."""

    @property
    def root(self) -> Path:
        """The folder that is read: the store itself, or this machine's copy."""

    def catalog(self) -> Catalog:
        """A catalog of its own for whoever asks, not read yet."""

    def prepare(self, name: str, raise_if_stopped: Stop = go_on) -> None:
        """Sees to it that what the folder has of a model is what the store has now.

        Args:
            raise_if_stopped: called while it waits for a store that is away; what it raises ends the wait.
        """

    def staging(self, job_id: str) -> Path:
        """An empty folder for what a job will publish: as `service.store.publish.staging`."""

    def find_by_job(self, name: str, job_id: str) -> Manifest | None:
        """The version that a job has published already, if it has; after `prepare`."""

    def publish(self, staged: Path, manifest: Manifest, raise_if_stopped: Stop = go_on) -> Manifest:
        """Turns a staged folder into the next version, or gives that which the same job has published before."""

    def publish_packaged(self, staged: Path, manifest: Manifest) -> Manifest | None:
        """As `publish`, of a version that lies in the package, if the store lacks it; else None."""

    def promote(self, published: Manifest, raise_if_stopped: Stop = go_on) -> None:
        """Makes a version the champion, unless a later one is that already."""

    def sweep(self) -> None:
        """Removes what interrupted jobs left on this machine."""

    def check(self, repair: Repair) -> int:
        """Checks everything, and mends what `repair` wants mended. Returns how many versions there are."""


class FolderStore:
    """A store that is a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def catalog(self) -> Catalog:
        return Catalog(self.root)

    def prepare(self, name: str, raise_if_stopped: Stop = go_on) -> None:
        """The folder is the store."""

    def staging(self, job_id: str) -> Path:
        return staging(self.root, job_id)

    def find_by_job(self, name: str, job_id: str) -> Manifest | None:
        return find_by_job(self.root, name, job_id)

    def publish(self, staged: Path, manifest: Manifest, raise_if_stopped: Stop = go_on) -> Manifest:
        return publish(self.root, staged, manifest)

    def publish_packaged(self, staged: Path, manifest: Manifest) -> Manifest | None:
        return publish_packaged(self.root, staged, manifest)

    def promote(self, published: Manifest, raise_if_stopped: Stop = go_on) -> None:
        self.catalog().promote(published)

    def sweep(self) -> None:
        sweep(self.root)

    def check(self, repair: Repair) -> int:
        return check_folder(self.root, repair)
