"""Turns database rows into jobs as clients see them."""

import json
from dataclasses import dataclass, field
from typing import Any

from service.domain.moments import write_milliseconds
from service.errors import BacktestFailed, ForecastFailed, TrainingFailed
from service.jobs.job import Job, JobKind, JobStatus, Progress

# What the engine calls each status.
STORED: dict[JobStatus, list[str]] = {
    "queued": ["ENQUEUED", "DELAYED"],
    "running": ["PENDING"],
    "succeeded": ["SUCCESS"],
    "failed": ["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
    "cancelled": ["CANCELLED"],
}
# Of jobs that have not ended.
ACTIVE = [*STORED["queued"], *STORED["running"]]
ENDED: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled")
SHOWN = {stored: shown for shown, names in STORED.items() for stored in names}
FAILURE_CODES: dict[JobKind, str] = {
    "train": TrainingFailed.code,
    "backtest": BacktestFailed.code,
    "forecast": ForecastFailed.code,
}
# A job that took its worker down is tried again, so often.
RUNS = 3
# Processes that a part of a job may take down with it before no other takes it.
MOST_DEATHS = 3
# Of failures whose details are for the operator alone.
UNEXPLAINED = "The job failed; see the worker's log."
WORKER_DIED = {"code": "worker_died", "message": f"The worker died {RUNS} times while it ran this job."}
UNREADABLE = {
    "code": "unreadable_job",
    "message": "This job's record in the job database was not written by this service, so it was not read.",
}
# What this service writes; an absent word means the same to the engine.
READABLE = (None, "portable_json")


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job's row. `number` counts submissions; times are milliseconds of the database's clock; texts are JSON.

    `taken` counts how often a worker took it, which after the last death one does only to see that it has had its runs.
    """

    number: int
    id: str
    status: str
    taken: int
    began_ms: int | None
    ended_ms: int | None
    serialization: str | None
    output: str | None
    error: str | None
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def attempts(self) -> int:
        """How often it ran."""
        return min(self.taken, RUNS)

    @property
    def shown(self) -> JobStatus:
        """The status as clients know it."""
        return SHOWN.get(self.status, "failed")

    @property
    def kind(self) -> JobKind:
        kind = self.attributes.get("kind")
        return kind if kind in ("backtest", "forecast") else "train"

    @property
    def is_readable(self) -> bool:
        return self.serialization in READABLE


def to_job(row: JobRow, last: dict[str, Any] | None) -> Job:
    """Args: `last` is what the job reported last, or None."""
    shown = row.shown
    if shown == "queued" and row.attempts == 0:
        last = None
    told = last if last is not None and last.get("attempt") == (row.attempts or 1) else {}
    submitted_at = _stamp(read_submitted_ms(row.attributes)) or ""
    started_at = None if shown == "queued" else _begin(row, last or {}, submitted_at)
    error = _error(row) if shown == "failed" else None
    result = read_json(row.output) if shown == "succeeded" and row.is_readable else None
    if shown == "succeeded" and result is None and row.output is not None:
        shown, error = "failed", UNREADABLE
    return Job(
        id=row.id,
        kind=row.kind,
        status=shown,
        request=request if isinstance(request := row.attributes.get("request"), dict) else {},
        model=str(row.attributes.get("model", "")),
        submitted_at=submitted_at,
        started_at=started_at,
        finished_at=_end(row, told, started_at or submitted_at) if shown in ENDED else None,
        attempt=row.attempts,
        progress=None if last is None else _progress(last),
        result=result,
        error=error,
        retry_of=retry_of if isinstance(retry_of := row.attributes.get("retry_of"), str) else None,
    )


def read_json(text: str | None) -> dict[str, Any] | None:
    """Reads a JSON object that this service wrote; None for anything else."""
    try:
        value = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_submitted_ms(attributes: dict[str, Any]) -> int:
    """When a job was submitted, by the clock of the process that took it."""
    # Jobs of older servers tell nanoseconds, which they were also ordered by.
    submitted = attributes.get("submitted_ms", attributes.get("order"))
    if not isinstance(submitted, int):
        return 0
    return submitted if "submitted_ms" in attributes else submitted // 1_000_000


def _begin(row: JobRow, told: dict[str, Any], submitted_at: str) -> str | None:
    """When a run began: its own record, or else the database's, which may be cut to seconds.

    Cancelling clears it in the database. Never before the submission, whatever was done to the clock meanwhile.
    """
    stamp = told.get("started_at") or _stamp(row.began_ms)
    return None if stamp is None else max(str(stamp), submitted_at)


def _end(row: JobRow, told: dict[str, Any], earliest: str) -> str | None:
    stamp = told.get("finished_at") or _stamp(row.ended_ms)
    return None if stamp is None else max(str(stamp), earliest)


def _progress(told: dict[str, Any]) -> Progress | None:
    try:
        return Progress(**{name: told[name] for name in Progress.__slots__ if name in told})
    except TypeError:
        # Before the first report only times are told.
        return None


def _error(row: JobRow) -> dict[str, str]:
    if not row.is_readable:
        return UNREADABLE
    if row.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return WORKER_DIED
    told = read_json(row.error) or {}
    code = told.get("code")
    if not isinstance(code, str):
        return {"code": FAILURE_CODES[row.kind], "message": UNEXPLAINED}
    return {"code": code, "message": str(told.get("message"))}


def _stamp(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    try:
        return write_milliseconds(milliseconds)
    except (ValueError, OverflowError, OSError):
        # Beyond the years that can be written.
        return None
