"""Results of tasks in an object store: whoever a client comes back to has them."""

import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from service.datasets.task_results import KEPT_SECONDS, TaskResults, is_result
from service.storage.object_storage import ObjectMissing, ObjectStorage

ROOT = ".results"
RETRY_SECONDS = 3.0


def open_results(location: Path | str, folder: Path) -> TaskResults:
    """The results of a machine whose models lie in a folder, or of all whose models lie at an object store's URL."""
    if isinstance(location, Path):
        return TaskResults(folder)
    return SharedResults(ObjectStorage(location, retry_seconds=RETRY_SECONDS), folder)


class SharedResults(TaskResults):
    """As `TaskResults`, on all machines. What is old goes when something new comes."""

    def __init__(self, storage: ObjectStorage, folder: Path) -> None:
        super().__init__(folder)
        self._storage = storage

    def keep(self, task: str, result: Any) -> str:
        job_id = uuid.uuid4().hex
        self._storage.put(_key(task, job_id), orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY))
        oldest = time.time() - KEPT_SECONDS
        self._storage.delete([facts.key for facts in self._storage.list_objects(ROOT) if facts.modified_at < oldest])
        return job_id

    def find(self, task: str, job_id: str) -> bytes | None:
        if is_result(job_id):
            with suppress(ObjectMissing):
                return self._storage.get(_key(task, job_id))
        return None


def _key(task: str, job_id: str) -> str:
    return f"{ROOT}/{task}-{job_id}.json"
