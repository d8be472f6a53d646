"""POST /forecast."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.answer_memory_estimate import hold_answer
from service.api.dependencies import Injected, Services
from service.api.forecast_submission import submit_forecast
from service.api.json_response import json_response
from service.api.json_series import BulkSeries
from service.api.media_types import ARROW, CSV, JSON, NDJSON, PARQUET, TABLES, find_formats
from service.api.openapi import problems, request_body
from service.api.request_headers import make_key_parameter
from service.api.response_stream import StreamedAnswer, write_pieces
from service.api.schemas.forecast import ForecastAnswer, ForecastBody, read_asked, to_json
from service.api.schemas.forecast_query import describe_parameters
from service.api.schemas.train import JobAnswer
from service.api.series_source import check_source, load_dataset
from service.api.table_answer import answer_lines, answer_table, check_askable
from service.api.table_body import read_table
from service.api.untrained_model import explain_missing
from service.datasets.dataset import Finding
from service.domain.panel import Panel
from service.errors import InvalidRequest, ModelNotFound
from service.serving.anomalies import MOST_POINTS, AnomaliesRequest
from service.serving.backtest_plan import BacktestData, read_backtest_data
from service.serving.forecast_plan import ForecastRequest
from service.serving.forecasting import Forecast

router = APIRouter(tags=["forecast"])

USUAL_HORIZON = 100
SHORT_NUMBERS = 20_000
MANY_FIELDS = 50

EXAMPLES: dict[str, dict[str, Any]] = {
    "one series": {"series": [0.1, 0.4, 0.5, 0.3, -0.1, -0.4, -0.5, -0.2]},
    "many series of different lengths, one value missing": {
        "model": "lstm",
        "series": [[112, 118, 132, 129, 121, 135], [148, None, 136, 119, 104, 118, 115, 126]],
    },
    "series by id, further ahead than the model's own horizon": {
        "model": "lstm",
        "series": {"north": [3, 5, 4, 6, 5, 7], "south": [30, 28, 33, 31, 35, 34]},
        "horizon": 25,
    },
    "records with timestamps": {
        "model": "lstm",
        "series": [{"id": "sales", "values": [12, 15, 11, 18, 20, 17], "start": "2026-01-05"}],
        "freq": "D",
        "horizon": 3,
    },
    "the forecast made at every time step": {
        "model": "lstm",
        "series": [[0.0, 0.2, 0.4, 0.5, 0.4, 0.2]],
        "mode": "sequence",
        "all_steps": True,
    },
}
CSV_EXAMPLE = "unique_id,ds,y\n" + "".join(
    f"{shop},2026-01-{day:02},{value}\n"
    for shop, values in (("north", (12, 15, 11, 18, 20, 17)), ("south", (3, 4, 4, 5, 7, 6)))
    for day, value in enumerate(values, 5)
)
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_TEXT = {"schema": {"type": "string"}}
BODY: dict[str, Any] = request_body(ForecastBody, EXAMPLES)
BODY["requestBody"]["content"] |= {
    ARROW: _BYTES,
    PARQUET: _BYTES,
    CSV: {**_TEXT, "examples": {"long format": {"summary": "long format", "value": CSV_EXAMPLE}}},
}
BODY["parameters"] = [*describe_parameters(), make_key_parameter("with `output` the job that was submitted first")]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Forecasts", "content": {ARROW: _BYTES, PARQUET: _BYTES, CSV: _TEXT, NDJSON: _TEXT}}
}


@router.post(
    "/forecast",
    response_model=ForecastAnswer,
    responses={
        **ANSWERS,
        202: {"description": "With `output`: the job", "model": JobAnswer},
        **problems(400, 404, 409, 413, 415, 422, 429, 503, 504, 507),
    },
    openapi_extra=BODY,
)
async def forecast(request: Request, services: Injected) -> Response:
    """Forecasts one series or many. A series that can't be forecast has an `error` in its place.

    With `output: "dataset"`, the series of an upload, however many, are forecast by a job.
    """
    formats = find_formats(request)
    if formats.body != JSON:
        table = await read_table(request, services, formats.body)
        return await _answer(request, services, table.panel, table.asked, formats.answer, table.findings)
    body = await services.bodies.read_object(request)
    fields = {name: value for name, value in body.items() if name != "series"}
    # So many fields are unknown ones, and listing them takes a while.
    is_long = len(fields) > MANY_FIELDS
    dataset, asked, is_job = await asyncio.to_thread(read_asked, fields) if is_long else read_asked(fields)
    check_source(body)
    if is_job:
        job = await submit_forecast(request, services, dataset, asked, fields)
        return json_response(job.to_dict(), 202, {"Location": services.locate(f"/jobs/{job.id}")})
    posted = body.get("series")
    if dataset is not None:
        posted = await asyncio.to_thread(load_dataset, services.datasets, dataset)
    return await _answer(request, services, posted, asked, formats.answer)


async def _answer(
    request: Request,
    services: Services,
    posted: Any,
    asked: ForecastRequest,
    media_type: str,
    findings: Sequence[Finding] | None = None,
) -> Response:
    """Args:
    media_type: one of `service.api.media_types.ANSWERS`.
    findings: of a body that is a table; None of others.
    """
    if media_type in TABLES:
        check_askable(asked)
    if asked.fitted and isinstance(posted, BulkSeries):
        # They are read twice.
        posted = await asyncio.to_thread(_gather, posted)
    if not _is_short(posted, asked):
        await hold_answer(request, services, posted, asked)
    try:
        forecasting = services.forecasting.answer(posted, asked, panel_in_body=findings is not None)
        answer = await services.clients.serve(request, forecasting)
    except ModelNotFound as error:
        raise await explain_missing(services.jobs, asked.model, error) from error
    if asked.fitted:
        answer = await _add_fitted(request, services, answer, posted, asked)
    services.metrics.count_forecasts(answer.model, answer.plan.mode, answer.n_forecasts)
    found = findings or ()
    if media_type in TABLES:
        return await answer_table(request, services, answer, media_type, found)
    if media_type == NDJSON:
        return answer_lines(answer, found)
    if answer.is_large:
        # A hop to a thread costs less then than the event loop would be missed.
        return StreamedAnswer(await asyncio.to_thread(lambda: list(write_pieces(answer, found))))
    return json_response(to_json(answer, found))


async def _add_fitted(
    request: Request, services: Services, answer: Forecast, posted: Any, asked: ForecastRequest
) -> Forecast:
    """The answer with one-step forecasts of the points that were posted."""
    if isinstance(posted, Panel):
        data = BacktestData(posted, "/dataset", asked.freq)
    else:
        data = await asyncio.to_thread(read_backtest_data, posted, asked.freq, asked.start)
    wanted = AnomaliesRequest(answer.model, answer.version, (), asked.missing, asked.season)
    fitted = await services.clients.serve(request, services.anomalies.fit(wanted, data))
    series = [
        forecast if forecast.flaw or of_one.flaw else forecast._replace(fitted=of_one.values)
        for forecast, of_one in zip(answer.series, fitted.series, strict=True)
    ]
    return replace(answer, series=series)


def _gather(posted: BulkSeries) -> list[Any]:
    if posted.n_points > MOST_POINTS:
        raise InvalidRequest.at(
            "/fitted",
            "too_many_points",
            f"Expected at most about {MOST_POINTS} points with `fitted`, got up to {posted.n_points}. Send the series "
            "in several requests, or leave `fitted` out.",
        )
    return [series.values for part in posted for series in part]


def _is_short(posted: Any, asked: ForecastRequest) -> bool:
    """Whether the answer is surely too small for its memory to be counted. Fast."""
    if asked.all_steps or asked.explain or asked.fitted or asked.freq is not None or type(posted) not in (list, dict):
        return False
    return (
        len(posted) * (asked.horizon or USUAL_HORIZON) * (1 + 2 * len(asked.level) + len(asked.quantiles))
        <= SHORT_NUMBERS
    )
