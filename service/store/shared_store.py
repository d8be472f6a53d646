"""A store that many machines share: an object store, and this machine's copy of it."""

import logging
import uuid
from dataclasses import replace
from pathlib import Path

from service.errors import StorageUnavailable
from service.storage.finding import Repair
from service.storage.object_storage import ObjectStorage
from service.storage.persistence import PATIENCE_SECONDS, persist
from service.store.layout import MANIFEST
from service.store.manifest import Manifest
from service.store.mirror import Mirror
from service.store.model_store import FolderStore, ModelStore, Stop, go_on
from service.store.publish import digest_files, find_by_job, lacks_packaged, staging, sweep
from service.store.shared_catalog import SharedCatalog
from service.store.shared_models import SharedModels
from service.store.shared_repair import check_shared

logger = logging.getLogger(__name__)

# A look comes again in a second; who reads meanwhile is not to wait long for a store that is away.
LOOK_RETRY_SECONDS = 2.0
LOOK_REQUEST_SECONDS = 20.0
# A publication is tried again as a whole, and a job that is cancelled meanwhile is to notice.
PUBLISH_RETRY_SECONDS = 3.0


def open_store(location: Path | str, folder: Path) -> ModelStore:
    """The store in a folder, or at an object store's URL, of which this machine keeps a copy in `folder`."""
    return FolderStore(location) if isinstance(location, Path) else SharedStore(location, folder)


class SharedStore:
    """A store in an object store. An outage makes a job wait, not fail."""

    def __init__(self, url: str, root: Path) -> None:
        self.root = root
        self._models = SharedModels(ObjectStorage(url, retry_seconds=PUBLISH_RETRY_SECONDS))
        looking = ObjectStorage(url, retry_seconds=LOOK_RETRY_SECONDS, request_seconds=LOOK_REQUEST_SECONDS)
        self._mirror = Mirror(SharedModels(looking), root)

    def catalog(self) -> SharedCatalog:
        return SharedCatalog(self._mirror)

    def prepare(self, name: str, raise_if_stopped: Stop = go_on) -> None:
        persist(lambda: self._mirror.refresh({name}), raise_if_stopped)

    def staging(self, job_id: str) -> Path:
        return staging(self.root, job_id)

    def find_by_job(self, name: str, job_id: str) -> Manifest | None:
        return find_by_job(self.root, name, job_id)

    def publish(self, staged: Path, manifest: Manifest, raise_if_stopped: Stop = go_on) -> Manifest:
        return self._publish(staged, manifest, manifest.job_id, raise_if_stopped, PATIENCE_SECONDS)

    def publish_packaged(self, staged: Path, manifest: Manifest) -> Manifest | None:
        self._mirror.refresh({manifest.name})
        if not lacks_packaged(self.root, manifest):
            return None
        # Machines that start at the same moment publish it once.
        return self._publish(staged, manifest, f"package {manifest.data.get('digest')}", go_on, 0.0)

    def promote(self, published: Manifest, raise_if_stopped: Stop = go_on) -> None:
        persist(lambda: self.catalog().promote(published), raise_if_stopped)

    def sweep(self) -> None:
        sweep(self.root)

    def check(self, repair: Repair) -> int:
        return check_shared(self._mirror, repair)

    def _publish(
        self, staged: Path, manifest: Manifest, origin: str | None, raise_if_stopped: Stop, patience_seconds: float
    ) -> Manifest:
        ready = replace(manifest, files=digest_files(staged))
        token = uuid.uuid4().hex

        def describe(number: int) -> Manifest:
            return replace(ready, version=number)

        def publish() -> Manifest:
            raise_if_stopped()
            number, is_ours = self._models.publish(
                staged, manifest.name, origin, lambda number: describe(number).to_json(), token
            )
            return describe(number) if is_ours else self._models.read_manifest(manifest.name, number)

        published = persist(publish, raise_if_stopped, patience_seconds)
        # It is published: what this machine's copy lacks is fetched later.
        try:
            if published == describe(published.version):
                (staged / MANIFEST).write_bytes(published.to_json())
                self._mirror.adopt(staged, published)
            self._mirror.refresh({published.name})
        except (OSError, StorageUnavailable) as error:
            logger.warning("%s/%d is published, but not here yet: %s", published.name, published.version, error)
        return published
