"""TensorFlow Serving's REST API, version 1: status, metadata and `:predict` of models, versions and labels."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from service.api.dependencies import Injected, Services
from service.api.json_response import json_response
from service.api.protocols.season_signatures import combine_with_seasons
from service.api.protocols.series_tensors import drop_last_axis, forecast_all, pad_steps, stack
from service.api.protocols.tensorflow_predict import Prediction, read_prediction, write_prediction
from service.api.protocols.tensorflow_signatures import (
    ONE_SEASON,
    TWO_SEASONS,
    Signature,
    describe_signatures,
    find_signatures,
)
from service.api.protocols.version_names import find_model, read_version, resolve
from service.api.response_stream import StreamedAnswer
from service.domain.json_flaws import describe
from service.errors import InvalidRequest
from service.serving.forecast_plan import ForecastRequest
from service.store.manifest import Manifest

# Its own documents describe it.
router = APIRouter(include_in_schema=False)
VERSION, LABEL = "/v1/models/{name}/versions/{version}", "/v1/models/{name}/labels/{label}"
LARGE_VALUES = 20_000


async def predict(request: Request, services: Injected) -> Response:
    """Forecasts by a signature of the SavedModel."""
    name, verb = request.path_params["name"], request.path_params["verb"]
    version = _read_version(request)
    if verb != "predict":
        raise InvalidRequest.at("", "unknown_choice", f"Forecasting models answer :predict; got {describe(verb)}.")
    manifest = await resolve(services, name, version)
    prediction = await services.bodies.read_protocol(
        request,
        lambda text: read_prediction(
            services.bodies.parse_object(drop_last_axis(text)), lambda asked: _find(manifest, asked)
        ),
    )
    # The number, so that an alias that moves meanwhile does not change what the signature was checked against.
    outputs = await _compute(request, services, manifest, prediction)
    pieces = write_prediction(outputs, by_row=prediction.by_row)
    if sum(array.size for array in outputs.values()) > LARGE_VALUES:
        return StreamedAnswer(await asyncio.to_thread(list, pieces))
    return Response(b"".join(pieces), media_type="application/json")


for path in ("/v1/models/{name}:{verb}", VERSION + ":{verb}", LABEL + ":{verb}"):
    router.post(path)(predict)


@router.get("/v1/models")
async def list_names(services: Injected) -> Response:
    """The names of all models, as KServe gives them."""
    return json_response({"models": [entry.name for entry in services.catalog.models()]})


@router.get("/v1/models/{name}")
async def get_status(name: str, services: Injected) -> Response:
    """The state of each version. `name` and `ready` are what KServe answers on the same path."""
    entry = await find_model(services, name)
    damaged = [
        _status(damage.version, "END", "DATA_LOSS", f"{damage.entry} {damage.reason}")
        for damage in services.registry.damaged
        if damage.model == name and damage.version is not None
    ]
    known = {status["version"] for status in damaged}
    served = [_status(m.version) for m in reversed(entry.versions) if str(m.version) not in known]
    return json_response({"name": name, "ready": bool(served), "model_version_status": served + damaged})


@router.get(VERSION)
@router.get(LABEL)
async def get_version_status(request: Request, services: Injected) -> Response:
    """The state of one version."""
    manifest = await resolve(services, request.path_params["name"], _read_version(request))
    return json_response({"model_version_status": [_status(manifest.version)]})


@router.get("/v1/models/{name}/metadata")
@router.get(VERSION + "/metadata")
@router.get(LABEL + "/metadata")
async def get_metadata(request: Request, services: Injected) -> Response:
    """A version's signatures."""
    manifest = await resolve(services, request.path_params["name"], _read_version(request))
    return json_response(describe_signatures(manifest))


async def _compute(
    request: Request, services: Services, manifest: Manifest, prediction: Prediction
) -> Mapping[str, NDArray[Any]]:
    """The outputs of a signature, each [batch, ...]."""
    if prediction.signature in (ONE_SEASON, TWO_SEASONS):
        return await combine_with_seasons(request, services, manifest, prediction)
    is_all_steps = prediction.signature == "all_steps"
    asked = ForecastRequest(
        model=manifest.name,
        version=manifest.version,
        mode="sequence" if is_all_steps else "auto",
        horizon=prediction.numbers.get("horizon"),
        all_steps=is_all_steps,
    )
    answer = await forecast_all(request, services, prediction.series, asked)
    if is_all_steps:
        padded, steps = await asyncio.to_thread(pad_steps, answer.series)
        return {"forecast": padded, "steps": steps}
    stacked: NDArray[np.floating] = (
        await asyncio.to_thread(stack, answer.series) if answer.is_large else stack(answer.series)
    )
    return {"forecast": stacked}


def _find(manifest: Manifest, name: str) -> Signature:
    signatures = find_signatures(manifest)
    if name not in signatures:
        raise InvalidRequest.at(
            "/signature_name",
            "unknown_choice",
            f"Version {manifest.version} of {manifest.name!r} has no signature {describe(name)}: expected one of "
            f"{', '.join(signatures)}.",
        )
    return signatures[name]


def _read_version(request: Request) -> int | str | None:
    parameters = request.path_params
    if "label" in parameters:
        return str(parameters["label"])
    return read_version(parameters["version"]) if "version" in parameters else None


def _status(version: int | None, state: str = "AVAILABLE", code: str = "OK", message: str = "") -> dict[str, Any]:
    return {
        "version": str(version),
        "state": state,
        "status": {"error_code": code, "error_message": message},
    }
