"""An object store that many machines share: S3 and what speaks as it, Google Cloud Storage, Azure, or a folder.

A change is visible whole or not at all, and to every reader at once; `put_new` and `put_if_match` let one of several
writers win. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, ObjectStore, from_url

from service.errors import StorageUnavailable
from service.storage.object_failure import explain_failure, explain_opening, lacks_bucket
from service.storage.object_url import check_url

T = TypeVar("T")

# Of a request, its body included; larger objects go in parts.
REQUEST_SECONDS = 60.0
CONNECT_SECONDS = 5.0
# How long a call goes on trying while the store answers with errors or not at all.
RETRY_SECONDS = 10.0
PART_BYTES = 8 * 2**20
PARTS_AT_ONCE = 4


class ObjectMissing(Exception):
    """There is no such object."""


class ObjectExists(Exception):
    """There is such an object already."""


class ObjectChanged(Exception):
    """The object is not the one that was read: somebody has replaced or removed it."""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """An object in a list: its key, its size, what changes with its content, and when it was written."""

    key: str
    n_bytes: int
    tag: str
    modified_at: float


class ObjectStorage:
    """Objects under a URL, by key: `a/b.json`. Safe for several threads; every call blocks on the network.

    Credentials, region and endpoint come from the environment variables of the provider: AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL; GOOGLE_APPLICATION_CREDENTIALS; AZURE_STORAGE_ACCOUNT_NAME ...

    Every method raises StorageUnavailable where the store can't be reached, refuses, or goes on failing.
    """

    def __init__(
        self, url: str, *, retry_seconds: float = RETRY_SECONDS, request_seconds: float = REQUEST_SECONDS
    ) -> None:
        """Nothing is asked of the store yet.

        Args: `url` is as `check_url` takes it.

        Raises StorageUnavailable: the folder can't be made, or the environment says too little of the provider.
        """
        self.url = check_url(url)
        self.place = f"object store {self.url}"
        self._is_folder = self.url.startswith("file:")
        try:
            self._store = self._open(retry_seconds, request_seconds)
        except (BaseError, OSError) as error:
            raise self._explain(error) if self._is_folder else explain_opening(error, self.place) from None

    def get(self, key: str) -> bytes:
        """An object's content. Raises ObjectMissing."""
        return self.read(key)[0]

    def read(self, key: str) -> tuple[bytes, str]:
        """An object's content and its tag, for `put_if_match`. Raises ObjectMissing."""

        def read() -> tuple[bytes, str]:
            answer = obstore.get(self._store, key)
            return bytes(answer.bytes()), _join_tag(answer.meta)

        return self._ask(read)

    def put(self, key: str, content: bytes) -> None:
        """Writes an object, whether or not there is one."""
        self._ask(lambda: obstore.put(self._store, key, content, use_multipart=False))

    def put_new(self, key: str, content: bytes) -> None:
        """Writes an object that isn't there. Of several writers one succeeds; their contents must differ.

        Raises:
            ObjectExists.
        """
        try:
            self._ask(lambda: obstore.put(self._store, key, content, mode="create", use_multipart=False))
        except AlreadyExistsError:
            # An attempt whose answer was lost has done it, if it says what we said.
            if not self._holds(key, content):
                raise ObjectExists(key) from None

    def put_if_match(self, key: str, content: bytes, tag: str) -> None:
        """Replaces an object that is still the one that `read` gave the tag of; contents of writers must differ.

        Raises:
            ObjectChanged.
        """
        try:
            if isinstance(self._store, LocalStore):
                self._ask(lambda: self._replace_file(key, content, tag))
            else:
                mode = _split_tag(tag)
                self._ask(lambda: obstore.put(self._store, key, content, mode=mode, use_multipart=False))
        except (PreconditionError, AlreadyExistsError, ObjectMissing, ObjectChanged):
            if not self._holds(key, content):
                raise ObjectChanged(key) from None

    def list_objects(self, prefix: str = "", *, after: str | None = None) -> list[ObjectFacts]:
        """All objects whose keys begin with the folder `prefix`, by key; with `after`, those behind that key."""

        def list_all() -> list[ObjectFacts]:
            pages = obstore.list(self._store, prefix.rstrip("/") or None, offset=after)
            return sorted(
                (
                    ObjectFacts(meta["path"], meta["size"], meta["e_tag"] or "", meta["last_modified"].timestamp())
                    for page in pages
                    for meta in page
                ),
                key=lambda facts: facts.key,
            )

        try:
            return self._ask(list_all)
        except ObjectMissing:
            return []

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; those that aren't there count as removed."""
        present = list(keys)
        if isinstance(self._store, LocalStore):
            for key in present:
                with suppress(ObjectMissing):
                    self._ask(partial(obstore.delete, self._store, key))
        elif present:
            with suppress(ObjectMissing):
                self._ask(lambda: obstore.delete(self._store, present))

    def copy(self, key: str, target: str) -> None:
        """Gives an object a second key. Raises ObjectMissing."""
        self._ask(lambda: obstore.copy(self._store, key, target))

    def move(self, key: str, target: str) -> None:
        """Gives an object another key. Raises ObjectMissing."""
        self.copy(key, target)
        self.delete([key])

    def upload(self, path: Path, key: str) -> None:
        """Writes a file's content as an object, in parts where it is large. Raises OSError of the file."""
        with path.open("rb") as file:
            self._ask(lambda: obstore.put(self._store, key, file, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE))

    def download(self, key: str, path: Path, give_up: Callable[[], bool] = lambda: False) -> None:
        """Writes an object's content to a file, part by part, durably.

        Args:
            give_up: called between parts; True ends the download with InterruptedError.

        Raises:
            ObjectMissing, and OSError of the file. What stands in the file is to be compared with a checksum, for the
            object may be replaced meanwhile.
        """
        with path.open("wb") as file:
            for part in self._read_ranges(key, None):
                if give_up():
                    raise InterruptedError
                file.write(part)
            file.flush()
            os.fsync(file.fileno())

    def read_parts(self, key: str) -> Iterator[bytes]:
        """An object's content, part by part as it is asked for, all of one state of it.

        Raises:
            ObjectMissing, at once; ObjectChanged, in between: what came before is to be thrown away.
        """
        return self._read_ranges(key, self._ask(lambda: obstore.head(self._store, key)))

    def _read_ranges(self, key: str, pinned: "obstore.ObjectMeta | None") -> Iterator[bytes]:
        """Args: `pinned` is the state that all parts are to be of; with None they are of whatever is there."""
        meta = self._ask(lambda: obstore.head(self._store, key)) if pinned is None else pinned
        for start in range(0, meta["size"], PART_BYTES):
            end = min(start + PART_BYTES, meta["size"])
            try:
                yield self._ask(partial(self._read_range, key, start, end, pinned))
            except (PreconditionError, ObjectMissing):
                if pinned is None:
                    raise
                raise ObjectChanged(key) from None

    def _read_range(self, key: str, start: int, end: int, pinned: "obstore.ObjectMeta | None") -> bytes:
        if pinned is None or not pinned["e_tag"]:
            return bytes(obstore.get_range(self._store, key, start=start, end=end))
        options: obstore.GetOptions = {"range": (start, end), "if_match": pinned["e_tag"]}
        return bytes(obstore.get(self._store, key, options=options).bytes())

    def _holds(self, key: str, content: bytes) -> bool:
        try:
            return self.get(key) == content
        except ObjectMissing:
            return False

    def _replace_file(self, key: str, content: bytes, tag: str) -> None:
        """What a folder can't do by itself: those who share it take turns. Raises ObjectChanged."""
        folder = Path(urlsplit(self.url).path)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _join_tag(obstore.head(self._store, key)) != tag:
                raise ObjectChanged(key)
            obstore.put(self._store, key, content, use_multipart=False)
        finally:
            os.close(descriptor)

    def _open(self, retry_seconds: float, request_seconds: float) -> ObjectStore:
        if self._is_folder:
            return from_url(self.url, mkdir=True, automatic_cleanup=True)
        return from_url(
            self.url,
            client_options={
                # Whoever names an endpoint by http:// means it.
                "allow_http": True,
                "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, request_seconds)),
                "timeout": timedelta(seconds=request_seconds),
            },
            retry_config={
                "max_retries": 20,
                "retry_timeout": timedelta(seconds=retry_seconds),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
        )

    def _ask(self, call: Callable[[], T]) -> T:
        """What a call answers, its failures told in our words."""
        try:
            return call()
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            if lacks_bucket(error):
                raise self._explain(error) from None
            if isinstance(error, FileNotFoundError):
                raise ObjectMissing from None
            raise
        except (BaseError, OSError) as error:
            raise self._explain(error) from None

    def _explain(self, error: BaseException) -> StorageUnavailable:
        is_refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
        return explain_failure(error, self.place, is_refused=is_refused)


def _join_tag(meta: "obstore.ObjectMeta") -> str:
    """What identifies an object's state: S3 and Azure compare the one part, Google the other."""
    return f"{meta['e_tag'] or ''} {meta['version'] or ''}"


def _split_tag(tag: str) -> "obstore.UpdateVersion":
    e_tag, _, version = tag.partition(" ")
    return {"e_tag": e_tag or None, "version": version} if version else {"e_tag": e_tag}
