"""The /models routes."""

import asyncio
import re
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.dependencies import Injected, Services
from service.api.json_response import json_response, list_response
from service.api.openapi import problems, request_body
from service.api.schemas.models import AliasBody, DefaultBody, ModelAnswer, ModelsAnswer, damage_to_json, to_json
from service.errors import ModelNotFound

router = APIRouter(tags=["models"])

MOST_DAMAGED = 1000
_NUMBER = re.compile(r"[0-9]{1,9}\Z")


@router.get("/models", response_model=ModelsAnswer)
async def list_models(services: Injected) -> Response:
    """All models, by name, and what in the store is damaged."""
    catalog, default = services.catalog, services.catalog.default
    shown = [to_json(entry, services.registry.choose, is_default=entry.name == default) for entry in catalog.models()]
    damaged = [damage_to_json(damage) for damage in services.registry.damaged[:MOST_DAMAGED]]
    return list_response("models", shown, members={"damaged": damaged} if damaged else None)


@router.get("/models/{name}", response_model=ModelAnswer, responses=problems(404, 503))
async def get_model(name: str, services: Injected) -> Response:
    """One model."""
    try:
        return json_response(_show(services, name))
    except ModelNotFound:
        # It may have been published a moment ago.
        await services.registry.refresh()
        return json_response(_show(services, name))


@router.delete("/models/{name}", status_code=204, responses=problems(404, 503))
async def delete_model(name: str, services: Injected) -> Response:
    """Removes a model with all its versions and aliases. Their numbers are never used again."""
    await asyncio.to_thread(services.catalog.delete_model, name)
    await services.registry.refresh()
    return Response(status_code=204)


@router.get("/models/{name}/versions/{version}", response_model=dict[str, Any], responses=problems(404, 503))
async def get_version(name: str, version: str, services: Injected) -> Response:
    """A version's manifest; `version` is a number or an alias."""
    return json_response((await services.registry.resolve(name, _read_version(version))).to_dict())


@router.delete("/models/{name}/versions/{version}", status_code=204, responses=problems(404, 409, 503))
async def delete_version(name: str, version: str, services: Injected) -> Response:
    """Removes a version that no alias names, damaged or not. Its number is never used again."""
    number = _read_version(version)
    if isinstance(number, str):
        number = (await services.registry.resolve(name, number)).version
    await asyncio.to_thread(services.catalog.delete_version, name, number)
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
    responses=problems(400, 404, 413, 415, 422, 503),
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
