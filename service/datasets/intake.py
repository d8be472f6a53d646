"""Takes in an upload: streams it to disk, has it read by a process of its own, keeps what that made of it."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from service.datasets.dataset import Dataset
from service.datasets.read import UPLOAD
from service.datasets.store import DatasetStore
from service.errors import Flaw, InvalidRequest, UploadTooLarge

READ_SECONDS = 600
# At once; each may take gigabytes of memory.
MAX_READERS = 2
WRITE_BYTES = 2**20


class Intake:
    """Turns request bodies into data sets. A failure, or a caller that goes away, leaves nothing behind."""

    def __init__(self, store: DatasetStore, *, max_bytes: int, max_points: int, max_series: int) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._limits = (str(max_points), str(max_series))
        self._readers = asyncio.Semaphore(MAX_READERS)

    async def take(self, chunks: AsyncIterator[bytes], media_type: str) -> Dataset:
        """Reads a file of CSV or Parquet.

        Raises:
            UploadTooLarge.
            InvalidRequest: the file can't be read, or holds too much.
        """
        folder = await asyncio.to_thread(self._store.scratch)
        try:
            await self._save(chunks, folder / UPLOAD)
            async with self._readers:
                await self._read(folder, media_type)
            (folder / UPLOAD).unlink()
            return await asyncio.to_thread(self._store.adopt, folder)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _save(self, chunks: AsyncIterator[bytes], path: Path) -> None:
        size = 0
        waiting = bytearray()
        with path.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._max_bytes:
                    raise UploadTooLarge(self._max_bytes)
                waiting += chunk
                if len(waiting) >= WRITE_BYTES:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(file.write, bytes(waiting))

    async def _read(self, folder: Path, media_type: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.datasets.read", str(folder), media_type, *self._limits),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # One allocator that gives memory back, and no threads: each would count against the limit of memory.
            env={
                **os.environ,
                "ARROW_DEFAULT_MEMORY_POOL": "system",
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), READ_SECONDS)
        except TimeoutError as error:
            raise _unreadable(f"it takes longer than {READ_SECONDS} s") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            answer = json.loads(output)
        except ValueError as error:
            raise _unreadable("reading it takes more memory or time than this server gives it") from error
        if "flaws" in answer:
            raise InvalidRequest([Flaw(*flaw) for flaw in answer["flaws"]])


def _unreadable(why: str) -> InvalidRequest:
    return InvalidRequest.at("", "unreadable_file", f"The file can't be read: {why}. Send it in several uploads.")
