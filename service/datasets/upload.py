"""Receives an upload: streams it to disk, has it read in a process of its own, and keeps the result."""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from service.datasets.dataset import Dataset, Finding
from service.datasets.dataset_folder import PLACE
from service.datasets.file_options import FileOptions
from service.datasets.panel_files import load_facts, load_panel
from service.datasets.quota import Quota
from service.datasets.reader import MAX_CPU_SECONDS, UPLOAD
from service.datasets.store import DatasetStore
from service.datasets.upload_limits import UploadLimits
from service.domain.panel import Panel
from service.errors import Flaw, InvalidRequest, UploadsFull, UploadTooLarge
from service.storage.disk_errors import make_storage_error, storing
from service.storage.private_files import append, create

Kept = TypeVar("Kept")

LOGGER = logging.getLogger(__name__)
# A hundred million rows take a minute or two of a core.
READ_SECONDS = 1800
# At once; each may take gigabytes of memory.
MAX_READERS = 2
WRITE_BYTES = 2**20
MOST_AHEAD_BYTES = 2**25
# Of what a reader says that failed, in the log.
MOST_COMPLAINT = 4000
# One allocator that gives memory back, and no threads: each would count against the limit of memory.
READER_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Uploader:
    """Turns request bodies into data sets. A failure, or a caller that goes away, leaves nothing behind."""

    def __init__(
        self, store: DatasetStore, limits: UploadLimits, *, max_bytes: int, read_seconds: float = READ_SECONDS
    ) -> None:
        self.limits = limits
        self._store = store
        self._max_bytes = max_bytes
        self._read_seconds = read_seconds
        self._readers = asyncio.Semaphore(MAX_READERS)

    async def save(self, chunks: AsyncIterator[bytes]) -> Path:
        """Streams a body to a folder of its own, which is for `read` and removed by it.

        Raises:
            UploadTooLarge, UploadsFull, StorageUnavailable, and whatever the stream raises.
        """
        folder = await asyncio.to_thread(self._store.scratch)
        try:
            await self._write(chunks, folder / UPLOAD)
        except BaseException:
            await _remove(folder)
            raise
        return folder

    async def read(
        self, folder: Path, media_type: str, options: FileOptions | None = None, *, key: str | None = None
    ) -> Dataset:
        """Makes a data set of a folder of `save`, which holds CSV or Parquet.

        Args:
            options: what the sender says of the file.
            key: as of `DatasetStore.adopt`.

        Raises:
            InvalidRequest: the file can't be read, or holds too much.
            IdempotencyKeyReused.
            UploadsFull, StorageUnavailable: it may be in order, but can't be kept.
        """
        return await self.read_for(folder, media_type, options, partial(self._store.adopt, key=key))

    async def read_for(
        self, folder: Path, media_type: str, options: FileOptions | None, keep: Callable[[Path], Kept]
    ) -> Kept:
        """Reads a folder of `save` as `read` does, and gives it to `keep`, in a thread; what that returns or raises."""
        keeping: asyncio.Future[Kept] | None = None
        try:
            async with self._readers:
                await self._run_reader(folder, media_type, options or FileOptions())
            with storing(PLACE):
                (folder / UPLOAD).unlink()
            keeping = asyncio.ensure_future(asyncio.to_thread(keep, folder))
            return await asyncio.shield(keeping)
        finally:
            if keeping is not None:
                # The folder is not taken from under it, also where nobody waits for the answer any more.
                await asyncio.wait([keeping])
            await _remove(folder)

    async def read_panel(
        self, folder: Path, media_type: str, options: FileOptions, freq: str | None, hold: Callable[[Dataset], None]
    ) -> tuple[Panel, tuple[Finding, ...]]:
        """Reads a folder of `save` as `read` does, and keeps nothing of it.

        Args:
            freq: the frequency of its times, where the sender says it.
            hold: is told the facts before the series take memory here; what it raises ends the reading.

        Returns:
            The series, and what was found in the file.

        Raises:
            InvalidRequest, UploadsFull, StorageUnavailable: as `read`; the file's times contradict `freq`.
        """
        try:
            async with self._readers:
                await self._run_reader(folder, media_type, options, freq)
            with storing(PLACE):
                facts = await asyncio.to_thread(load_facts, folder)
                hold(facts)
                return await asyncio.to_thread(load_panel, folder), facts.audit
        finally:
            await _remove(folder)

    async def _write(self, chunks: AsyncIterator[bytes], path: Path) -> None:
        size = 0
        waiting = bytearray()
        upload = _Upload(path, self._store.quota, self._max_bytes)
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._max_bytes:
                    raise UploadTooLarge(self._max_bytes)
                waiting += chunk
                if len(waiting) >= WRITE_BYTES:
                    await asyncio.to_thread(upload.append, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(upload.append, bytes(waiting))
        finally:
            upload.close()

    async def _run_reader(self, folder: Path, media_type: str, options: FileOptions, freq: str | None = None) -> None:
        limits = (str(self.limits.max_points), str(self.limits.max_series), json.dumps(options.to_dict()))
        quota = self._store.quota.limit_bytes
        # What a file can make this process do, it does without our keys.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTFIELDER_")}
        command = (sys.executable, "-m", "service.datasets.reader", str(folder), media_type, *limits)
        with storing("reader of uploads"):
            process = await asyncio.create_subprocess_exec(
                *(*command, "" if quota is None else str(quota), freq or ""),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=inherited | READER_ENVIRONMENT,
            )
        try:
            output, complaint = await asyncio.wait_for(process.communicate(), self._read_seconds)
        except TimeoutError as error:
            message = (
                f"The file can't be read: it takes longer than {self._read_seconds:g} s. Send it in several uploads."
            )
            raise _unreadable(message) from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            answer = json.loads(output)
        except ValueError as error:
            raise _explain(process.returncode, complaint.decode("utf-8", "replace")) from error
        if "flaws" in answer:
            raise InvalidRequest([Flaw(*flaw) for flaw in answer["flaws"]])
        if "full" in answer:
            raise UploadsFull(answer["full"])
        if "errno" in answer:
            raise make_storage_error(PLACE, answer["errno"])


class _Upload:
    """A file that grows within the quota. Its methods block."""

    def __init__(self, path: Path, quota: Quota, max_bytes: int) -> None:
        self._folder = path.parent
        self._quota = quota
        self._max_bytes = max_bytes
        self._size = self._granted = 0
        with storing(PLACE):
            # Not buffered: what is left in a buffer would be refused once more when it is closed.
            self._file = create(path)

    def append(self, content: bytes) -> None:
        """Writes more. Raises UploadsFull, StorageUnavailable."""
        with storing(PLACE):
            self._size += len(content)
            if self._size > self._granted:
                # A little more than is needed now, so that the next pieces need not ask again.
                wish = min(self._size + min(self._size // 4, MOST_AHEAD_BYTES), self._max_bytes)
                self._granted = self._quota.reserve(self._folder, self._size, wish)
            append(self._file, content)

    def close(self) -> None:
        with storing(PLACE):
            self._file.close()


async def _remove(folder: Path) -> None:
    await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


def _explain(status: int | None, complaint: str) -> InvalidRequest:
    """Why a reader ended without an answer: only where it was for want of memory or time is the file too large."""
    if status == -signal.SIGXCPU:
        return _unreadable(
            f"The file can't be read: reading takes more than {MAX_CPU_SECONDS} s of CPU time. Send it in several "
            "uploads."
        )
    if status == -signal.SIGKILL or any(word in complaint for word in ("MemoryError", "bad_alloc", "allocate memory")):
        return _unreadable(
            "The file can't be read: reading takes more memory than this server allows. Send it in several uploads."
        )
    LOGGER.error("The reader of an upload ended with status %s: %s", status, complaint[-MOST_COMPLAINT:] or "no word")
    return _unreadable(
        "The file can't be read: the reader failed on its content, which is a fault of the server, whatever the "
        "file's size. Its log says more. A file of the columns unique_id,ds,y in UTF-8 avoids most of what can go "
        "wrong."
    )


def _unreadable(message: str) -> InvalidRequest:
    return InvalidRequest.at("", "unreadable_file", message)
