"""The open inference protocol, version 2, over HTTP: what KServe, Triton and MLServer speak."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.dependencies import Injected, Services
from service.api.json_response import json_response, json_text_response
from service.api.protocols import timegpt
from service.api.protocols.infer_answer import write_answer
from service.api.protocols.infer_request import Infer, read_infer
from service.api.protocols.series_tensors import drop_last_axis, forecast_all
from service.api.protocols.version_names import find_model, read_version, resolve
from service.api.response_stream import StreamedAnswer
from service.api.strict_json import Text
from service.domain.json_flaws import describe
from service.errors import InvalidRequest, VersionDamaged
from service.store.manifest import Manifest

# Its own specification describes it.
router = APIRouter(include_in_schema=False)
# What TimeGPT's client sends along.
TIMEGPT_CLIENT = "nixtla-client-version"
MODEL, VERSION = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
HEADER_LENGTH = "Inference-Header-Content-Length"
BYTES_TYPE = "application/octet-stream"
LENGTH_BYTES = HEADER_LENGTH.lower().encode()
EXTENSIONS = ["binary_tensor_data", "model_configuration", "parameters"]
# What Triton calls the engines.
PLATFORMS = {"onnx": "onnxruntime_onnx", "savedmodel": "tensorflow_savedmodel"}
SERIES_AXES = [-1, -1]
OPTIONAL = {"parameters": {"optional": True}}


@router.get("/v2")
async def get_server(request: Request) -> Response:
    """The server's name, version and extensions."""
    return json_response({"name": "outfielder", "version": request.app.version, "extensions": EXTENSIONS})


@router.get("/v2/health/live")
async def get_live() -> Response:
    """The process lives."""
    return json_response({"live": True})


@router.get("/v2/health/ready")
async def get_ready(services: Injected) -> Response:
    """Requests may come: as GET /readyz."""
    services.lifecycle.check()
    services.registry.check()
    await services.jobs.check()
    return json_response({"ready": True})


@router.get("/v2/models")
async def list_names(request: Request, services: Injected) -> Response:
    """The names of all models, as KServe gives them; to TimeGPT's client, which asks here too, as that has them."""
    if TIMEGPT_CLIENT in request.headers:
        return timegpt.list_models(services)
    return json_response({"models": [entry.name for entry in services.catalog.models()]})


@router.get(MODEL)
@router.get(VERSION)
async def get_model(request: Request, services: Injected) -> Response:
    """A model's versions, inputs and outputs."""
    manifest = await _resolve(request, services)
    entry = await find_model(services, manifest.name)
    return json_response(
        {
            "name": manifest.name,
            "versions": [str(version.version) for version in entry.versions],
            "platform": _platform(services, manifest),
            "inputs": [
                {"name": "series", "datatype": "FP64", "shape": SERIES_AXES},
                {"name": "lengths", "datatype": "INT32", "shape": [-1], **OPTIONAL},
                {"name": "horizon", "datatype": "INT32", "shape": [1], **OPTIONAL},
                {"name": "ids", "datatype": "BYTES", "shape": [-1], **OPTIONAL},
            ],
            "outputs": [{"name": "forecast", "datatype": "FP64", "shape": SERIES_AXES}],
        }
    )


@router.get(MODEL + "/config")
@router.get(VERSION + "/config")
async def get_configuration(request: Request, services: Injected) -> Response:
    """What Triton would have of a model's configuration."""
    manifest = await _resolve(request, services)
    optional = [("lengths", "TYPE_INT32", [-1]), ("horizon", "TYPE_INT32", [1]), ("ids", "TYPE_STRING", [-1])]
    return json_response(
        {
            "name": manifest.name,
            "platform": _platform(services, manifest),
            # The first axis of `series` is the batch, so that the others may have one of their own.
            "max_batch_size": 0,
            "input": [
                {"name": "series", "data_type": "TYPE_FP64", "dims": SERIES_AXES},
                *({"name": name, "data_type": kind, "dims": dims, "optional": True} for name, kind, dims in optional),
            ],
            "output": [{"name": "forecast", "data_type": "TYPE_FP64", "dims": SERIES_AXES}],
        }
    )


@router.get(MODEL + "/ready")
@router.get(VERSION + "/ready")
async def get_model_ready(request: Request, services: Injected) -> Response:
    """Whether a version can be served."""
    manifest = await _resolve(request, services)
    for damage in services.registry.damaged:
        if (damage.model, damage.version) == (manifest.name, manifest.version):
            raise VersionDamaged(f"In the store, {damage.entry} {damage.reason}.")
    return json_response({"name": request.path_params["name"], "ready": True})


@router.post("/v2/repository/index")
@router.get("/v2/repository/index")
async def list_versions(services: Injected) -> Response:
    """All versions of all models."""
    index = [
        {"name": entry.name, "version": str(manifest.version), "state": "READY", "reason": ""}
        for entry in services.catalog.models()
        for manifest in entry.versions
    ]
    damaged = [
        {"name": damage.model, "version": str(damage.version), "state": "UNAVAILABLE", "reason": damage.reason}
        for damage in services.registry.damaged
        if damage.model is not None and damage.version is not None
    ]
    known = {(entry["name"], entry["version"]) for entry in damaged}
    return json_response([entry for entry in index if (entry["name"], entry["version"]) not in known] + damaged)


async def infer(request: Request, services: Injected) -> Response:
    """Forecasts of tensors."""
    name, version = request.path_params["name"], _read_version(request)
    length = next((value.decode("latin-1") for key, value in request.scope["headers"] if key == LENGTH_BYTES), None)

    def read(text: Text) -> Infer:
        header, rest = _split(text, length)
        body = services.bodies.parse_object(drop_last_axis(header))
        return read_infer(body, rest, services.bodies.limits, name, version)

    asked = await services.bodies.read_protocol(request, read)
    forecast = await forecast_all(request, services, asked.series, asked.asked)
    answer = (
        await asyncio.to_thread(write_answer, asked, forecast) if forecast.is_large else write_answer(asked, forecast)
    )
    if answer.header_bytes is not None:
        headers = {HEADER_LENGTH: str(answer.header_bytes)}
        if forecast.is_large:
            return StreamedAnswer(answer.pieces, BYTES_TYPE, headers)
        # In one piece, as all of it is sent at once then.
        return Response(b"".join(answer.pieces), headers=headers, media_type=BYTES_TYPE)
    if forecast.is_large:
        return StreamedAnswer(answer.pieces)
    return json_text_response(b"".join(answer.pieces))


for path in (MODEL + "/infer", VERSION + "/infer"):
    router.post(path)(infer)


def _split(text: Text, length: str | None) -> tuple[Text, memoryview]:
    """A body's JSON and the bytes behind it. Raises InvalidRequest where the header does not say how long it is."""
    if length is None:
        return text, memoryview(b"")
    if not (length.isascii() and length.isdigit() and len(length) < 20 and 0 < int(length) <= len(text)):
        raise InvalidRequest.at(
            HEADER_LENGTH,
            "out_of_bounds",
            f"Expected how many of the body's {len(text)} bytes are JSON, got {describe(length[:50])}.",
        )
    return text[: int(length)], memoryview(text)[int(length) :]


async def _resolve(request: Request, services: Services) -> Manifest:
    return await resolve(services, request.path_params["name"], _read_version(request))


def _read_version(request: Request) -> int | str | None:
    text: Any = request.path_params.get("version")
    return None if text is None else read_version(text)


def _platform(services: Services, manifest: Manifest) -> str:
    engine = services.registry.choose(manifest).engine
    return PLATFORMS.get(engine or "", f"outfielder_{engine or 'none'}")
