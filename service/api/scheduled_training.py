"""Submits the training jobs of schedules: when they are due, or when somebody asks for it."""

import asyncio
import logging
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from service.api.dependencies import Services
from service.api.schemas.schedules import SourceBody
from service.api.schemas.train import TrainBody, TrainRequest
from service.api.train_jobs import make_jobs
from service.api.validation import check
from service.errors import (
    DatasetNotFound,
    Flaw,
    IdempotencyKeyReused,
    InvalidRequest,
    JobNotFound,
    LastRunActive,
    NotReady,
    QueueFull,
    ServiceError,
    UploadsFull,
)
from service.jobs.schedule import Schedule, ScheduledRun

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 2.0
# A schedule's uploads are as fresh as if they had been read, so that they don't expire between two runs.
KEEP_EVERY_SECONDS = 3600.0
# These pass; the schedule stays due.
TRANSIENT = (NotReady, QueueFull, UploadsFull)


async def run_schedules(services: Services) -> None:
    """Submits the jobs of schedules when they are due, until it is cancelled. Each API process may do so."""
    kept_at = -KEEP_EVERY_SECONDS
    while True:
        try:
            for schedule in await services.schedules.take_due():
                await services.schedules.finish(schedule, await _run_due(services, schedule))
            if time.monotonic() - kept_at >= KEEP_EVERY_SECONDS:
                kept_at = time.monotonic()
                await _keep_datasets(services)
        except ServiceError as error:
            logger.warning("schedules can't be looked at: %s", error.message)
        except Exception:  # one schedule, or one look, that fails must not end all others
            logger.exception("schedules can't be looked at")
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def run_now(services: Services, schedule: Schedule, idempotency_key: str | None) -> Schedule:
    """Submits a schedule's jobs now.

    Raises:
        LastRunActive: jobs of its last run have not ended.
        DatasetNotFound, InvalidRequest, QueueFull: as POST /train.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    key = f"schedule {schedule.id} by hand {idempotency_key or uuid.uuid4().hex}"
    jobs, dataset_id = await _submit(services, schedule, key)
    if all(run.jobs != jobs for run in schedule.runs):
        await services.schedules.record(schedule.id, ScheduledRun(now, jobs, dataset_id))
    return await services.schedules.get(schedule.id)


def check_training(services: Services, train: TrainRequest, pointer: str = "/train") -> None:
    """Raises what POST /train would of the same body, with pointers below `pointer`. Blocks."""
    try:
        make_jobs(train, services.datasets, services.settings.each_job_bytes)
    except InvalidRequest as error:
        raise InvalidRequest(
            [Flaw(f"{pointer}{flaw.pointer}", flaw.code, flaw.message) for flaw in error.flaws]
        ) from error


async def _run_due(services: Services, schedule: Schedule) -> ScheduledRun | None:
    """What became of a schedule that is due; None where it stays due."""
    due_at = schedule.next_at or ""
    try:
        jobs, dataset_id = await _submit(services, schedule, f"schedule {schedule.id} {due_at}")
    except TRANSIENT as error:
        logger.warning("schedule %s stays due: %s", schedule.id, error.message)
        return None
    except ServiceError as error:
        logger.warning("schedule %s submitted no job: %s", schedule.id, error.message)
        services.metrics.count_scheduled_run("failed")
        return ScheduledRun(due_at, error={"code": error.code, "message": error.message})
    services.metrics.count_scheduled_run("submitted")
    return ScheduledRun(due_at, jobs, dataset_id)


async def _submit(services: Services, schedule: Schedule, key: str) -> tuple[tuple[str, ...], str | None]:
    """Submits a schedule's jobs once for each key. Returns their ids, and the upload that its source's file is now."""
    await _check_last_run(services, schedule, key)
    train, dataset_id = schedule.train, None
    if schedule.source is not None:
        source = check(schedule.source, SourceBody)
        dataset_id = await _fetch(services, schedule, source, key)
        train = {**train, "data": source.to_data(dataset_id)}
    body: Any = await asyncio.to_thread(check, train, TrainBody)
    asked, keep = await asyncio.to_thread(make_jobs, body, services.datasets, services.settings.each_job_bytes)
    try:
        await services.jobs.submit_all(asked, idempotency_key=key, keep=keep)
    except IdempotencyKeyReused:
        # Another process submitted them, of the points that there were then.
        logger.info("the jobs of schedule %s have been submitted already", schedule.id)
    return services.jobs.make_ids(key, len(asked)), dataset_id


async def _fetch(services: Services, schedule: Schedule, source: SourceBody, key: str) -> str:
    """Keeps a source's file as an upload, and removes the one of the run before. Returns the id."""
    dataset = await services.sources.fetch(source.url, services.uploader, source.to_options(), key)
    dataset_id = dataset if isinstance(dataset, str) else dataset.id
    for run in schedule.runs:
        if run.dataset not in (None, dataset_id):
            with suppress(DatasetNotFound):
                await asyncio.to_thread(services.datasets.delete, run.dataset)
    return dataset_id


async def _check_last_run(services: Services, schedule: Schedule, key: str) -> None:
    """Raises LastRunActive where jobs of the run before, which other keys lead to, have not ended."""
    last = next((run.jobs for run in schedule.runs if run.jobs), ())
    for job_id in () if last == services.jobs.make_ids(key, len(last)) else last:
        try:
            job = await services.jobs.get(job_id)
        except JobNotFound:
            continue
        if not job.is_ended:
            raise LastRunActive(
                f"Job {job.id!r} of the schedule's last run is {job.status}. Wait until it ends, cancel it, let the "
                "schedule run less often, or give max_seconds."
            )


async def _keep_datasets(services: Services) -> None:
    for schedule in await services.schedules.all():
        for dataset_id in schedule.datasets:
            await asyncio.to_thread(services.datasets.touch, dataset_id)
