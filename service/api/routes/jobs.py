"""The /jobs routes."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.api.dependencies import Injected
from service.api.event_stream import EventStream
from service.api.file_answer import FileAnswer
from service.api.json_response import json_response, list_response
from service.api.media_types import PARQUET
from service.api.openapi import problems
from service.api.request_headers import read_last_event_id
from service.api.schemas.train import JobAnswer, JobsAnswer
from service.errors import NoResult
from service.jobs.job import JobStatus

router = APIRouter(tags=["jobs"])

EVENT_ID_PARAMETER = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "The id of the last event received: the stream resumes after it.",
}
EVENTS_DESCRIPTION = (
    "`progress` events (epoch, epochs, loss, val_loss, eta_seconds, attempt), then one `done` event with the job"
)


@router.get("/jobs", response_model=JobsAnswer, responses=problems(422, 503))
async def list_jobs(
    services: Injected,
    status: JobStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> Response:
    """Jobs, newest first."""
    jobs, next_cursor = await services.jobs.page(status=status, limit=limit, cursor=cursor)
    return list_response("jobs", [job.to_dict() for job in jobs], next_cursor)


@router.get("/jobs/{job_id}", response_model=JobAnswer, responses=problems(404, 503))
async def get_job(job_id: str, services: Injected) -> Response:
    """One job."""
    return json_response((await services.jobs.get(job_id)).to_dict())


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"description": EVENTS_DESCRIPTION, "content": {"text/event-stream": {}}},
        **problems(404, 422, 429, 503),
    },
    openapi_extra={"parameters": [EVENT_ID_PARAMETER]},
)
async def watch_job(job_id: str, request: Request, services: Injected) -> Response:
    """A job's progress as Server-Sent Events; the last one, `done`, holds the job as it ended."""
    after = read_last_event_id(request)
    return EventStream(await services.jobs.subscribe(job_id, after=after), services.lifecycle)


@router.get(
    "/jobs/{job_id}/result",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Of a forecast, the file; of any other job, its result",
            "content": {
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
                "application/json": {"schema": {"type": "object"}},
            },
        },
        **problems(404, 409, 503),
    },
)
async def get_result(job_id: str, services: Injected) -> Response:
    """What a job has made: of a forecast of an upload a Parquet file, of any other job its `result`."""
    job = await services.jobs.get(job_id)
    if job.status != "succeeded" or job.result is None:
        how = f"it is {job.status}" if not job.is_ended else f"it ended as {job.status}"
        raise NoResult(f"Job {job.id!r} has no result: {how}.")
    if job.kind != "forecast":
        return json_response(job.result)
    dataset_id = str(job.result["dataset"])
    return FileAnswer(
        await asyncio.to_thread(services.datasets.open_forecasts, dataset_id), PARQUET, f"{job.id}.parquet"
    )


@router.post("/jobs/{job_id}/cancel", status_code=202, response_model=JobAnswer, responses=problems(404, 409, 503))
async def cancel_job(job_id: str, services: Injected) -> Response:
    """Ends a queued job at once, a running one within a batch or two."""
    return json_response((await services.jobs.cancel(job_id)).to_dict(), 202)
