"""Results of tasks that were submitted as jobs and are done: kept for an hour, in files that all processes see."""

import os
import re
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from service.storage.disk_errors import storing
from service.storage.private_files import make_folder, write

KEPT_SECONDS = 3600.0
# All together.
MOST_BYTES = 2**30
PLACE = "the state folder"
_ID = re.compile(r"[0-9a-f]{32}\Z")


class TaskResults:
    """The results in a folder, the oldest of which make room."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, task: str, result: Any) -> str:
        """Keeps a result. Blocks. Returns its id.

        Raises:
            StorageUnavailable.
        """
        text = orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY)
        job_id = uuid.uuid4().hex
        with storing(PLACE):
            make_folder(self._folder)
            self._make_room(len(text))
            # Under another name until it is whole. A crash loses it, and its submission was not answered.
            scratch = self._folder / f"{job_id}.tmp"
            write(scratch, text)
            scratch.rename(self._path(task, job_id))
        return job_id

    def find(self, task: str, job_id: str) -> bytes | None:
        """A result as JSON; None where there is none, or none any more. Blocks."""
        if not is_result(job_id):
            return None
        path = self._path(task, job_id)
        with storing(PLACE), suppress(FileNotFoundError):
            if path.stat().st_mtime >= time.time() - KEPT_SECONDS:
                return path.read_bytes()
        return None

    def _path(self, task: str, job_id: str) -> Path:
        return self._folder / f"{task}-{job_id}.json"

    def _make_room(self, n_bytes: int) -> None:
        """Removes what has expired, also what a crash left half written, and the oldest beyond what all may take."""
        found = []
        for entry in os.scandir(self._folder):
            # Another process removes as well.
            with suppress(FileNotFoundError):
                status = entry.stat()
                found.append((status.st_mtime, status.st_size, entry.path))
        room = MOST_BYTES - n_bytes
        oldest = time.time() - KEPT_SECONDS
        for modified, size, path in sorted(found, reverse=True):
            room -= size
            if modified < oldest or room < 0:
                Path(path).unlink(missing_ok=True)


def is_result(job_id: str) -> bool:
    """Whether it can be the id of a result."""
    return _ID.match(job_id) is not None
