"""The folder of uploads: a panel and its facts for each, written atomically."""

import contextlib
import hashlib
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Dataset, Finding
from service.datasets.panel_files import (
    DAMAGES,
    FACTS,
    Outline,
    load_facts,
    load_outline,
    load_panel,
    load_series,
    write_facts,
    write_panel,
)
from service.datasets.quota import INLINE, RESERVED, Quota
from service.datasets.quota import STAGING as STAGING
from service.domain.panel import Panel
from service.errors import DatasetDamaged, DatasetNotFound, IdempotencyKeyReused, InvalidRequest, StorageUnavailable
from service.storage.disk_errors import is_disk_error, make_storage_error, storing
from service.storage.durability import flush_folder
from service.storage.private_files import make_folder

logger = logging.getLogger(__name__)

# The store in messages to clients.
PLACE = "folder of uploads"
# What lies there longer belongs to a process that died.
LONGEST_UPLOAD_SECONDS = 6 * 3600
_ID = re.compile(r"(inline-)?[0-9a-f]{32}\Z")
_CURSOR = re.compile(r"[0-9]{1,19}-[0-9a-f]{32}\Z")


class DatasetStore:
    """Uploads on disk. Safe for several threads and processes; everything here does file I/O.

    Whatever the disk refuses is a StorageUnavailable.
    """

    def __init__(self, root: Path, quota_bytes: int | None = None) -> None:
        """Args: `quota_bytes` is what all may take together, those in progress included; None for no limit."""
        self.root = root
        self.quota = Quota(root, quota_bytes)

    def add(self, panel: Panel, audit: Iterable[Finding] = (), *, key: str | None = None) -> Dataset:
        """Keeps a panel as a new data set; `key` is as of `adopt`. Raises UploadsFull, IdempotencyKeyReused."""
        scratch = self.scratch()
        try:
            with storing(PLACE):
                write_panel(scratch, panel, audit, self.quota)
            return self.adopt(scratch, key)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def adopt(self, scratch: Path, key: str | None = None) -> Dataset:
        """Makes a folder of `scratch`, filled by `write_panel`, a new data set.

        Args:
            key: whoever sends the same series with the same key again gets the data set that is there.

        Raises:
            IdempotencyKeyReused: the key came with other series before.
        """
        dataset_id = uuid.uuid4().hex if key is None else name_upload(key)
        with storing(PLACE):
            dataset = replace(load_facts(scratch), id=dataset_id)
        if key is not None and (known := self._find_same(dataset, scratch)) is not None:
            return known
        try:
            with storing(PLACE):
                write_facts(scratch, dataset)
                self._publish(scratch, dataset_id)
        except StorageUnavailable:
            # An earlier attempt, which its sender had given up, was kept meanwhile.
            known = None if key is None else self._find_same(dataset, scratch)
            if known is None:
                raise
            return known
        return dataset

    def _find_same(self, dataset: Dataset, scratch: Path) -> Dataset | None:
        """The data set that has the id already. Raises IdempotencyKeyReused if it holds something else."""
        try:
            known = self.get(dataset.id)
            is_same = replace(known, created_at=dataset.created_at) == dataset
            # Facts may be the same of other values; both are read only where they are.
            is_same = is_same and self.load(dataset.id).digest() == load_panel(scratch).digest()
        except DatasetNotFound:
            return None
        if not is_same:
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used with other series. Use a new key for a new upload."
            )
        self.touch(dataset.id)
        return known

    def keep(self, panel: Panel) -> str:
        """Keeps a panel that came with a request, once for all requests with the same one. Returns its id.

        Raises:
            UploadsFull.
        """
        panel_id = name_inline(panel.digest())
        if self.touch(panel_id):
            return panel_id
        scratch = self.scratch()
        try:
            with storing(PLACE):
                write_panel(scratch, panel, (), self.quota)
                # Whatever is listed has facts; these are not for anybody to see.
                (scratch / FACTS).unlink()
                self._publish(scratch, panel_id)
        except StorageUnavailable:
            # Another request has just kept the same panel.
            if not self.touch(panel_id):
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return panel_id

    def load(self, dataset_id: str) -> Panel:
        """The panel of a data set, or of `keep`. What is read is not about to expire.

        Raises:
            DatasetNotFound, DatasetDamaged.
        """
        with self._reading(dataset_id) as folder:
            self.touch(dataset_id)
            return load_panel(folder)

    def outline(self, dataset_id: str) -> Outline:
        """What `load` gives, without the values. Raises as `load`."""
        with self._reading(dataset_id) as folder:
            self.touch(dataset_id)
            return load_outline(folder)

    def load_series(self, dataset_id: str, outline: Outline, places: Collection[int]) -> list[NDArray[np.float64]]:
        """The values [time] of some series of a data set, at ascending places of its outline. Raises as `load`."""
        with self._reading(dataset_id) as folder:
            return load_series(folder, outline, places)

    def get(self, dataset_id: str) -> Dataset:
        """A data set's facts. Raises DatasetNotFound, DatasetDamaged."""
        with self._reading(dataset_id) as folder:
            return load_facts(folder)

    def page(self, *, limit: int = 50, cursor: str | None = None) -> tuple[list[Dataset], str | None]:
        """Data sets, newest first, and the cursor of the next page. Damaged ones are left out.

        Raises:
            InvalidRequest: the cursor is not one of ours.
        """
        if cursor is not None and not _CURSOR.match(cursor):
            raise InvalidRequest.at(
                "/cursor",
                "bad_cursor",
                "The cursor is invalid: use the `next_cursor` of a list, or leave it out to start from the beginning.",
            )
        keyed = []
        for name in self._list():
            path = self.root / name / FACTS
            # Deleted meanwhile, or no data set.
            with contextlib.suppress(OSError):
                # Facts are written once; reading a data set touches its folder alone.
                keyed.append((f"{path.stat().st_mtime_ns:019d}-{name}", path))
        before = [(key, path) for key, path in sorted(keyed, reverse=True) if cursor is None or key < cursor]
        datasets = []
        for _, path in before[:limit]:
            try:
                datasets.append(load_facts(path.parent))
            except FileNotFoundError:
                continue
            except (OSError, *DAMAGES):
                logger.warning("the data set %s is damaged", path.parent.name)
        return datasets, before[limit - 1][0] if len(before) > limit else None

    def delete(self, dataset_id: str) -> None:
        """Removes a data set. Raises DatasetNotFound."""
        self._remove(self._folder(dataset_id), dataset_id)

    def expire(self, older_than_seconds: float) -> None:
        """Removes uploads that were not read for so long, and remains of interrupted ones."""
        staging_limit = min(older_than_seconds, LONGEST_UPLOAD_SECONDS)
        for folder in [*self.root.glob("[0-9a-z]*"), *(self.root / STAGING).glob("*")]:
            limit = staging_limit if folder.parent.name == STAGING else older_than_seconds
            try:
                if time.time() - folder.stat().st_mtime >= limit:
                    self._remove(folder, folder.name)
            except (FileNotFoundError, DatasetNotFound):  # another process was faster
                continue
            except StorageUnavailable:  # said in the log; the others may still go
                continue

    def scratch(self) -> Path:
        """An empty folder, in the same file system, for what an upload needs until it is kept. Its user removes it."""
        folder = self.root / STAGING / uuid.uuid4().hex
        with storing(PLACE):
            for made in (self.root, folder.parent, folder):
                make_folder(made)
        return folder

    @contextlib.contextmanager
    def _reading(self, dataset_id: str) -> Iterator[Path]:
        """The folder of a data set; what its files do wrong inside is told as the data set's fault."""
        folder = self._folder(dataset_id)
        try:
            yield folder
        except OSError as error:
            raise _explain(dataset_id, error) from error
        except DAMAGES as error:
            raise _damaged(dataset_id) from error

    def _list(self) -> list[str]:
        """The names of uploads."""
        try:
            names = [path.name for path in self.root.iterdir()]
            return [name for name in names if _ID.match(name) and not name.startswith(INLINE)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise make_storage_error(PLACE, error.errno or 0, error) from error

    def _publish(self, scratch: Path, name: str) -> None:
        """Shows a folder whole, and durably. Raises OSError where the name is taken."""
        flush_folder(scratch)
        with self.quota.locked():
            (scratch / RESERVED).unlink(missing_ok=True)
            scratch.rename(self.root / name)
        flush_folder(self.root)

    def _folder(self, dataset_id: str) -> Path:
        if not _ID.match(dataset_id):
            raise _missing(dataset_id)
        return self.root / dataset_id

    def touch(self, dataset_id: str) -> bool:
        """Keeps a data set from expiring, as if it had been read. Returns whether it is there."""
        try:
            os.utime(self._folder(dataset_id))
        except OSError:
            return False
        return True

    def _remove(self, folder: Path, dataset_id: str) -> None:
        trash = self.root / STAGING / f"deleted-{uuid.uuid4().hex}"
        with storing(PLACE):
            make_folder(trash.parent)
            try:
                # One rename hides it whole; what a crash leaves of the rest is swept later.
                folder.rename(trash)
            except FileNotFoundError as error:
                raise _missing(dataset_id) from error
        shutil.rmtree(trash, ignore_errors=True)


def name_upload(key: str) -> str:
    """The id of the data set that was kept under a key."""
    return hashlib.sha256(f"upload {key}".encode()).hexdigest()[:32]


def name_inline(digest: str) -> str:
    """The id under which a panel with this digest is kept for jobs."""
    return INLINE + digest[:32]


def _explain(dataset_id: str, error: OSError) -> DatasetNotFound | StorageUnavailable:
    """Why a data set can't be read."""
    if isinstance(error, FileNotFoundError):
        return _missing(dataset_id)
    return make_storage_error(PLACE, error.errno or 0, error) if is_disk_error(error.errno) else _damaged(dataset_id)


def _damaged(dataset_id: str) -> DatasetDamaged:
    return DatasetDamaged(
        f"The data set {dataset_id!r} is damaged on the server's disk. Delete it and upload it again."
    )


def _missing(dataset_id: str) -> DatasetNotFound:
    shown = dataset_id if len(dataset_id) <= 60 else dataset_id[:60] + "..."
    return DatasetNotFound(f"There is no data set {shown!r}. It may have expired; GET /datasets lists all data sets.")
