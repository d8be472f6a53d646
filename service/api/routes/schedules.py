"""The /schedules routes."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.dependencies import Injected
from service.api.json_response import json_response, list_response
from service.api.openapi import problems, request_body
from service.api.request_headers import make_key_parameter, read_idempotency_key
from service.api.scheduled_training import check_training, run_now
from service.api.schemas.schedules import ScheduleAnswer, ScheduleBody, ScheduleChange, SchedulesAnswer, SourceBody
from service.api.validation import check
from service.errors import InvalidRequest

router = APIRouter(tags=["schedules"])

EXAMPLES: dict[str, dict[str, Any]] = {
    "every Monday at three in Berlin": {
        "cron": "0 3 * * 1",
        "timezone": "Europe/Berlin",
        "train": {"architecture": "auto", "name": "waves", "max_seconds": 600},
    },
}
CHANGES: dict[str, dict[str, Any]] = {"pause it": {"paused": True}, "train every night": {"cron": "@daily"}}


@router.post(
    "/schedules",
    status_code=201,
    response_model=ScheduleAnswer,
    responses=problems(400, 404, 409, 413, 415, 422, 503),
    openapi_extra={
        **request_body(ScheduleBody, EXAMPLES),
        "parameters": [make_key_parameter("the schedule that was made first")],
    },
)
async def make_schedule(request: Request, services: Injected) -> Response:
    """Makes a schedule: submits a training job each time that its cron expression is due."""
    key = read_idempotency_key(request)
    body = await services.bodies.read(request, ScheduleBody)
    await asyncio.to_thread(check_training, services, body.train, body.source)
    source = None
    if body.source is not None:
        body.source.to_options()
        services.sources.find(body.source.url)
        source = body.source.model_dump(exclude_none=True)
    train = body.train.model_dump(exclude_unset=True)
    schedule = await services.schedules.add(
        body.cron, body.timezone, train, source, paused=body.paused, idempotency_key=key
    )
    return json_response(schedule.to_dict(), 201, {"Location": services.locate(f"/schedules/{schedule.id}")})


@router.get("/schedules", response_model=SchedulesAnswer, responses=problems(503))
async def list_schedules(services: Injected) -> Response:
    """All schedules, newest first; there are a thousand at most."""
    return list_response("schedules", [schedule.to_dict() for schedule in await services.schedules.all()])


@router.get("/schedules/{schedule_id}", response_model=ScheduleAnswer, responses=problems(404, 503))
async def get_schedule(schedule_id: str, services: Injected) -> Response:
    """A schedule with its last runs."""
    return json_response((await services.schedules.get(schedule_id)).to_dict())


@router.patch(
    "/schedules/{schedule_id}",
    response_model=ScheduleAnswer,
    responses=problems(400, 404, 413, 415, 422, 503),
    openapi_extra=request_body(ScheduleChange, CHANGES),
)
async def change_schedule(schedule_id: str, request: Request, services: Injected) -> Response:
    """Changes a schedule, pauses it or resumes it."""
    body = await services.bodies.read(request, ScheduleChange)
    train = None
    if body.train is not None:
        source = (await services.schedules.get(schedule_id)).source
        if source is not None and body.train.data is not None:
            raise InvalidRequest.at(
                "/train/data", "conflicting_fields", "The schedule trains on its source. Leave the data of train out."
            )
        asked = None if source is None else check(source, SourceBody)
        await asyncio.to_thread(check_training, services, body.train, asked)
        train = body.train.model_dump(exclude_unset=True)
    schedule = await services.schedules.change(
        schedule_id, cron=body.cron, timezone=body.timezone, train=train, paused=body.paused
    )
    return json_response(schedule.to_dict())


@router.post(
    "/schedules/{schedule_id}/run",
    status_code=202,
    response_model=ScheduleAnswer,
    responses=problems(404, 409, 422, 429, 503),
    openapi_extra={"parameters": [make_key_parameter("the run that was begun first")]},
)
async def run_schedule(schedule_id: str, request: Request, services: Injected) -> Response:
    """Submits a schedule's job now, also where it is paused; its next time stays."""
    key = read_idempotency_key(request)
    schedule = await run_now(services, await services.schedules.get(schedule_id), key)
    return json_response(schedule.to_dict(), 202)


@router.delete("/schedules/{schedule_id}", status_code=204, responses=problems(404, 503))
async def delete_schedule(schedule_id: str, services: Injected) -> Response:
    """Removes a schedule. Jobs that it has submitted go on."""
    await services.schedules.delete(schedule_id)
    return Response(status_code=204)
