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
from service.api.train_jobs import check_options, make_jobs
from service.api.validation import check
from service.domain.moments import write_moment
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
    now = write_moment(datetime.now(UTC))
    key = f"schedule {schedule.id} by hand {idempotency_key or uuid.uuid4().hex}"
    await _check_last_run(services, schedule, key)
    train, dataset_id = await _read_training(services, schedule, key)
    try:
        jobs = await _submit(services, schedule, key, train, dataset_id)
    except ServiceError:
        if dataset_id is not None and all(run.dataset != dataset_id for run in schedule.runs):
            with suppress(ServiceError):
                await asyncio.to_thread(services.datasets.delete, dataset_id)
        raise
    if all(run.jobs != jobs for run in schedule.runs):
        await services.schedules.record(schedule.id, ScheduledRun(now, jobs, dataset_id))
    return await services.schedules.get(schedule.id)


def check_training(services: Services, train: TrainRequest, source: SourceBody | None) -> None:
    """Raises what POST /train would of the same body; of one that trains on a source, what its options are refused for.

    Blocks.
    """
    try:
        if source is None:
            make_jobs(train, services.datasets, services.settings.each_job_bytes)
        else:
            check_options(train, source.freq)
    except InvalidRequest as error:
        raise InvalidRequest(
            [Flaw(f"/train{flaw.pointer}", flaw.code, flaw.message) for flaw in error.flaws]
        ) from error


async def _run_due(services: Services, schedule: Schedule) -> ScheduledRun | None:
    """What became of a schedule that is due; None where it stays due."""
    due_at = schedule.next_at or ""
    key = f"schedule {schedule.id} {due_at}"
    dataset_id: str | None = None
    try:
        await _check_last_run(services, schedule, key)
        train, dataset_id = await _read_training(services, schedule, key)
        jobs = await _submit(services, schedule, key, train, dataset_id)
    except TRANSIENT as error:
        logger.warning("schedule %s stays due: %s", schedule.id, error.message)
        return None
    except ServiceError as error:
        logger.warning("schedule %s submitted no job: %s", schedule.id, error.message)
        services.metrics.count_scheduled_run("failed")
        # With the upload, which the next run that succeeds removes.
        return ScheduledRun(due_at, dataset=dataset_id, error={"code": error.code, "message": error.message})
    services.metrics.count_scheduled_run("submitted")
    return ScheduledRun(due_at, jobs, dataset_id)


async def _read_training(services: Services, schedule: Schedule, key: str) -> tuple[dict[str, Any], str | None]:
    """The body of POST /train, and the upload that the source's file was kept as."""
    if schedule.source is None:
        return schedule.train, None
    source = check(schedule.source, SourceBody)
    dataset_id = await services.sources.fetch(
        source.url, services.uploader, services.datasets, source.to_options(), key
    )
    return {**schedule.train, "data": source.to_data(dataset_id)}, dataset_id


async def _submit(
    services: Services, schedule: Schedule, key: str, train: dict[str, Any], dataset_id: str | None
) -> tuple[str, ...]:
    """Submits a schedule's jobs once for each key. Returns their ids."""
    body = await asyncio.to_thread(check, train, TrainBody)
    asked, keep = await asyncio.to_thread(make_jobs, body, services.datasets, services.settings.each_job_bytes)
    try:
        await services.jobs.submit_all(asked, idempotency_key=key, keep=keep)
    except IdempotencyKeyReused:
        # Another process submitted them, of the points that there were then.
        logger.info("the jobs of schedule %s have been submitted already", schedule.id)
    if dataset_id is not None:
        await _remove_earlier(services, schedule, dataset_id)
    return services.jobs.make_ids(key, len(asked))


async def _remove_earlier(services: Services, schedule: Schedule, dataset_id: str) -> None:
    """Removes the uploads of a source's earlier runs, but for those that a job reads: they expire as all do."""
    for earlier in {run.dataset for run in schedule.runs} - {None, dataset_id}:
        if earlier is not None and await services.jobs.find_reader(earlier) is None:
            with suppress(DatasetNotFound):
                await asyncio.to_thread(services.datasets.delete, earlier)


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
