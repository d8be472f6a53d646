"""What the runs of a job, and those that help with it, leave each other: objects of a storage, under keys."""

import functools
import hashlib
import importlib.metadata
import io
import json
import logging
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import StorageUnavailable
from service.storage.object_storage import ObjectMissing, ObjectStorage

logger = logging.getLogger(__name__)

Array = NDArray[Any]

# Between two looks of a job at its clock.
LEAST_SECONDS = 1.0
# Of a job that the database knows nothing of: another service may keep its own in the same place.
LONGEST_SECONDS = 30 * 86_400.0
# By what a job's next run finds what the runs before have taken.
CLOCK = "clock"
# What writes numbers that another release could not go on from.
_LIBRARIES = ("outfielder", "jax", "keras", "numpy")


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """Arrays, in an order that whoever wrote them knows, and `facts`: what JSON can hold."""

    facts: dict[str, Any]
    arrays: Sequence[Array] = ()


class JobClock:
    """Seconds that a job has taken, those of runs before included."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = 0.0

    def elapsed(self) -> float:
        return self._before + time.monotonic() - self._began

    def go_on_from(self, seconds: float) -> None:
        """Adds what the runs before had taken. To be called once, when a run begins."""
        self._before = seconds


class JobRecords:
    """A job's records. What can't be read is as if it were not there; what can't be written is told in the log."""

    def __init__(self, storage: ObjectStorage, job_id: str) -> None:
        self.clock = JobClock()
        # Whether runs before may have left something.
        self.is_continued = False
        self._storage = storage
        self._job_id = job_id
        self._is_keeping_time = False
        self._kept_at = 0.0

    def begin_run(self) -> None:
        """Goes on with the clock of the runs before, and keeps it from now on beside what is written.

        For the process that performs the job: helpers write records too, and their time is not the job's.
        """
        before = self.find(CLOCK)
        if before is not None:
            self.is_continued = True
            self.clock.go_on_from(before.facts["seconds"])
        self._is_keeping_time = True

    def keep_time(self) -> None:
        """Keeps the job's clock, if this process performs the job and has not just done so."""
        if self._is_keeping_time and time.monotonic() - self._kept_at >= LEAST_SECONDS:
            self._put(CLOCK, Record({"seconds": self.clock.elapsed()}))
            self._kept_at = time.monotonic()

    def find(self, key: str) -> Record | None:
        try:
            return unpack_record(self._storage.get(self._name(key)))
        except ObjectMissing:
            return None
        except StorageUnavailable as error:
            logger.warning("a checkpoint of job %s can't be read: %s", self._job_id, error.message)
            return None

    def keep(self, key: str, record: Record) -> None:
        self._put(key, record)
        self.keep_time()

    def remove(self) -> None:
        """Removes them all: the job has ended."""
        remove_records(self._storage, self._job_id)

    def _put(self, key: str, record: Record) -> None:
        try:
            self._storage.put(self._name(key), pack_record(record))
        except StorageUnavailable as error:
            # A full disk is no reason to lose a job.
            logger.warning("a checkpoint of job %s can't be written: %s", self._job_id, error.message)

    def _name(self, key: str) -> str:
        return f"{self._job_id}/{key}"


def remove_records(storage: ObjectStorage, job_id: str) -> None:
    """Removes all that a job has left, if it has left anything. What can't be removed is told in the log."""
    try:
        storage.delete([found.key for found in storage.list_objects(f"{job_id}/")])
    except StorageUnavailable as error:
        logger.warning("checkpoints of job %s can't be removed: %s", job_id, error.message)


def sweep_records(storage: ObjectStorage, find_ended: Callable[[Sequence[str]], set[str]]) -> None:
    """Removes what jobs have left that ended otherwise than by themselves, and whatever nobody has written for long.

    Args:
        find_ended: which jobs of some ids have ended.

    Raises:
        StorageUnavailable, and what `find_ended` raises.
    """
    newest: dict[str, float] = {}
    for found in storage.list_objects():
        job_id = found.key.partition("/")[0]
        newest[job_id] = max(newest.get(job_id, 0.0), found.modified_at)
    ended = find_ended(list(newest)) if newest else set()
    for job_id, modified_at in newest.items():
        if job_id in ended or time.time() - modified_at > LONGEST_SECONDS:
            remove_records(storage, job_id)


def make_key(facts: dict[str, Any], arrays: Sequence[Array] = ()) -> str:
    """A name for what is decided by facts and arrays, and by the release of what computes it."""
    digest = hashlib.sha256(json.dumps([facts, _release()], sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:40]


def pack_record(record: Record) -> bytes:
    """A record as bytes, their checksum first."""
    facts = {"release": _release(), "facts": record.facts}
    file = io.BytesIO()
    np.savez(file, np.frombuffer(json.dumps(facts).encode(), np.uint8), *record.arrays)
    content = file.getvalue()
    return hashlib.sha256(content).digest() + content


def unpack_record(content: bytes) -> Record | None:
    """What `pack_record` made bytes of; None where they are damaged, or another release's."""
    size = hashlib.sha256().digest_size
    checksum, archive = content[:size], content[size:]
    if hashlib.sha256(archive).digest() != checksum:
        logger.warning("a checkpoint is damaged, and not used")
        return None
    try:
        with np.load(io.BytesIO(archive), allow_pickle=False) as members:
            facts = json.loads(members["arr_0"].tobytes())
            arrays = [members[f"arr_{i}"] for i in range(1, len(members.files))]
        return Record(facts["facts"], arrays) if facts["release"] == _release() else None
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile):
        logger.warning("a checkpoint is not of this release, and not used")
        return None


@functools.cache  # each look parses a package's metadata
def _release() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}
