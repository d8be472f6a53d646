"""A board of parts in memory, and what became of jobs whose parts stood on it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.training.training_result import TrainingResult


@dataclass
class Status:
    state: str = "open"
    owner: str | None = None
    beats: int = 0
    deaths: int = 0
    error: str | None = None

    @property
    def is_helped(self) -> bool:
        return self.owner == "helper"


class Table:
    """A board in memory, on which `help_` acts whenever the job looks at it."""

    def __init__(
        self,
        help_: Callable[["Table", str, dict[str, Any]], None] = lambda table, key, part: None,
        first_helped: int = 1,
    ) -> None:
        """Args: `first_helped` is the first that another worker is faster with, and then every other one."""
        self.parts: dict[str, Status] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self._help = help_
        self._first_helped = first_helped

    def post(self, job_id: str, tasks: Mapping[str, dict[str, Any]], *, is_rerun: bool) -> None:
        for key, task in tasks.items():
            self.parts.setdefault(key, Status())
            self.tasks[key] = json.loads(json.dumps(task["part"]))
            if is_rerun and self.parts[key] == Status("taken"):
                self.parts[key] = Status()
        # As a helper that is faster than the job.
        for key in list(tasks)[self._first_helped :: 2]:
            if self.parts[key].state == "open":
                self.parts[key] = Status("taken", "helper")
                self._help(self, key, self.tasks[key])

    def take_own(self, job_id: str, key: str) -> bool:
        if self.parts[key].state != "open":
            return False
        self.parts[key].state = "taken"
        return True

    def finish(self, job_id: str, key: str, owner: str | None = None, error: str | None = None) -> bool:
        self.parts[key].state = "done" if error is None else "failed"
        return True

    def refuse(self, job_id: str, key: str) -> bool:
        self.parts[key].state = "refused"
        return True

    def close(self, job_id: str, keys: Sequence[str]) -> None:
        for key in keys:
            if self.parts[key].state in ("open", "taken"):
                del self.parts[key]

    def give_back(self, job_id: str, key: str, owner: str, *, has_died: bool) -> None:
        self.parts[key] = Status(deaths=self.parts[key].deaths + has_died)

    def read(self, job_id: str) -> Mapping[str, Status]:
        return dict(self.parts)

    def remove(self, job_ids: Sequence[str]) -> None:
        self.parts.clear()


def assert_same(found: TrainingResult, expected: TrainingResult) -> None:
    for ours, theirs in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.metrics == expected.metrics
    assert found.epochs_run == expected.epochs_run
    assert found.recipe == expected.recipe
