"""SHA-256 of files."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from service.storage.regular_files import Irregular, open_regular

CHUNK_BYTES = 2**20
# Far above any network that fits into memory: what is larger was not published here, and would be read for minutes.
MOST_BYTES = 32 * 2**30


def digest_file(path: Path, give_up: Callable[[], bool] = lambda: False) -> str:
    """SHA-256 of a regular file's content, in hexadecimal.

    Args:
        give_up: called at every chunk; True ends it.

    Raises:
        Irregular: it is not a regular file, or far too large.
        InterruptedError: `give_up` said so.
        OSError: it can't be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        # Not all files tell their size.
        n_bytes = os.fstat(file.fileno()).st_size
        n_read = 0
        while max(n_bytes, n_read) <= MOST_BYTES and (chunk := file.read(CHUNK_BYTES)):
            n_read += len(chunk)
            if give_up():
                raise InterruptedError
            digest.update(chunk)
    if max(n_bytes, n_read) > MOST_BYTES:
        raise Irregular(f"it holds more than {MOST_BYTES} bytes")
    return digest.hexdigest()


def digest_bytes(content: bytes) -> str:
    """SHA-256 in hexadecimal of what a file holds."""
    return hashlib.sha256(content).hexdigest()
