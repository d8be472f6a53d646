"""KServe's time-series routes: forecasts of named series with frequencies and quantiles."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Request, Response

from service.api.dependencies import Injected
from service.api.json_response import json_response
from service.api.protocols.series_tensors import forecast
from service.api.protocols.version_names import resolve
from service.api.schemas.forecast import read_asked
from service.domain.calendar import future_timestamps
from service.domain.json_flaws import describe, unknown_field, wrong_type
from service.domain.series import PostedSeries
from service.errors import MOST_FLAWS, Flaw, InvalidRequest
from service.serving.forecast_plan import ForecastRequest
from service.serving.postprocess import SeriesForecast

# KServe's own source describes it.
router = APIRouter(include_in_schema=False)

OPTIONS = ("horizon", "quantiles")
UNIVARIATE = "univariate_time_series"
# By its words for frequencies ours. Months and longer go on by the day of the month that they begin with.
FREQUENCIES = {
    "second": "s", "minute": "min", "hour": "h", "day": "D", "week": "W", "month": "MS", "quarter": "QS", "year": "YS",
    "S": "s", "T": "min", "H": "h", "D": "D", "W": "W", "M": "MS", "Q": "QS", "Y": "YS",
}  # fmt: skip
REQUIRED = ("type", "name", "series", "frequency")


class _Input(NamedTuple):
    """One of the series: its name, its frequency in the protocol's word, and when it begins, if that is said."""

    name: str
    frequency: str
    start: str | None
    posted: PostedSeries


class _Asked(NamedTuple):
    """What a body asks for; the version is settled later."""

    request: ForecastRequest
    inputs: list[_Input]


@router.get("/v1/timeseries/models")
async def list_names(services: Injected) -> Response:
    """The names of all models: each forecasts series."""
    return json_response([entry.name for entry in services.catalog.models()])


@router.post("/v1/timeseries/forecast")
async def forecast_series(request: Request, services: Injected) -> Response:
    """Forecasts of named series."""
    asked = await services.bodies.read_protocol(request, lambda text: _read(services.bodies.parse_object(text)))
    manifest = await resolve(services, str(asked.request.model), None)
    # One version for all, whatever an alias does meanwhile. Of the zero-shot model the frequency tells the season, and
    # a request has one.
    groups: dict[str | None, list[int]] = {}
    for i, given in enumerate(asked.inputs):
        groups.setdefault(FREQUENCIES[given.frequency] if manifest.is_zero_shot else None, []).append(i)
    forecasts: dict[int, SeriesForecast] = {}
    for freq, places in groups.items():
        posted = [asked.inputs[i].posted for i in places]
        of_group = replace(asked.request, version=manifest.version, freq=freq)
        try:
            answer = await forecast(request, services, posted, of_group)
        except InvalidRequest as error:
            # All of them are bad; those of another frequency need not be.
            flaws = {flaw.pointer: flaw for flaw in error.flaws}
            found = [flaws.get(series.pointer) for series in posted]
            if None in found or len(places) == len(asked.inputs):
                raise
            forecasts.update(
                {
                    place: SeriesForecast(series.id, flaw=flaw)
                    for place, series, flaw in zip(places, posted, found, strict=True)
                }
            )
        else:
            forecasts.update(zip(places, answer.series, strict=True))
    if all(series.flaw is not None for series in forecasts.values()):
        flawed = [series.flaw for series in forecasts.values() if series.flaw is not None]
        raise InvalidRequest(flawed[:MOST_FLAWS])
    return await asyncio.to_thread(_write, asked, forecasts)


