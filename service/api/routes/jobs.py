"""The /jobs routes."""

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from service.api.dependencies import Injected
from service.api.event_stream import EventStream
from service.api.file_answer import FileAnswer
from service.api.json_response import json_response, list_response
from service.api.media_types import PARQUET
from service.api.openapi import problems
from service.api.query_parameters import read_moment, refuse_unknown_parameters
from service.api.request_headers import make_key_parameter, read_idempotency_key, read_last_event_id
from service.api.schemas.jobs import HistoryAnswer
from service.api.schemas.train import JobAnswer, JobsAnswer
from service.api.train_jobs import check_data
from service.errors import NoResult
from service.jobs.job import JobKind, JobStatus

router = APIRouter(tags=["jobs"])

EVENT_ID_PARAMETER = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "The id of the last event received: the stream resumes after it.",
}
EVENTS_DESCRIPTION = (
    "`progress` events (epoch, epochs, loss, val_loss, eta_seconds, attempt, seconds), "
    "then one `done` event with the job"
)


@router.get("/jobs", response_model=JobsAnswer, responses=problems(422, 503))
async def list_jobs(
    request: Request,
    services: Injected,
    status: JobStatus | None = None,
    model: Annotated[str | None, Query(description="The name that they publish or measure")] = None,
    kind: JobKind | None = None,
    submitted_after: Annotated[
        str | None, Query(description="An ISO 8601 date or date-time, UTC where it has no offset; itself included")
    ] = None,
    submitted_before: Annotated[str | None, Query(description="As submitted_after; itself left out")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> Response:
    """Jobs, newest first."""
    refuse_unknown_parameters(request)
    jobs, next_cursor = await services.jobs.page(
        status=status,
        model=model,
        kind=kind,
        submitted_after=read_moment("submitted_after", submitted_after),
        submitted_before=read_moment("submitted_before", submitted_before),
        limit=limit,
        cursor=cursor,
    )
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
    "/jobs/{job_id}/log",
    response_class=PlainTextResponse,
    responses={200: {"description": "a line for each event", "content": {"text/plain": {}}}, **problems(404, 503)},
)
async def read_log(job_id: str, services: Injected) -> Response:
    """What the workers logged about a job, over all its runs; of very long logs the end."""
    lines = await services.jobs.read_log(job_id)
    return PlainTextResponse("".join(f"{line}\n" for line in lines), headers={"Cache-Control": "no-store"})


@router.get("/jobs/{job_id}/history", response_model=HistoryAnswer, responses=problems(404, 422, 503))
async def read_history(
    job_id: str,
    services: Injected,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    cursor: str | None = None,
) -> Response:
    """The losses of a job's epochs, in the order in which they were fitted, over all its runs."""
    epochs, next_cursor = await services.jobs.read_history(job_id, limit=limit, cursor=cursor)
    return list_response("history", epochs, next_cursor)


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


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    response_model=JobAnswer,
    responses=problems(404, 409, 422, 429, 503),
    openapi_extra={"parameters": [make_key_parameter("the job that was submitted first")]},
)
async def retry_job(job_id: str, request: Request, services: Injected) -> Response:
    """Submits the request of a job that has ended once more, as a new job."""
    key = read_idempotency_key(request)
    job = await services.jobs.retry(job_id, idempotency_key=key, check=partial(check_data, services.datasets))
    return json_response(job.to_dict(), 202, {"Location": services.locate(f"/jobs/{job.id}")})
