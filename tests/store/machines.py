"""Machines that share a store in an object store: each with a copy of its own."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.storage.object_storage import ObjectStorage
from service.store.manifest import Manifest
from service.store.shared_catalog import SharedCatalog
from service.store.shared_store import SharedStore
from tests.store.test_store import make_manifest

PATIENCE_SECONDS = 60.0


class Machine:
    """One that publishes, and serves what others publish."""

    def __init__(self, url: str, folder: Path) -> None:
        self.store = SharedStore(url, folder)
        self.catalog: SharedCatalog = self.store.catalog()

    def publish(
        self, name: str = "demo", *, job_id: str | None = None, content: bytes = b"w", **fields: Any
    ) -> Manifest:
        job_id = job_id or uuid.uuid4().hex
        folder = self.store.staging(f"{job_id}-{uuid.uuid4().hex[:8]}")
        (folder / "variables").mkdir()
        (folder / "saved_model.pb").write_bytes(b"graph")
        (folder / "variables" / "variables.index").write_bytes(content * 1000)
        return self.store.publish(folder, make_manifest(name, job_id=job_id, **fields))

    def look(self) -> SharedCatalog:
        """The catalog after a look at the object store."""
        self.catalog.mirror.refresh(deep=True)
        self.catalog.refresh()
        return self.catalog

    def numbers(self, name: str = "demo") -> list[int]:
        entry = {entry.name: entry for entry in self.look().models()}.get(name)
        return [] if entry is None else [manifest.version for manifest in entry.versions]


def objects_of(url: str) -> list[str]:
    return [facts.key for facts in ObjectStorage(url).list_objects()]


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
    """Waits; returns how long."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - started
