"""POST /activations."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.activation_stream import hold_activations, write_activations
from service.api.dependencies import Injected
from service.api.openapi import problems, request_body
from service.api.response_stream import StreamedAnswer
from service.api.schemas.activations import ActivationsAnswer, ActivationsBody
from service.api.untrained_model import explain_missing
from service.errors import ModelNotFound
from service.serving.activations import VersionActivations

router = APIRouter(tags=["models"])

EXAMPLES: dict[str, dict[str, Any]] = {
    "the gates of a GRU": {
        "model": "gru",
        "series": [0.1, 0.4, 0.5, 0.3, -0.1, -0.4, -0.5, -0.2, 0.2, 0.5, 0.4, 0.1, -0.3, -0.5, -0.4, 0.0],
    },
}


@router.post(
    "/activations",
    response_model=ActivationsAnswer,
    responses=problems(400, 404, 409, 413, 415, 422, 429, 503, 504),
    openapi_extra=request_body(ActivationsBody, EXAMPLES),
)
async def activations(request: Request, services: Injected) -> Response:
    """What the recurrent layers of a model compute inside, at each step of one series: gates, candidates and states."""
    body = await services.bodies.read(request, ActivationsBody)

    async def compute() -> VersionActivations:
        plan = await services.activations.prepare(body.to_request(), body.series)
        hold_activations(request, services, plan)
        return await services.activations.run(plan)

    try:
        answer = await services.clients.serve(request, compute())
    except ModelNotFound as error:
        raise await explain_missing(services.jobs, body.model, error) from error
    return StreamedAnswer(await asyncio.to_thread(lambda: list(write_activations(answer))))
