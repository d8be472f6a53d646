"""A schedule as clients see it. Standard library only."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """One time that a schedule was due: the jobs that were submitted, or why none was. Times are ISO 8601 in UTC.

    `dataset` is the upload that its source's file was kept as.
    """

    due_at: str
    jobs: tuple[str, ...] = ()
    dataset: str | None = None
    error: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Training that repeats. `next_at` is None while it is paused; `runs` are the last ones, the newest first."""

    id: str
    cron: str
    timezone: str
    train: dict[str, Any]
    source: dict[str, Any] | None
    paused: bool
    created_at: str
    next_at: str | None
    runs: tuple[ScheduledRun, ...] = ()

    @property
    def datasets(self) -> set[str]:
        """The uploads that it trains on: the one that it names, or the one that it fetched last."""
        data = self.train.get("data") or {}
        if self.source is None:
            return {data["id"]} if data.get("kind") == "dataset" else set()
        return {run.dataset for run in self.runs if run.dataset is not None}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
