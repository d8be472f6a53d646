"""Publishes the versions that lie in the package into a store that lacks them."""

import logging
import shutil
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from service.domain.moments import write_moment
from service.errors import StorageUnavailable
from service.storage.regular_files import read_regular
from service.store.layout import MANIFEST
from service.store.manifest import Manifest
from service.store.model_store import FolderStore, ModelStore
from service.store.publish import lacks_packaged
from service.store.small_files import MOST_MANIFEST_BYTES

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[1] / "pretrained"


def publish_pretrained(store: ModelStore | Path, folder: Path = FOLDER) -> list[Manifest]:
    """Publishes each model of the package that the store never had, or has from an earlier package.

    One that somebody deleted stays away.

    Returns:
        What was published. A store that can't be written gets nothing, and the log says so.
    """
    store = FolderStore(store) if isinstance(store, Path) else store
    published = []
    for source in sorted(path.parent for path in folder.glob(f"*/{MANIFEST}")):
        manifest = Manifest.from_json(read_regular(source / MANIFEST, MOST_MANIFEST_BYTES))
        if isinstance(store, FolderStore) and not lacks_packaged(store.root, manifest):
            continue
        staged: Path | None = None
        try:
            # Servers on other machines may start at the same moment.
            staged = store.staging(f"pretrained-{manifest.name}-{uuid.uuid4().hex}")
            shutil.copytree(source, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
            now = write_moment(datetime.now(UTC))
            added = store.publish_packaged(staged, replace(manifest, created_at=now))
            published += [] if added is None else [added]
        except (OSError, StorageUnavailable) as error:
            logger.warning("the model %r of the package can't be put into the store: %s", manifest.name, error)
        finally:
            if staged is not None:
                shutil.rmtree(staged, ignore_errors=True)
    return published
