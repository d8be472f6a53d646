"""Files in object stores that schedules train on."""

import asyncio
from collections.abc import AsyncIterator

from service.datasets.dataset_ids import name_upload
from service.datasets.file_options import FileOptions
from service.datasets.reader import CSV, PARQUET
from service.datasets.store import DatasetStore
from service.datasets.upload import Uploader
from service.domain.json_flaws import describe
from service.errors import IdempotencyKeyReused, InvalidRequest, SourceNotFound, StorageUnavailable
from service.storage.object_storage import ObjectChanged, ObjectMissing, ObjectStorage
from service.storage.object_url import check_url

PARQUET_MAGIC = b"PAR1"


class Sources:
    """The folders of object stores that clients may name files of. Any other address would be read for them too."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        """Args: `allowed` are URLs as `check_url` gives them."""
        self._allowed = allowed

    def find(self, url: str) -> tuple[str, str]:
        """The allowed folder that a URL lies below, and its key there. Raises InvalidRequest."""
        try:
            checked = check_url(url)
        except ValueError as error:
            # It may hold a password.
            raise _refuse("bad_url", f"The URL can't be read: {error}.") from error
        for folder in self._allowed:
            key = checked.removeprefix(f"{folder}/")
            if key != checked and not {"", ".", ".."} & set(key.split("/")):
                return folder, key
        if not self._allowed:
            raise _refuse(
                "source_not_allowed",
                "This server reads no files by URL. Name the folders that it may read in OUTFIELDER_SOURCES, or upload "
                "the file (POST /datasets).",
            )
        raise _refuse(
            "source_not_allowed",
            f"{describe(url)} lies in none of the folders that this server may read: {', '.join(self._allowed)}.",
        )

    async def fetch(self, url: str, uploader: Uploader, store: DatasetStore, options: FileOptions, key: str) -> str:
        """Keeps a file's series as a data set, once for each key, also where the file has changed since.

        Returns:
            The data set's id.

        Raises:
            InvalidRequest: the URL is not allowed, or the file can't be read.
            SourceNotFound.
            UploadTooLarge, UploadsFull, StorageUnavailable.
        """
        folder, place = self.find(url)
        if await asyncio.to_thread(store.has, name_upload(key)):
            return name_upload(key)
        kind = CSV

        async def stream() -> AsyncIterator[bytes]:
            nonlocal kind
            parts = await asyncio.to_thread(ObjectStorage(folder).read_parts, place)
            is_first = True
            while (part := await asyncio.to_thread(next, parts, b"")) != b"":
                if is_first and part.startswith(PARQUET_MAGIC):
                    kind = PARQUET
                is_first = False
                yield part

        try:
            saved = await uploader.save(stream())
        except ObjectChanged as error:
            raise StorageUnavailable(f"The file {describe(url)} was replaced while it was read. Try again.") from error
        except ObjectMissing as error:
            raise SourceNotFound(
                f"There is no file {describe(url)}. Check the address, or put the file there."
            ) from error
        try:
            return (await uploader.read(saved, kind, options, key=key)).id
        except IdempotencyKeyReused:
            # Another process was faster.
            return name_upload(key)


def _refuse(code: str, message: str) -> InvalidRequest:
    return InvalidRequest.at("/source/url", code, message)