def _read(body: Mapping[str, Any]) -> _Asked:
    """What a body asks for. Raises InvalidRequest."""
    for field, kind, expected in (
        ("model", str, "the name of a model"),
        ("inputs", list, "an array of series"),
        ("options", dict, "an object with `horizon`"),
    ):
        if not isinstance(body.get(field), kind):
            raise wrong_type(f"/{field}", expected, body.get(field))
    options = {name: value for name, value in body["options"].items() if value is not None}
    for name in options:
        if name not in OPTIONS:
            raise InvalidRequest([unknown_field(name, f"/options/{name[:100]}", list(OPTIONS))])
    if "horizon" not in options:
        raise InvalidRequest.at("/options/horizon", "missing_field", "The horizon is missing: add it.")
    try:
        request = read_asked({"model": body["model"], **options}).request
    except InvalidRequest as error:
        raise InvalidRequest(
            [
                Flaw(flaw.pointer if flaw.pointer == "/model" else f"/options{flaw.pointer}", flaw.code, flaw.message)
                for flaw in error.flaws
            ]
        ) from None
    if not body["inputs"]:
        raise InvalidRequest.at("/inputs", "empty", "There is no series: expected at least one, got none.")
    return _Asked(request, [_read_input(entry, i) for i, entry in enumerate(body["inputs"])])


def _read_input(entry: Any, i: int) -> _Input:
    pointer = f"/inputs/{i}"
    if not isinstance(entry, dict):
        raise wrong_type(pointer, "an object with type, name, series and frequency", entry)
    for field in REQUIRED:
        if field not in entry:
            raise InvalidRequest.at(f"{pointer}/{field}", "missing_field", f"The input has no {field!r}: add it.")
    name, series, frequency, start = (entry.get(field) for field in ("name", "series", "frequency", "start_timestamp"))
    if type(name) is not str:
        raise wrong_type(f"{pointer}/name", "a string", name)
    if type(entry["type"]) is not str or entry["type"] != UNIVARIATE:
        raise InvalidRequest.at(
            f"{pointer}/type",
            "unknown_choice",
            f"Models are univariate: expected {UNIVARIATE!r}, got {describe(entry['type'])}. Send each variable as a "
            "series of its own.",
        )
    if not isinstance(series, list | np.ndarray):
        raise wrong_type(f"{pointer}/series", "an array of numbers and nulls", series)
    if type(frequency) is not str or frequency not in FREQUENCIES:
        raise InvalidRequest.at(
            f"{pointer}/frequency",
            "unknown_choice",
            f"Expected one of {', '.join(FREQUENCIES)}, got {describe(frequency)}.",
        )
    if start is not None and type(start) is not str:
        raise wrong_type(f"{pointer}/start_timestamp", "an ISO date-time as a string", start)
    given = _Input(name, frequency, start, PostedSeries(name, f"{pointer}/series", series))
    _find_start(given, len(series))
    return given


def _find_start(given: _Input, n_observed: int) -> str:
    """The time of the first step ahead; empty where the series has no times. Raises InvalidRequest."""
    if given.start is None:
        return ""
    try:
        return future_timestamps(FREQUENCIES[given.frequency], given.start, n_observed, 1)[0]
    except InvalidRequest as error:
        pointer = given.posted.pointer.removesuffix("series") + "start_timestamp"
        raise InvalidRequest.at(pointer, error.flaws[0].code, error.flaws[0].message) from None


def _write(asked: _Asked, forecasts: Mapping[int, SeriesForecast]) -> Response:
    content, failed = [], []
    for i, given in enumerate(asked.inputs):
        of_series = forecasts[i]
        if of_series.flaw is not None:
            flaw = of_series.flaw
            error = {"code": "400", "message": flaw.message, "param": flaw.pointer, "type": flaw.code}
            failed.append(_output(given.name, "error", [], error))
            continue
        after = of_series.starts_after
        n_observed = len(given.posted.values) if after is None else after + 1
        content.append(
            {
                "type": UNIVARIATE,
                "name": given.name,
                "mean_forecast": of_series.values,
                "frequency": given.frequency,
                "start_timestamp": _find_start(given, n_observed),
                "quantiles": of_series.quantiles,
            }
        )
    status = "partial" if failed else "completed"
    return json_response(
        {
            "id": f"forecast-{uuid.uuid4().hex}",
            "created_at": int(time.time()),
            "status": status,
            "error": None,
            "model": asked.request.model,
            "outputs": [_output(uuid.uuid4().hex, "completed", content), *failed],
            "usage": None,
        }
    )


def _output(name: str, status: str, content: list[Any], error: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"type": "time_series_forecast", "id": name, "status": status, "content": content, "error": error}
