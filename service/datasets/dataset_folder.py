"""The folder of uploads: one for each inside it, shown, hidden and exchanged whole, and what readers meet in them."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from service.datasets.dataset_ids import is_upload, missing, name_inline
from service.datasets.panel_files import DAMAGES, FACTS, Replaced, load_outline, load_panel
from service.datasets.quota import RESERVED, STAGING, Quota
from service.datasets.replacement import ASIDE, RETIRED
from service.errors import DatasetDamaged, DatasetNotFound, DatasetReplaced, StorageUnavailable
from service.storage.disk_errors import is_disk_error, make_storage_error, storing
from service.storage.durability import flush_folder
from service.storage.private_files import make_folder, write

# The store in messages to clients.
PLACE = "folder of uploads"


class DatasetFolder:
    """Folders of uploads. Safe for several threads and processes; everything here does file I/O."""

    def __init__(self, root: Path, quota_bytes: int | None = None) -> None:
        """Args: `quota_bytes` is what all may take together, those in progress included; None for no limit."""
        self.root = root
        self.quota = Quota(root, quota_bytes)
        self._damaged: set[str] = set()

    @property
    def damaged(self) -> list[str]:
        """The ids of those that this process could not read for their damage, and that are still there."""
        return sorted(self._damaged)

    def scratch(self) -> Path:
        """An empty folder, in the same file system, for what an upload needs until it is kept. Its user removes it."""
        folder = self.root / STAGING / uuid.uuid4().hex
        with storing(PLACE):
            for made in (self.root, folder.parent, folder):
                make_folder(made)
        return folder

    def discard(self, scratch: Path) -> None:
        """Removes a folder of `scratch`."""
        shutil.rmtree(scratch, ignore_errors=True)

    def has(self, dataset_id: str) -> bool:
        """Whether there is a data set, or a panel of `keep`; damaged or not."""
        return self._folder(dataset_id).exists()

    def touch(self, dataset_id: str) -> bool:
        """Keeps a data set from expiring, as if it had been read. Returns whether it is there."""
        try:
            os.utime(self._folder(dataset_id))
        except OSError:
            return False
        return True

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
        return sorted(name for name in names if is_upload(name))

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

    def _publish(self, scratch: Path, name: str) -> None:
        """Shows a folder whole, and durably. Raises OSError where the name is taken."""
        flush_folder(scratch)
        with self.quota.locked():
            (scratch / RESERVED).unlink(missing_ok=True)
            scratch.rename(self.root / name)
        flush_folder(self.root)

    def _folder(self, dataset_id: str) -> Path:
        if not is_upload(dataset_id):
            raise missing(dataset_id)
        return self.root / dataset_id

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


def damaged(dataset_id: str) -> DatasetDamaged:
    """What is told of a data set whose files are not what was kept."""
    return DatasetDamaged(
        f"The data set {dataset_id!r} is damaged on the server's disk. Delete it and upload it again."
    )


def _explain(dataset_id: str, error: OSError) -> DatasetNotFound | StorageUnavailable:
    """Why a data set can't be read."""
    if isinstance(error, FileNotFoundError):
        return missing(dataset_id)
    return make_storage_error(PLACE, error.errno or 0, error) if is_disk_error(error.errno) else damaged(dataset_id)
