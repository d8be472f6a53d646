"""The /models routes."""

import asyncio
import re
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.dependencies import Injected, Services
from service.api.openapi import problems, request_body
from service.api.responses import json_response, list_response
from service.api.schemas.models import AliasBody, DefaultBody, ModelAnswer, ModelsAnswer, to_json

router = APIRouter(tags=["models"])

_NUMBER = re.compile(r"[0-9]{1,9}\Z")


@router.get("/models", response_model=ModelsAnswer)
async def list_models(services: Injected) -> Response:
    """All models, by name."""
    return list_response("models", [_show(services, entry.name) for entry in services.catalog.models()])


@router.get("/models/{name}", response_model=ModelAnswer, responses=problems(404))
async def get_model(name: str, services: Injected) -> Response:
    """One model."""
    return json_response(_show(services, name))


@router.get("/models/{name}/versions/{version}", response_model=dict[str, Any], responses=problems(404))
async def get_version(name: str, version: str, services: Injected) -> Response:
    """A version's manifest; `version` is a number or an alias."""
    return json_response((await services.registry.resolve(name, _read_version(version))).to_dict())


@router.delete("/models/{name}/versions/{version}", status_code=204, responses=problems(404, 409))
async def delete_version(name: str, version: str, services: Injected) -> Response:
    """Removes a version that no alias names. Its number is never used again."""
    manifest = await services.registry.resolve(name, _read_version(version))
    await asyncio.to_thread(services.catalog.delete_version, name, manifest.version)
    await services.registry.refresh()
    return Response(status_code=204)


@router.put(
    "/models/{name}/aliases/{alias}",
    response_model=ModelAnswer,
    responses=problems(400, 404, 413, 415, 422, 503),
    openapi_extra=request_body(AliasBody, {"make version 1 the champion": {"version": 1}}),
)
async def put_alias(name: str, alias: str, request: Request, services: Injected) -> Response:
    """Points an alias at a version, which is loaded first: no request waits for it, none fails."""
    body = await services.bodies.read(request, AliasBody)
    # A version that was published a moment ago may not have been noticed yet.
    await services.registry.refresh()
    await services.registry.engine(services.catalog.resolve(name, body.version))
    await asyncio.to_thread(services.catalog.set_alias, name, alias, body.version)
    return json_response(_show(services, name))


@router.put(
    "/models/default",
    response_model=ModelAnswer,
    responses=problems(400, 404, 413, 415, 422),
    openapi_extra=request_body(DefaultBody, {"requests without a model get lstm": {"name": "lstm"}}),
)
async def put_default(request: Request, services: Injected) -> Response:
    """Makes a model the one that requests without a name get."""
    body = await services.bodies.read(request, DefaultBody)
    await asyncio.to_thread(services.catalog.set_default, body.name)
    return json_response(_show(services, body.name))


def _show(services: Services, name: str) -> dict[str, Any]:
    catalog = services.catalog
    return to_json(catalog.model(name), services.registry.choose, is_default=name == catalog.default)


def _read_version(text: str) -> int | str:
    """Digits are a number; anything else can only be an alias."""
    return int(text) if _NUMBER.match(text) else text
