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
        """What a run before had taken when it wrote what this one goes on from."""
        self._before = max(self._before, seconds)


class Checkpoints:
    """A job's checkpoints. What can't be read is as if it were not there; what can't be written is told in the log."""

    def __init__(self, storage: ObjectStorage, job_id: str) -> None:
        self.clock = JobClock()
        self._storage = storage
        self._job_id = job_id

    def of(self, key: str) -> "FitCheckpoint":
        return FitCheckpoint(self, key)

    def read(self, key: str) -> Standing | None:
        try:
            unpacked = unpack(self._storage.get(self._name(key)))
        except ObjectMissing:
            return None
        except StorageUnavailable as error:
            logger.warning("a checkpoint of job %s can't be read: %s", self._job_id, error.message)
            return None
        if unpacked is None:
            return None
        standing, job_seconds = unpacked
        self.clock.go_on_from(job_seconds)
        return standing

    def write(self, key: str, standing: Standing) -> None:
        try:
            self._storage.put(self._name(key), pack(standing, self.clock.elapsed()))
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


def pack(standing: Standing, job_seconds: float) -> bytes:
    """A standing as bytes, their checksum first."""
    facts = {
        "release": _release(),
        "facts": standing.facts,
        "epochs": [asdict(epoch) for epoch in standing.epochs],
        "seconds": standing.seconds,
        "has_ended": standing.has_ended,
        "job_seconds": job_seconds,
    }
    file = io.BytesIO()
    np.savez(file, np.frombuffer(json.dumps(facts).encode(), np.uint8), *standing.arrays)
    content = file.getvalue()
    return hashlib.sha256(content).digest() + content


def unpack(content: bytes) -> tuple[Standing, float] | None:
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
        standing = Standing(arrays, epochs, facts["facts"], facts["seconds"], facts["has_ended"])
        return standing, float(facts["job_seconds"])
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile):
        logger.warning("a checkpoint is not of this release, and not used")
        return None


def _release() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}
