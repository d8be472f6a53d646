"""POST /train."""

from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.bodies import read_body
from service.api.dependencies import Injected
from service.api.headers import read_idempotency_key
from service.api.openapi import problems, request_body
from service.api.responses import json_response, list_response
from service.api.schemas.train import WHOLE_CHAPTER, JobAnswer, JobsAnswer, TrainBody

router = APIRouter(tags=["train"])

EXAMPLES: dict[str, dict[str, Any]] = {
    "one of the chapter's models": {"architecture": "lstm"},
    "for series of any magnitude, with options": {
        "architecture": "gru",
        "name": "my-gru",
        "scaling": "standard",
        "horizon": 24,
        "units": 32,
        "epochs": 5,
        "early_stopping": {"patience": 2},
        "data": {"kind": "synthetic", "n_series": 2000},
    },
    "all of the chapter's models": {"architecture": "chapter", "name": "trial", "epochs": 1},
}
KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "With the same key and body, the job that was submitted first is returned.",
}


@router.post(
    "/train",
    status_code=202,
    response_model=JobAnswer | JobsAnswer,
    responses=problems(400, 409, 413, 415, 422, 429),
    openapi_extra={**request_body(TrainBody, EXAMPLES), "parameters": [KEY_PARAMETER]},
)
async def train(request: Request, services: Injected) -> Response:
    """Submits a training job; with architecture `chapter` one for each of the chapter's models."""
    key = read_idempotency_key(request)
    body = await read_body(request, TrainBody, services.settings.max_body_bytes)
    jobs = await services.jobs.submit_all(body.to_jobs(), idempotency_key=key)
    if body.architecture == WHOLE_CHAPTER:
        return list_response("jobs", [job.to_dict() for job in jobs], status=202)
    return json_response(jobs[0].to_dict(), 202, {"Location": f"/jobs/{jobs[0].id}"})
