"""POST /backtest."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.backtest_jobs import load_backtest_data, submit_backtest
from service.api.dependencies import Injected
from service.api.json_response import json_response
from service.api.openapi import problems, request_body
from service.api.request_headers import make_key_parameter, read_idempotency_key
from service.api.schemas.backtest import BacktestAnswer, BacktestBody
from service.api.schemas.train import JobAnswer
from service.api.untrained_model import explain_missing
from service.errors import ModelNotFound

router = APIRouter(tags=["backtest"])

MONTHLY = [112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118, 115, 126, 141, 135, 125, 149, 170, 170, 158, 133]
EXAMPLES: dict[str, dict[str, Any]] = {
    "one series, three times, each a month later": {"model": "lstm", "series": MONTHLY, "horizon": 3, "freq": "MS"},
    "many series, every origin of the last ten": {
        "model": "lstm",
        "series": {"north": MONTHLY, "south": MONTHLY[::-1]},
        "horizon": 1,
        "windows": 10,
        "season": 12,
    },
}


@router.post(
    "/backtest",
    response_model=BacktestAnswer,
    responses={
        202: {"model": JobAnswer, "description": "A job, of more points than are measured at once"},
        **problems(400, 404, 409, 413, 415, 422, 429, 503, 507),
    },
    openapi_extra={
        **request_body(BacktestBody, EXAMPLES),
        "parameters": [make_key_parameter("the job that was submitted first")],
    },
)
async def backtest(request: Request, services: Injected) -> Response:
    """Forecasts the last points of series from what was known before, and scores a model and the baselines on them."""
    key = read_idempotency_key(request)
    body = await services.bodies.read(request, BacktestBody)
    data = await asyncio.to_thread(load_backtest_data, body, services.datasets)
    try:
        plan = await services.backtesting.prepare(body.to_request(), data)
    except ModelNotFound as error:
        raise await explain_missing(services.jobs, body.model, error) from error
    if data.panel.n_points <= services.settings.backtest_inline_points:
        return json_response(await services.clients.serve(request, services.backtesting.run(plan)))
    job = await submit_backtest(services, body, plan, data, key)
    return json_response(job.to_dict(), 202, {"Location": services.locate(f"/jobs/{job.id}")})
