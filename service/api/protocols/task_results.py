"""Results of tasks that were submitted as jobs and are done: kept for an hour, in files that all processes see."""

import os
import re
import time
import uuid
from pathlib import Path
from typing import Any

import orjson

from service.store.layout import write_atomically

KEPT_SECONDS = 3600.0
MOST_RESULTS = 1000
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
        self._folder.mkdir(parents=True, exist_ok=True)
        self._expire()
        job_id = uuid.uuid4().hex
        write_atomically(self._path(task, job_id), orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY))
        return job_id

    def find(self, task: str, job_id: str) -> bytes | None:
        """A result as JSON; None where there is none, or none any more. Blocks."""
        if not _ID.match(job_id):
            return None
        try:
            return self._path(task, job_id).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, task: str, job_id: str) -> Path:
        return self._folder / f"{task}-{job_id}.json"

    def _expire(self) -> None:
        results = sorted(
            (entry.stat().st_mtime, entry.path) for entry in os.scandir(self._folder) if entry.name.endswith(".json")
        )
        oldest = time.time() - KEPT_SECONDS
        for i, (modified, path) in enumerate(results):
            if modified < oldest or i < len(results) - MOST_RESULTS:
                Path(path).unlink(missing_ok=True)
