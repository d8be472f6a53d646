"""POST /train."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.dependencies import Injected
from service.api.json_response import json_response, list_response
from service.api.openapi import problems, request_body
from service.api.request_headers import make_key_parameter, read_idempotency_key
from service.api.schemas.train import JobAnswer, JobsAnswer, TrainBody
from service.api.train_jobs import WHOLE_CHAPTER, make_jobs

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
    "the best of a few for series of your own": {
        "architecture": "auto",
        "name": "sales",
        "horizon": 3,
        "max_seconds": 60,
        "data": {
            "kind": "series",
            "freq": "MS",
            "series": {
                "north": [112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118, 115, 126, 141, 135, 125, 149],
                "south": [70, 66, None, 61, 72, 80, 83, 81, 77, 70, 64, 71, 69, 75, 82, 79, 76, 85, 93, 90, 84, 80],
            },
        },
    },
    "all of the chapter's models": {"architecture": "chapter", "name": "trial", "epochs": 1},
}


@router.post(
    "/train",
    status_code=202,
    response_model=JobAnswer | JobsAnswer,
    responses=problems(400, 404, 409, 413, 415, 422, 429, 503, 507),
    openapi_extra={
        **request_body(TrainBody, EXAMPLES),
        "parameters": [make_key_parameter("the job that was submitted first")],
    },
)
async def train(request: Request, services: Injected) -> Response:
    """Submits a training job; with architecture `chapter` one for each of the chapter's models."""
    key = read_idempotency_key(request)
    body = await services.bodies.read(request, TrainBody)
    # Series of one's own are read, which takes as long as they are many.
    asked, keep = await asyncio.to_thread(make_jobs, body, services.datasets, services.settings.each_job_bytes)
    jobs = await services.jobs.submit_all(asked, idempotency_key=key, keep=keep)
    if body.architecture == WHOLE_CHAPTER:
        return list_response("jobs", [job.to_dict() for job in jobs], status=202)
    return json_response(jobs[0].to_dict(), 202, {"Location": services.locate(f"/jobs/{jobs[0].id}")})
