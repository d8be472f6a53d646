"""What a job goes on from after its process died: where its fits stand, and what those that ended gave."""

import hashlib
import importlib.metadata
import io
import json
import logging
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import StorageUnavailable
from service.storage.object_storage import ObjectMissing, ObjectStorage
from service.training.epoch import Epoch

logger = logging.getLogger(__name__)

Array = NDArray[Any]

# Between two checkpoints of a fit; and what writing them may take of its time.
LEAST_SECONDS = 1.0
MOST_SHARE = 0.01
# Of a job that the database knows nothing of: another service may keep its own in the same place.
LONGEST_SECONDS = 30 * 86_400.0
# By what a job's next run finds what the runs before have taken.
CLOCK = "clock"
# What writes numbers that another release could not go on from.
_LIBRARIES = ("outfielder", "jax", "keras", "numpy")


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where a fit stands after an epoch.

    `arrays` are weights, the optimiser's state and so on, in an order that the fit knows; `facts` what JSON can hold of
    it; `seconds` how long it took so far. A fit that `has_ended` has nothing but its last weights.
    """

    arrays: list[Array]
    epochs: list[Epoch]
    facts: dict[str, Any]
    seconds: float
    has_ended: bool = False


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


class Checkpoints:
    """A job's checkpoints. What can't be read is as if it were not there; what can't be written is told in the log."""

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

        For the process that performs the job: helpers write checkpoints too, and their time is not the job's.
        """
        before = self.read(CLOCK)
        if before is not None:
            self.is_continued = True
            self.clock.go_on_from(before.seconds)
        self._is_keeping_time = True

    def keep_time(self) -> None:
        """Keeps the job's clock, if this process performs the job and has not just done so."""
        if self._is_keeping_time and time.monotonic() - self._kept_at >= LEAST_SECONDS:
            self._put(CLOCK, Standing([], [], {}, self.clock.elapsed()))
            self._kept_at = time.monotonic()

    def of(self, key: str) -> "FitCheckpoint":
        return FitCheckpoint(self, key)

    def read(self, key: str) -> Standing | None:
        try:
            return unpack(self._storage.get(self._name(key)))
        except ObjectMissing:
            return None
        except StorageUnavailable as error:
            logger.warning("a checkpoint of job %s can't be read: %s", self._job_id, error.message)
            return None

    def write(self, key: str, standing: Standing) -> None:
        self._put(key, standing)
        self.keep_time()

    def _put(self, key: str, standing: Standing) -> None:
        try:
            self._storage.put(self._name(key), pack(standing))
        except StorageUnavailable as error:
            # A full disk is no reason to lose a fit.
            logger.warning("a checkpoint of job %s can't be written: %s", self._job_id, error.message)

    def remove(self) -> None:
        """Removes them all: the job has ended."""
        remove_checkpoints(self._storage, self._job_id)

    def _name(self, key: str) -> str:
        return f"{self._job_id}/{key}"


def remove_checkpoints(storage: ObjectStorage, job_id: str) -> None:
    """Removes all that a job has left, if it has left anything. What can't be removed is told in the log."""
    try:
        storage.delete([found.key for found in storage.list_objects(f"{job_id}/")])
    except StorageUnavailable as error:
        logger.warning("checkpoints of job %s can't be removed: %s", job_id, error.message)


def sweep_checkpoints(storage: ObjectStorage, find_ended: Callable[[Sequence[str]], set[str]]) -> None:
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
            remove_checkpoints(storage, job_id)


class FitCheckpoint:
    """Of one fit. It is written now and then, so that it costs next to nothing, and when the fit has ended."""

    def __init__(self, checkpoints: Checkpoints, key: str) -> None:
        self._checkpoints = checkpoints
        self._key = key
        self._due_at = time.monotonic() + LEAST_SECONDS
        # What the fit had taken when it wrote what was read.
        self.seconds_before = 0.0

    def read(self) -> Standing | None:
        """What there is to go on from."""
        standing = self._checkpoints.read(self._key)
        if standing is None:
            return None
        self.seconds_before = standing.seconds
        return replace(standing, epochs=[replace(epoch, is_restored=True) for epoch in standing.epochs])

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._due_at

    def write(self, standing: Standing) -> None:
        began = time.monotonic()
        self._checkpoints.write(self._key, standing)
        ended = time.monotonic()
        self._due_at = ended + max(LEAST_SECONDS, (ended - began) / MOST_SHARE)


def make_key(facts: dict[str, Any], arrays: Sequence[Array] = ()) -> str:
    """A name for what is decided by facts and arrays, and by the release of what computes it."""
    digest = hashlib.sha256(json.dumps([facts, _release()], sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:40]


def pack(standing: Standing) -> bytes:
    """A standing as bytes, their checksum first."""
    facts = {
        "release": _release(),
        "facts": standing.facts,
        "epochs": [asdict(epoch) for epoch in standing.epochs],
        "seconds": standing.seconds,
        "has_ended": standing.has_ended,
    }
    file = io.BytesIO()
    np.savez(file, np.frombuffer(json.dumps(facts).encode(), np.uint8), *standing.arrays)
    content = file.getvalue()
    return hashlib.sha256(content).digest() + content


def unpack(content: bytes) -> Standing | None:
    """What `pack` made bytes of; None where they are damaged, or another release's."""
    size = hashlib.sha256().digest_size
    checksum, archive = content[:size], content[size:]
    if hashlib.sha256(archive).digest() != checksum:
        logger.warning("a checkpoint is damaged, and not used")
        return None
    try:
        with np.load(io.BytesIO(archive), allow_pickle=False) as members:
            facts = json.loads(members["arr_0"].tobytes())
            arrays = [members[f"arr_{i}"] for i in range(1, len(members.files))]
        if facts["release"] != _release():
            return None
        epochs = [Epoch(**epoch) for epoch in facts["epochs"]]
        return Standing(arrays, epochs, facts["facts"], facts["seconds"], facts["has_ended"])
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile):
        logger.warning("a checkpoint is not of this release, and not used")
        return None


def _release() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}
