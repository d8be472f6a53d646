"""Uploads: kept, replaced, removed and expired. Reading: `service.datasets.dataset_reader`."""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from service.datasets.dataset import Dataset, Finding
from service.datasets.dataset_folder import PLACE
from service.datasets.dataset_ids import name_inline, name_upload, reused
from service.datasets.dataset_reader import FORECASTS, DatasetReader
from service.datasets.panel_files import FACTS, load_facts, write_facts, write_panel
from service.datasets.quota import INLINE, RESERVED, STAGING
from service.datasets.replacement import RETIRED, is_forgotten, succeed
from service.domain.panel import Panel
from service.errors import DatasetDamaged, DatasetNotFound, StorageUnavailable
from service.storage.disk_errors import storing
from service.storage.durability import flush_file, flush_folder
from service.storage.exchange import exchange

# What lies in the staging folder longer belongs to a process that died.
LONGEST_UPLOAD_SECONDS = 6 * 3600


class DatasetStore(DatasetReader):
    """Uploads on disk. Safe for several threads and processes; everything here does file I/O.

    Whatever the disk refuses is a StorageUnavailable.
    """

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
        if key is not None and (known := self._find_same(dataset)) is not None:
            return known
        try:
            with storing(PLACE):
                write_facts(scratch, dataset)
                self._publish(scratch, dataset_id)
        except StorageUnavailable:
            # An earlier attempt, which its sender had given up, was kept meanwhile.
            known = None if key is None else self._find_same(dataset)
            if known is None:
                raise
            return known
        return dataset

    def adopt_as(self, scratch: Path, dataset: Dataset, dataset_id: str) -> None:
        """Makes a folder of `scratch` with forecasts the data set of an id, unless there is one already."""
        dataset = replace(dataset, id=dataset_id, has_forecasts=True)
        try:
            with storing(PLACE):
                write_facts(scratch, dataset)
                flush_file(scratch / FORECASTS)
                self._publish(scratch, dataset_id)
        except StorageUnavailable:
            # Another run of the same job was faster.
            if not self.touch(dataset_id):
                raise

    def _find_same(self, dataset: Dataset) -> Dataset | None:
        """The data set that has the id already. Raises IdempotencyKeyReused if it holds something else."""
        try:
            known = self.get(dataset.id)
            if known.digest is None:
                # Of an earlier release.
                known = replace(known, digest=self.load(dataset.id).digest())
        except DatasetNotFound:
            return None
        if known.digest != dataset.digest or known.audit != dataset.audit:
            raise reused()
        self.touch(dataset.id)
        return known

    def add_in_place_of(
        self,
        dataset_id: str,
        panel: Panel,
        audit: Iterable[Finding] = (),
        *,
        key: str | None = None,
        tags: Collection[str] | None = None,
    ) -> Dataset:
        """Replaces a data set by a panel, as `replace`. Raises UploadsFull as well."""
        scratch = self.scratch()
        try:
            with storing(PLACE):
                write_panel(scratch, panel, audit, self.quota)
            return self.replace(dataset_id, scratch, key=key, tags=tags)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

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

    def replace(
        self, dataset_id: str, scratch: Path, *, key: str | None = None, tags: Collection[str] | None = None
    ) -> Dataset:
        """Puts a folder of `scratch`, filled by `write_panel`, in the place of a data set: readers see old or new.

        The panel that was there is kept for jobs that are to read it, until `drop_retired`.

        Args:
            key: whoever sends the same series with the same key again changes nothing.
            tags: of `Dataset.tag`: it is replaced only if it still has one of them.

        Returns:
            The facts.

        Raises:
            DatasetNotFound, IdempotencyKeyReused, PreconditionFailed.
        """
        folder = self._folder(dataset_id)
        with storing(PLACE):
            new = load_facts(scratch)
        with storing(PLACE), self.quota.locked(always=True):
            self._put_back(dataset_id)
            try:
                old: Dataset | None = self.get(dataset_id)
            except DatasetDamaged:
                old = None
            dataset, is_replayed = succeed(dataset_id, old, new, key, tags)
            if is_replayed:
                return dataset
            write_facts(scratch, dataset)
            with contextlib.suppress(OSError):
                # Lists are ordered by it: a data set keeps its place.
                made_ns = (folder / FACTS).stat().st_mtime_ns
                os.utime(scratch / FACTS, ns=(made_ns, made_ns))
            (scratch / RESERVED).unlink(missing_ok=True)
            flush_folder(scratch)
            exchange(scratch, folder, self._aside(dataset_id))
            try:
                # What was in the data set's place is in that of the new one now.
                self._retire(scratch)
            except OSError:
                # Jobs would fail for want of it.
                (scratch / RETIRED).unlink(missing_ok=True)
                exchange(scratch, folder, self._aside(dataset_id))
                raise
            flush_folder(self.root)
        self._remember(dataset_id, is_damaged=False)
        self.touch(dataset_id)
        shutil.rmtree(scratch, ignore_errors=True)
        return dataset

    def drop_retired(self, oldest_job_at: float) -> None:
        """Removes panels that `replace` kept, that nobody has read for an hour, and that no job is to read.

        Args:
            oldest_job_at: when the oldest of all jobs that wait or run was submitted, in seconds since 1970; infinity
                where there is none. A job that reads a panel was submitted within an hour after its last use.
        """
        for folder in self.root.glob(f"{INLINE}*"):
            try:
                used_at = folder.stat().st_mtime
                if (folder / RETIRED).exists() and is_forgotten(used_at, oldest_job_at):
                    self._remove(folder, folder.name)
            except (FileNotFoundError, DatasetNotFound, StorageUnavailable):
                continue

    def delete(self, dataset_id: str) -> None:
        """Removes a data set. Raises DatasetNotFound."""
        with storing(PLACE):
            self.recover(dataset_id)
        self._remove(self._folder(dataset_id), dataset_id)

    def expire(self, older_than_seconds: float) -> None:
        """Removes uploads that were not read for so long, and remains of interrupted ones."""
        for name in self.list_aside():
            self.recover(name)
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

    def expire_copies(self, older_than_seconds: float) -> None:
        """As `expire`, of copies of what lies elsewhere."""
