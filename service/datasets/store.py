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
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.datasets.dataset import Dataset, Finding
from service.datasets.panel_files import (
    DAMAGES,
    FACTS,
    FileIdentity,
    Outline,
    Replaced,
    cut_blocks,
    load_blocks,
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
from service.errors import (
    DatasetDamaged,
    DatasetNotFound,
    DatasetReplaced,
    IdempotencyKeyReused,
    InvalidRequest,
    PreconditionFailed,
    StorageUnavailable,
)
from service.storage.disk_errors import is_disk_error, make_storage_error, storing
from service.storage.durability import flush_file, flush_folder
from service.storage.exchange import exchange
from service.storage.private_files import make_folder, write
from service.storage.regular_files import open_regular

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Beside the panel of forecasts: all that was forecast.
FORECASTS = "forecasts.parquet"
# The store in messages to clients.
PLACE = "folder of uploads"
# What lies there longer belongs to a process that died.
LONGEST_UPLOAD_SECONDS = 6 * 3600
# In the staging folder, of what a replacement has taken out of its place.
ASIDE = "-aside"
# Beside a panel that was replaced: it is kept for jobs alone that had chosen it before.
RETIRED = "retired"
# A request that reads a panel submits its job within this time.
RETIRED_SECONDS = 3600.0
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
        self._proven: set[FileIdentity] = set()
        self._damaged: set[str] = set()

    @property
    def damaged(self) -> list[str]:
        """The ids of those that this process could not read for their damage, and that are still there."""
        return sorted(self._damaged)

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

    def open_forecasts(self, dataset_id: str) -> BinaryIO:
        """The file of forecasts of a data set, open to read: also when the data set goes. Raises as `get`."""
        with self._reading(dataset_id) as folder:
            self.touch(dataset_id)
            return open_regular(folder / FORECASTS)

    def discard(self, scratch: Path) -> None:
        """Removes a folder of `scratch`."""
        shutil.rmtree(scratch, ignore_errors=True)

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
            raise _reused()
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

    def recover(self, dataset_id: str) -> None:
        """Puts back what a replacement left aside whose process died, where the file system can't exchange folders.

        Raises:
            DatasetNotFound: it is no data set's name.
            OSError.
        """
        self._folder(dataset_id)
        if self._aside(dataset_id).exists():
            # Whoever is about to put it back himself has the lock.
            with self.quota.locked(always=True):
                self._put_back(dataset_id)

    def list_aside(self) -> list[str]:
        """The names of those that wait for `recover`."""
        names = [path.name.removesuffix(ASIDE) for path in (self.root / STAGING).glob(f"*{ASIDE}")]
        return sorted(name for name in names if _ID.match(name))

    def _put_back(self, dataset_id: str) -> None:
        aside, folder = self._aside(dataset_id), self.root / dataset_id
        if not aside.exists():
            return
        if folder.exists():
            self._retire(aside)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(folder)

    def _aside(self, dataset_id: str) -> Path:
        return self.root / STAGING / f"{dataset_id}{ASIDE}"

    def _retire(self, scratch: Path) -> None:
        """Keeps a panel that was replaced, if it was not kept before. Raises OSError; then nothing has changed."""
        try:
            digest = load_outline(scratch).digest or load_panel(scratch).digest()
        except DAMAGES:
            # What can't be read, no job can.
            return
        except OSError as error:
            if is_disk_error(error.errno):
                raise
            return
        name = name_inline(digest)
        if self.touch(name):
            return
        write(scratch / RETIRED, b"")
        os.utime(scratch)
        try:
            scratch.rename(self.root / name)
        except OSError:
            # A request has just kept the same panel.
            if not self.touch(name):
                raise
            return
        with contextlib.suppress(OSError):
            # Whatever is listed has facts; these are not for anybody to see.
            (self.root / name / FACTS).unlink(missing_ok=True)

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

    def load(self, dataset_id: str, *, digest: str | None = None, mapped: bool = False) -> Panel:
        """The panel of a data set, or of `keep`. What is read is not about to expire.

        Args:
            digest: what it held when it was chosen. A data set that was replaced since is read as it was then.
            mapped: as of `load_panel`.

        Raises:
            DatasetNotFound, DatasetDamaged.
        """
        name = dataset_id if digest is None else self._find_version(dataset_id, digest)
        with self._reading(name) as folder:
            self.touch(name)
            panel = load_panel(folder, mapped=mapped)
        self._remember(name, is_damaged=False)
        return panel

    def outline(self, dataset_id: str) -> Outline:
        """What `load` gives, without the values. Raises as `load`."""
        with self._reading(dataset_id) as folder:
            self.touch(dataset_id)
            return load_outline(folder)

    def load_series(self, dataset_id: str, outline: Outline, places: Collection[int]) -> list[NDArray[np.float64]]:
        """The values [time] of some series of a data set, at ascending places of its outline.

        Raises:
            DatasetReplaced: the outline is that of another panel, and as `load`.
        """
        with self._reading(dataset_id) as folder:
            return load_series(folder, outline, places, self._proven)

    def load_blocks(self, dataset_id: str, outline: Outline) -> Iterator[NDArray[np.float64]]:
        """All values of a data set, one series behind the other, in blocks that are cut anywhere.

        Raises as `load_series`.
        """
        with self._reading(dataset_id) as folder:
            yield from load_blocks(folder, outline)

    def load_each(self, dataset_id: str, outline: Outline) -> Iterator[NDArray[np.float64]]:
        """The values [time] of each series of a data set, one after the other. Raises as `load_series`."""
        yield from cut_blocks(self.load_blocks(dataset_id, outline), outline.lengths)

    def get(self, dataset_id: str) -> Dataset:
        """A data set's facts. Raises DatasetNotFound, DatasetDamaged."""
        with self._reading(dataset_id) as folder:
            return load_facts(folder)

    def page(self, *, limit: int = 50, cursor: str | None = None) -> tuple[list[Dataset], str | None]:
        """Data sets, newest first, and the cursor of the next page. Damaged ones are left out.

        Raises:
            InvalidRequest: the cursor is not one of ours.
        """
        keyed = []
        for name in self._list():
            path = self.root / name / FACTS
            # Deleted meanwhile, or no data set.
            with contextlib.suppress(OSError):
                # Facts are written once; reading a data set touches its folder alone.
                keyed.append((f"{path.stat().st_mtime_ns:019d}-{name}", path))
        chosen, next_cursor = cut_page(keyed, limit, cursor)
        datasets = []
        for path in chosen:
            try:
                datasets.append(load_facts(path.parent))
            except FileNotFoundError:
                continue
            except (OSError, *DAMAGES):
                self._remember(path.parent.name, is_damaged=True)
                logger.warning("the data set %s is damaged", path.parent.name)
        return datasets, next_cursor

    def has(self, dataset_id: str) -> bool:
        """Whether there is a data set, or a panel of `keep`; damaged or not."""
        return self._folder(dataset_id).exists()

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

    def scratch(self) -> Path:
        """An empty folder, in the same file system, for what an upload needs until it is kept. Its user removes it."""
        folder = self.root / STAGING / uuid.uuid4().hex
        with storing(PLACE):
            for made in (self.root, folder.parent, folder):
                make_folder(made)
        return folder

    def _find_version(self, dataset_id: str, digest: str) -> str:
        """Where the panel of this digest lies: under the data set's id, or where `retire` put it."""
        with self._reading(dataset_id) as folder:
            try:
                present = load_outline(folder).digest or load_panel(folder).digest()
            except FileNotFoundError:
                present = None
        if present == digest:
            return dataset_id
        if self.has(name_inline(digest)):
            return name_inline(digest)
        if present is None:
            raise missing(dataset_id)
        raise DatasetNotFound(
            f"The data set {dataset_id!r} was replaced after it had been chosen, and what it held then is gone. Send "
            "the request again."
        )

    @contextlib.contextmanager
    def _reading(self, dataset_id: str) -> Iterator[Path]:
        """The folder of a data set; what its files do wrong inside is told as the data set's fault."""
        folder = self._folder(dataset_id)
        try:
            if not folder.exists():
                self.recover(dataset_id)
            yield folder
        except OSError as error:
            explained = _explain(dataset_id, error)
            self._remember(dataset_id, is_damaged=isinstance(explained, DatasetDamaged))
            raise explained from error
        except Replaced as error:
            raise DatasetReplaced(
                f"The data set {dataset_id!r} was replaced while it was read. Send the request again."
            ) from error
        except DAMAGES as error:
            self._remember(dataset_id, is_damaged=True)
            raise damaged(dataset_id) from error

    def _remember(self, dataset_id: str, *, is_damaged: bool) -> None:
        """What a reader has met, for `damaged`."""
        if is_damaged:
            self._damaged.add(dataset_id)
        else:
            self._damaged.discard(dataset_id)

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
            raise missing(dataset_id)
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
                raise missing(dataset_id) from error
        self._remember(dataset_id, is_damaged=False)
        shutil.rmtree(trash, ignore_errors=True)


def name_upload(key: str) -> str:
    """The id of the data set that was kept under a key."""
    return hashlib.sha256(f"upload {key}".encode()).hexdigest()[:32]


def is_upload(name: str) -> bool:
    """Whether it is the name of an upload, or of series that are kept for a job."""
    return _ID.match(name) is not None


def cut_page(keyed: Iterable[tuple[str, T]], limit: int, cursor: str | None) -> tuple[list[T], str | None]:
    """A page of what has keys, the highest first, and the cursor of the next. Raises InvalidRequest."""
    if cursor is not None and not _CURSOR.match(cursor):
        raise InvalidRequest.at(
            "/cursor",
            "bad_cursor",
            "The cursor is invalid: use the `next_cursor` of a list, or leave it out to start from the beginning.",
        )
    before = sorted(
        ((key, value) for key, value in keyed if cursor is None or key < cursor), key=lambda item: item[0], reverse=True
    )
    return [value for _, value in before[:limit]], before[limit - 1][0] if len(before) > limit else None


def name_inline(digest: str) -> str:
    """The id under which a panel with this digest is kept for jobs."""
    return INLINE + digest[:32]


def is_forgotten(used_at: float, oldest_job_at: float) -> bool:
    """Whether a retired panel is read by nobody any more; times are in seconds since 1970."""
    return min(time.time(), oldest_job_at) >= used_at + RETIRED_SECONDS


def succeed(
    dataset_id: str, old: Dataset | None, new: Dataset, key: str | None, tags: Collection[str] | None
) -> tuple[Dataset, bool]:
    """The facts of what takes a data set's place, and whether it did so before: `old`, by the same key.

    Args:
        old: None where it is damaged.

    Raises:
        IdempotencyKeyReused, PreconditionFailed: as `DatasetStore.replace`.
    """
    key_digest = None if key is None else hashlib.sha256(f"replace {key}".encode()).hexdigest()
    if old is not None:
        if key_digest is not None and key_digest == old.key_digest:
            if new.digest != old.digest:
                raise _reused()
            return old, True
        if tags is not None and old.tag not in tags:
            raise PreconditionFailed(
                f'The data set {dataset_id!r} has changed since: its ETag is "{old.tag}". Read it again, then '
                "send If-Match with this one."
            )
    created_at = new.created_at if old is None else old.created_at
    return replace(new, id=dataset_id, created_at=created_at, key_digest=key_digest), False


def _explain(dataset_id: str, error: OSError) -> DatasetNotFound | StorageUnavailable:
    """Why a data set can't be read."""
    if isinstance(error, FileNotFoundError):
        return missing(dataset_id)
    return make_storage_error(PLACE, error.errno or 0, error) if is_disk_error(error.errno) else damaged(dataset_id)


def _reused() -> IdempotencyKeyReused:
    return IdempotencyKeyReused("This Idempotency-Key was used with other series. Use a new key for a new upload.")


def damaged(dataset_id: str) -> DatasetDamaged:
    """What is told of a data set whose files are not what was kept."""
    return DatasetDamaged(
        f"The data set {dataset_id!r} is damaged on the server's disk. Delete it and upload it again."
    )


def missing(dataset_id: str) -> DatasetNotFound:
    """What is told of a data set that isn't there."""
    shown = dataset_id if len(dataset_id) <= 60 else dataset_id[:60] + "..."
    return DatasetNotFound(f"There is no data set {shown!r}. It may have expired; GET /datasets lists all data sets.")
