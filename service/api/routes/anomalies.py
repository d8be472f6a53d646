"""POST /anomalies."""

import asyncio
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.backtest_jobs import load_backtest_data
from service.api.dependencies import Injected
from service.api.json_response import json_response
from service.api.openapi import problems, request_body
from service.api.schemas.anomalies import AnomaliesAnswer, AnomaliesBody, to_json
from service.api.untrained_model import explain_missing
from service.errors import InvalidRequest, ModelNotFound

router = APIRouter(tags=["forecast"])

WEEKS = [12, 15, 11, 18, 30, 41, 20] * 6
EXAMPLES: dict[str, dict[str, Any]] = {
    "days of six weeks, one of them doubled": {
        "series": [*WEEKS[:38], 80, *WEEKS[39:]],
        "freq": "D",
        "start": "2026-01-05",
    },
    "series by id, with a narrower interval": {
        "series": {"north": WEEKS, "south": WEEKS[::-1]},
        "level": 90,
        "season": 7,
    },
}


@router.post(
    "/anomalies",
    response_model=AnomaliesAnswer,
    responses=problems(400, 404, 409, 413, 415, 422, 429, 503, 504),
    openapi_extra=request_body(AnomaliesBody, EXAMPLES),
)
async def anomalies(request: Request, services: Injected) -> Response:
    """Forecasts each point of a series from those before it, and names those outside their prediction interval."""
    body = await services.bodies.read(request, AnomaliesBody)
    data = await asyncio.to_thread(load_backtest_data, body, services.datasets)
    try:
        fitted = await services.clients.serve(request, services.anomalies.fit(body.to_request(), data))
    except InvalidRequest as error:
        # Here the level is no list.
        raise InvalidRequest(
            [replace(flaw, pointer="/level" if flaw.pointer == "/level/0" else flaw.pointer) for flaw in error.flaws]
        ) from None
    except ModelNotFound as error:
        raise await explain_missing(services.jobs, body.model, error) from error
    return await asyncio.to_thread(lambda: json_response(to_json(fitted, body.level, data)))
