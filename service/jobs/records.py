"""Jobs as the engine stores them, made into what clients see."""

from datetime import UTC, datetime
from typing import Any

from dbos import WorkflowStatus

from service.errors import BacktestFailed, TrainingFailed
from service.jobs.job import Job, JobKind, JobStatus, Progress

# What the engine calls each status.
STORED: dict[JobStatus, list[str]] = {
    "queued": ["ENQUEUED", "DELAYED"],
    "running": ["PENDING"],
    "succeeded": ["SUCCESS"],
    "failed": ["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
    "cancelled": ["CANCELLED"],
}
FAILURE_CODES: dict[JobKind, str] = {"train": TrainingFailed.code, "backtest": BacktestFailed.code}
WORKER_DIED = {"code": "worker_died", "message": "The worker died 3 times while it ran this job."}
_SHOWN = {stored: shown for shown, names in STORED.items() for stored in names}
_ENDED = ("succeeded", "failed", "cancelled")


def to_job(status: WorkflowStatus, last: dict[str, Any] | None) -> Job:
    """Args: `last` is what the job reported last, or None."""
    attributes = status.attributes or {}
    shown = _SHOWN[str(status.status)]
    kind = kind_of(status)
    told = last if last is not None and last.get("attempt") == (status.recovery_attempts or 1) else {}
    submitted_at = _stamp(order_of(status) // 1_000_000) or ""
    started_at = None if shown == "queued" else _begin(status, last or {}, submitted_at)
    return Job(
        id=status.workflow_id,
        kind=kind,
        status=shown,
        request=attributes.get("request", {}),
        model=attributes.get("model", ""),
        submitted_at=submitted_at,
        started_at=started_at,
        finished_at=_end(status, told, started_at or submitted_at) if shown in _ENDED else None,
        attempt=status.recovery_attempts or 0,
        progress=None if last is None or "epoch" not in last else _progress(last),
        result=status.output if shown == "succeeded" else None,
        error=_error(status, kind) if shown == "failed" else None,
    )


def _begin(status: WorkflowStatus, told: dict[str, Any], submitted_at: str) -> str | None:
    """When a run began, as it told itself; else as the database knows, which may cut off all but the second.

    Cancelling clears it in the database.
    """
    stamp = told.get("started_at") or _stamp(status.dequeued_at)
    return None if stamp is None else max(str(stamp), submitted_at)


def _end(status: WorkflowStatus, told: dict[str, Any], earliest: str) -> str | None:
    stamp = told.get("finished_at") or _stamp(status.completed_at or status.updated_at)
    return None if stamp is None else max(str(stamp), earliest)


def _progress(told: dict[str, Any]) -> Progress:
    return Progress(**{name: told[name] for name in Progress.__slots__ if name in told})


def has_begun(status: WorkflowStatus) -> bool:
    """Whether the job may have reported something."""
    return _SHOWN[str(status.status)] != "queued" or (status.recovery_attempts or 0) > 0


def kind_of(status: WorkflowStatus) -> JobKind:
    kind: JobKind = (status.attributes or {}).get("kind", "train")
    return kind


def order_of(status: WorkflowStatus) -> int:
    """When a job was submitted, in nanoseconds; no two jobs of a process share it."""
    return int((status.attributes or {}).get("order", 0))


def _error(status: WorkflowStatus, kind: JobKind) -> dict[str, str]:
    if status.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return WORKER_DIED
    code = getattr(status.error, "code", None)
    if not isinstance(code, str):
        return {"code": FAILURE_CODES[kind], "message": "The job failed; see the worker's log."}
    return {"code": code, "message": str(status.error)}


def _stamp(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
