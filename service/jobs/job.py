"""A job as clients see it. Standard library only."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

JobKind = Literal["train", "backtest", "forecast"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fit has come. `epoch` counts finished epochs; the losses are None before the first.

    `trials` are those of a tuned job that have ended, and None of any other. `member` numbers the fits of a job, and
    `member_epoch` the epochs of that fit; None between epochs.
    """

    epoch: int
    epochs: int
    loss: float | None
    val_loss: float | None
    eta_seconds: float | None
    trials: list[dict[str, Any]] | None = None
    member: int | None = None
    member_epoch: int | None = None

    def to_dict(self) -> dict[str, Any]:
        optional = ("trials", "member", "member_epoch")
        return {name: value for name, value in asdict(self).items() if value is not None or name not in optional}


@dataclass(frozen=True, slots=True)
class Job:
    """A job. Times are ISO 8601 in UTC; `model` is what it will publish, measures or asks; `attempt` counts runs.

    `retry_of` is the id of the job that this one does again.
    """

    id: str
    kind: JobKind
    status: JobStatus
    request: dict[str, Any]
    model: str
    submitted_at: str
    started_at: str | None
    finished_at: str | None
    attempt: int
    progress: Progress | None
    result: dict[str, Any] | None
    error: dict[str, str] | None
    retry_of: str | None = None

    @property
    def is_ended(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "progress": None if self.progress is None else self.progress.to_dict()}


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are listed: those that match all that is given.

    Submitted at or after `from_ms` and before `to_ms`, in milliseconds since 1970.
    """

    status: JobStatus | None = None
    model: str | None = None
    kind: JobKind | None = None
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """An event for watchers: `progress` with the fields of Progress and `attempt`, finally `done` with the job.

    `id` counts a job's events from 1; a watcher that comes back names the last one that it saw.
    """

    id: int
    kind: Literal["progress", "done"]
    data: dict[str, Any]
