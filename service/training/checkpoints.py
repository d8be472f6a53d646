"""What a training job goes on from after its process died: where its fits stand, and what those that ended gave."""

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from service.parts.records import LEAST_SECONDS, Array, JobRecords, Record
from service.training.epoch import Epoch

# What writing the checkpoints of a fit may take of its time.
MOST_SHARE = 0.01


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


class Checkpoints(JobRecords):
    """A job's checkpoints."""

    def of(self, key: str) -> "FitCheckpoint":
        return FitCheckpoint(self, key)

    def read(self, key: str) -> Standing | None:
        record = self.find(key)
        return None if record is None else _read_record(record)

    def write(self, key: str, standing: Standing) -> None:
        self.keep(key, _make_record(standing))


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


def _make_record(standing: Standing) -> Record:
    facts = {
        "facts": standing.facts,
        "epochs": [asdict(epoch) for epoch in standing.epochs],
        "seconds": standing.seconds,
        "has_ended": standing.has_ended,
    }
    return Record(facts, standing.arrays)


def _read_record(record: Record) -> Standing:
    facts = record.facts
    epochs = [Epoch(**epoch) for epoch in facts["epochs"]]
    return Standing(list(record.arrays), epochs, facts["facts"], facts["seconds"], facts["has_ended"])
