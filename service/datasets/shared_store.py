"""Uploads that many machines share: in an object store, with copies of those in use on each machine."""

import contextlib
import logging
import math
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from service.datasets.dataset import Dataset, read_record
from service.datasets.dataset_folder import PLACE, damaged
from service.datasets.dataset_ids import cut_page, missing, name_inline
from service.datasets.dataset_reader import FORECASTS
from service.datasets.panel_files import FACTS, load_facts, write_facts
from service.datasets.quota import RESERVED
from service.datasets.replacement import RETIRED, is_forgotten, succeed
from service.datasets.shared_quota import SharedQuota
from service.datasets.shared_uploads import DamagedUpload, Pointer, SharedUploads
from service.datasets.store import DatasetStore
from service.errors import DatasetReplaced, StorageUnavailable
from service.storage.digest import digest_file
from service.storage.disk_errors import storing
from service.storage.durability import flush_folder
from service.storage.exchange import exchange
from service.storage.object_storage import ObjectChanged, ObjectExists, ObjectMissing, ObjectStorage
from service.storage.persistence import persist
from service.storage.private_files import write

logger = logging.getLogger(__name__)

# In a copy: which state of the upload it is of.
GENERATION = ".generation"
# A copy that was compared so lately is taken for the present state: a request reads an upload several times.
COMPARE_SECONDS = 1.0
# The object store is told of uses so often; far less than any upload is kept for.
USED_SECONDS = 600.0
AWAY_SECONDS = 5.0
# Objects that no upload names are of one that is interrupted by now.
ORPHAN_SECONDS = 86_400.0
# Of an upload that is replaced while it is fetched.
MOST_FETCHES = 3
RETRY_SECONDS = 3.0


def open_datasets(
    location: Path | str, folder: Path, quota_bytes: int | None = None, *, patience_seconds: float = 0.0
) -> DatasetStore:
    """The uploads of a machine whose models lie in a folder, or of all whose models lie at an object store's URL.

    Args:
        folder: where they lie, or the copies of them.
        patience_seconds: how long whoever reads waits for an object store that is away.
    """
    if isinstance(location, Path):
        return DatasetStore(folder, quota_bytes)
    uploads = SharedUploads(ObjectStorage(location, retry_seconds=RETRY_SECONDS))
    return SharedDatasets(uploads, folder, quota_bytes, patience_seconds)


