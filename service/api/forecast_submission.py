"""Turns a body of POST /forecast with `output` into a job."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from service.api.dependencies import Services
from service.api.request_headers import read_idempotency_key
from service.api.table_answer import check_askable
from service.api.untrained_model import explain_missing
from service.domain.panel import Panel
from service.domain.series import PostedSeries
from service.errors import InvalidRequest, ModelNotFound
from service.jobs.job import Job
from service.serving.forecast_jobs import make_task
from service.serving.forecast_plan import ForecastRequest


async def submit_forecast(
    request: Request, services: Services, dataset: str | None, asked: ForecastRequest, fields: Mapping[str, Any]
) -> Job:
    """Submits a forecast of a whole upload; what would fail it is said at once.

    Args: `fields` are all that were asked for, to be shown with the job.

    Raises:
        InvalidRequest: series in place of an upload, or what no file has a place for, or the version can't do.
        DatasetNotFound, ModelNotFound, QueueFull, IdempotencyKeyReused.
    """
    key = read_idempotency_key(request)
    if dataset is None:
        raise InvalidRequest.at(
            "/output",
            "option_not_applicable",
            "`output` is for the series of an upload: send them with POST /datasets and its id as `dataset`, or leave "
            "`output` out.",
        )
    check_askable(asked)
    store = services.datasets
    outline = await asyncio.to_thread(store.outline, dataset)
    [values] = await asyncio.to_thread(store.load_series, dataset, outline, [0])
    panel = Panel(outline.ids, (), outline.starts, outline.freq)
    first = [PostedSeries(outline.ids[0], "/dataset", values, outline.starts[0])]
    try:
        settled = await services.forecasting.settle(panel, first, asked)
    except ModelNotFound as error:
        raise await explain_missing(services.jobs, asked.model, error) from error
    return await services.jobs.submit(dict(fields), make_task(settled, dataset, outline.digest), idempotency_key=key)
