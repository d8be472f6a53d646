"""Uploads that many machines share: in an object store, with copies of those in use on each machine."""

import contextlib
import logging
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from service.datasets.dataset import Dataset, read_record
from service.datasets.panel_files import FACTS, load_facts
from service.datasets.quota import RESERVED, Quota, Use
from service.datasets.shared_uploads import DamagedUpload, Pointer, SharedUploads
from service.datasets.store import PLACE, DatasetStore, cut_page, damaged, missing
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
MEASURE_SECONDS = 10.0
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


class SharedQuota(Quota):
    """Counts what lies in the object store, and what is in progress on this machine."""

    def __init__(self, uploads: SharedUploads, root: Path, limit_bytes: int | None) -> None:
        super().__init__(root, limit_bytes)
        self.uploads = uploads
        self._kept: dict[str, int] = {}
        self._measured_at = -MEASURE_SECONDS

    def measure(self) -> Use:
        if time.monotonic() - self._measured_at >= MEASURE_SECONDS:
            try:
                self._kept = self.uploads.measure()
            except StorageUnavailable as error:
                logger.warning("uploads are counted as they were: %s", error.message)
            self._measured_at = time.monotonic()
        return Use(self._kept, super().measure().staged)

    def forget(self) -> None:
        """Counts anew at the next question."""
        self._measured_at = -MEASURE_SECONDS


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
    ) -> tuple[Dataset, str | None]:
        self._bring(dataset_id, at_once=True)
        try:
            before = self.uploads.find(dataset_id)
        except ObjectMissing:
            raise missing(dataset_id) from None
        except DamagedUpload as error:
            raise damaged(dataset_id) from error
        dataset, kept = super().replace(dataset_id, scratch, key=key, tags=tags)
        folder = self.root / dataset_id
        if (folder / GENERATION).exists():
            # The same key came again: it is as it was.
            return dataset, kept
        try:
            with storing(PLACE):
                generation = self.uploads.put(dataset_id, folder, dataset.to_record(), before[0].made_ns, before)
                write(folder / GENERATION, generation.encode())
        except ObjectChanged:
            raise DatasetReplaced(
                f"The data set {dataset_id!r} was replaced by another request just now. Send the request again."
            ) from None
        finally:
            self._compared.pop(dataset_id, None)
            self.quota.forget()
        return dataset, kept

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
        for marker in (RESERVED, GENERATION):
            (scratch / marker).unlink(missing_ok=True)
        facts, made_ns = None, time.time_ns()
        if (scratch / FACTS).exists():
            facts, made_ns = load_facts(scratch).to_record(), (scratch / FACTS).stat().st_mtime_ns
        try:
            generation = self.uploads.put(name, scratch, facts, made_ns)
        except ObjectExists:
            raise FileExistsError(f"the upload {name} is there already") from None
        write(scratch / GENERATION, generation.encode())
        with self._turns[name]:
            # A copy of what was deleted meanwhile.
            self._drop_copy(self.root / name)
            super()._publish(scratch, name)
        self._proven_copies.add((name, generation))
        self.quota.forget()

    def _bring(self, name: str, *, at_once: bool = False) -> None:
        """Sees to it that this machine's copy is what all machines see.

        While the object store is away, a copy is taken as it is.

        Raises:
            ObjectMissing, DamagedUpload, StorageUnavailable.
        """
        folder = self._folder(name)
        with self._turns[name]:
            if not at_once and time.monotonic() - self._compared.get(name, -COMPARE_SECONDS) < COMPARE_SECONDS:
                return
            if not at_once and self._is_away() and folder.exists():
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
                if at_once or not folder.exists():
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
                try:
                    scratch.rename(folder)
                except OSError:
                    # An earlier copy, or that which another process has just brought.
                    exchange(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self._proven_copies.add((name, pointer.generation))

    def _drop_copy(self, folder: Path) -> None:
        if folder.exists():
            self._remove(folder, folder.name)
