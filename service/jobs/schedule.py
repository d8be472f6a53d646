"""A schedule as clients see it. Standard library only."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """One time that a schedule was due: the jobs that were submitted, or why none was. Times are ISO 8601 in UTC."""

    due_at: str
    jobs: tuple[str, ...] = ()
    error: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Training that repeats. `next_at` is None while it is paused; `runs` are the last ones, the newest first."""

    id: str
    cron: str
    timezone: str
    train: dict[str, Any]
    paused: bool
    created_at: str
    next_at: str | None
    runs: tuple[ScheduledRun, ...] = ()

    @property
    def datasets(self) -> set[str]:
        """The uploads that it trains on."""
        data = self.train.get("data") or {}
        return {data["id"]} if data.get("kind") == "dataset" else set()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