class SharedDatasets(DatasetStore):
    """As `DatasetStore`; what one machine keeps, replaces or deletes, all see."""

    quota: SharedQuota

    def __init__(
        self, uploads: SharedUploads, root: Path, quota_bytes: int | None = None, patience_seconds: float = 0.0
    ) -> None:
        super().__init__(root, quota_bytes)
        self.quota = SharedQuota(uploads, root, quota_bytes)
        self.uploads = uploads
        self._patience_seconds = patience_seconds
        self._compared: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._failed_at = -AWAY_SECONDS
        # Copies whose files were compared with their checksums, by this process.
        self._proven_copies: set[tuple[str, str]] = set()
        # Of each upload, one thread at a time brings it here.
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def replace(
        self, dataset_id: str, scratch: Path, *, key: str | None = None, tags: Collection[str] | None = None
    ) -> Dataset:
        self._folder(dataset_id)
        with storing(PLACE):
            new = load_facts(scratch)
        try:
            before, tag = self.uploads.find_state(dataset_id)
        except ObjectMissing:
            raise missing(dataset_id) from None
        if before is not None and before.facts is None:
            raise missing(dataset_id)
        old = None if before is None or before.facts is None else read_record(before.facts)
        dataset, is_replayed = succeed(dataset_id, old, new, key, tags)
        if is_replayed:
            return dataset
        made_ns = time.time_ns() if before is None else before.made_ns
        if before is not None and old is not None and old.digest is not None:
            self._keep_replaced(dataset_id, before, old.digest)
        try:
            with storing(PLACE):
                write_facts(scratch, dataset)
                generation = self._put(dataset_id, scratch, dataset.to_record(), made_ns, (before, tag))
        except ObjectChanged:
            raise DatasetReplaced(
                f"The data set {dataset_id!r} was replaced by another request just now. Send the request again."
            ) from None
        self._remember(dataset_id, is_damaged=False)
        self._take(dataset_id, scratch, generation)
        return dataset

    def _keep_replaced(self, dataset_id: str, pointer: Pointer, digest: str) -> None:
        """Keeps a panel that is about to be replaced for the jobs that had chosen it. Raises StorageUnavailable."""
        name = name_inline(digest)
        try:
            self.uploads.find(name)
        except ObjectMissing:
            files = [file for file in pointer.files if file not in (FACTS, FORECASTS)]
            # What can't be read, no job can; what is kept meanwhile need not be kept again.
            with contextlib.suppress(ObjectMissing, ObjectExists):
                self.uploads.copy(dataset_id, pointer, files, name, RETIRED)
            return
        except DamagedUpload:
            return
        self.uploads.touch(name)

    def _put(
        self,
        name: str,
        scratch: Path,
        facts: dict[str, Any] | None,
        made_ns: int,
        replaced: tuple[Pointer | None, str] | None = None,
    ) -> str:
        """Keeps a folder for all machines, as `SharedUploads.put`. Raises UploadsFull as well."""
        # Whoever filled it may have known what lies on this machine alone.
        self.quota.reserve(scratch, sum(path.stat().st_size for path in scratch.iterdir() if path.name != RESERVED))
        for marker in (RESERVED, GENERATION):
            (scratch / marker).unlink(missing_ok=True)
        try:
            return self.uploads.put(name, scratch, facts, made_ns, replaced)
        finally:
            self.quota.forget()

    def _take(self, name: str, scratch: Path, generation: str) -> None:
        """Makes what was just kept for all this machine's copy, which spares the download; a failure is no harm."""
        with self._turns[name]:
            self._compared.pop(name, None)
            try:
                write(scratch / GENERATION, generation.encode())
                flush_folder(scratch)
                _show(scratch, self.root / name)
            except OSError as error:
                logger.warning("the upload %s is fetched when it is read: %s", name, error.strerror)
                return
            self._proven_copies.add((name, generation))

    def page(self, *, limit: int = 50, cursor: str | None = None) -> tuple[list[Dataset], str | None]:
        keyed = [
            (f"{pointer.made_ns:019d}-{name}", pointer.facts)
            for name, pointer in self.uploads.list_all().items()
            if pointer.facts is not None
        ]
        chosen, next_cursor = cut_page(keyed, limit, cursor)
        return [read_record(facts) for facts in chosen], next_cursor

    def has(self, dataset_id: str) -> bool:
        self._folder(dataset_id)
        try:
            self.uploads.find(dataset_id)
        except ObjectMissing:
            return False
        except DamagedUpload:
            return True
        return True

    def delete(self, dataset_id: str) -> None:
        folder = self._folder(dataset_id)
        try:
            self.uploads.delete(dataset_id)
        except ObjectMissing:
            raise missing(dataset_id) from None
        finally:
            self.quota.forget()
        self._remember(dataset_id, is_damaged=False)
        with self._turns[dataset_id]:
            self._drop_copy(folder)

    def expire(self, older_than_seconds: float) -> None:
        """As `DatasetStore.expire`; a copy goes also where other machines still use the upload."""
        try:
            for name, used_at in self.uploads.last_used().items():
                if time.time() - used_at >= older_than_seconds:
                    with contextlib.suppress(ObjectMissing):
                        self.uploads.delete(name)
            self.uploads.remove_orphans(ORPHAN_SECONDS)
        except StorageUnavailable as error:
            logger.warning("old uploads are removed later: %s", error.message)
        super().expire(older_than_seconds)

    def expire_copies(self, older_than_seconds: float) -> None:
        super().expire(older_than_seconds)

    def drop_retired(self, oldest_job_at: float) -> None:
        try:
            used = self.uploads.last_used()
            for name, pointer in self.uploads.list_all().items():
                if RETIRED in pointer.files and is_forgotten(used.get(name, math.inf), oldest_job_at):
                    with contextlib.suppress(ObjectMissing):
                        self.uploads.delete(name)
        except StorageUnavailable as error:
            logger.warning("uploads that were replaced are removed later: %s", error.message)

    def get(self, dataset_id: str) -> Dataset:
        folder = self._folder(dataset_id)
        if self._is_away() and folder.exists():
            return super().get(dataset_id)
        try:
            facts = self.uploads.find(dataset_id)[0].facts
        except ObjectMissing:
            raise missing(dataset_id) from None
        except DamagedUpload as error:
            raise damaged(dataset_id) from error
        except StorageUnavailable:
            self._failed_at = time.monotonic()
            if not folder.exists():
                raise
            return super().get(dataset_id)
        if facts is None:
            raise missing(dataset_id)
        return read_record(facts)

    def touch(self, dataset_id: str) -> bool:
        is_copied = super().touch(dataset_id)
        if is_copied and self._is_away():
            return True
        try:
            if not self.has(dataset_id):
                return False
            if time.monotonic() - self._told.get(dataset_id, -USED_SECONDS) >= USED_SECONDS:
                self.uploads.touch(dataset_id)
                self._told[dataset_id] = time.monotonic()
        except StorageUnavailable:
            self._failed_at = time.monotonic()
            return is_copied
        return True

    @contextlib.contextmanager
    def _reading(self, dataset_id: str) -> Iterator[Path]:
        self._folder(dataset_id)
        try:
            self._bring(dataset_id)
        except ObjectMissing:
            raise missing(dataset_id) from None
        except DamagedUpload as error:
            self._remember(dataset_id, is_damaged=True)
            logger.error("the upload %s %s in the object store", dataset_id, error)
            raise damaged(dataset_id) from error
        with super()._reading(dataset_id) as folder:
            yield folder

    def _publish(self, scratch: Path, name: str) -> None:
        facts, made_ns = None, time.time_ns()
        if (scratch / FACTS).exists():
            facts, made_ns = load_facts(scratch).to_record(), (scratch / FACTS).stat().st_mtime_ns
        try:
            generation = self._put(name, scratch, facts, made_ns)
        except ObjectExists:
            raise FileExistsError(f"the upload {name} is there already") from None
        self._take(name, scratch, generation)

    def _bring(self, name: str) -> None:
        """Sees to it that this machine's copy is what all machines see.

        While the object store is away, a copy is taken as it is.

        Raises:
            ObjectMissing, DamagedUpload, StorageUnavailable.
        """
        folder = self._folder(name)
        with self._turns[name]:
            if time.monotonic() - self._compared.get(name, -COMPARE_SECONDS) < COMPARE_SECONDS:
                return
            if self._is_away() and folder.exists():
                return
            try:
                patience = 0.0 if folder.exists() else self._patience_seconds
                persist(lambda: self._compare(name, folder), patience_seconds=patience)
            except ObjectMissing:
                self._remember(name, is_damaged=False)
                self._drop_copy(folder)
                raise
            except StorageUnavailable:
                self._failed_at = time.monotonic()
                if not folder.exists():
                    raise
            self._compared[name] = time.monotonic()

    def _is_away(self) -> bool:
        """Whether the object store failed a moment ago: whoever has a copy doesn't wait for it again and again."""
        return time.monotonic() - self._failed_at < AWAY_SECONDS

    def _compare(self, name: str, folder: Path) -> None:
        for attempt in range(MOST_FETCHES):
            pointer, _ = self.uploads.find(name)
            if self._is_here(name, folder, pointer):
                return
            try:
                self._fetch(name, folder, pointer)
            except DamagedUpload:
                # Replaced meanwhile, its files are gone for a good reason.
                if attempt == MOST_FETCHES - 1 or self.uploads.find(name)[0].generation == pointer.generation:
                    raise

    def _is_here(self, name: str, folder: Path, pointer: Pointer) -> bool:
        """Whether the copy is of this state, and its files are whole."""
        try:
            if (folder / GENERATION).read_text() != pointer.generation:
                return False
            if (name, pointer.generation) not in self._proven_copies:
                if any(digest_file(folder / file) != digest for file, digest in pointer.files.items()):
                    logger.warning("the copy of the upload %s was damaged on this machine's disk", name)
                    return False
                self._proven_copies.add((name, pointer.generation))
        except OSError:
            return False
        return True

    def _fetch(self, name: str, folder: Path, pointer: Pointer) -> None:
        scratch = self.scratch()
        try:
            with storing(PLACE):
                self.uploads.fetch(name, pointer, scratch)
                write(scratch / GENERATION, pointer.generation.encode())
                flush_folder(scratch)
                _show(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self._proven_copies.add((name, pointer.generation))

    def _drop_copy(self, folder: Path) -> None:
        if folder.exists():
            self._remove(folder, folder.name)


def _show(scratch: Path, folder: Path) -> None:
    try:
        scratch.rename(folder)
    except OSError:
        # An earlier copy, or that which another process has just brought.
        exchange(scratch, folder)
