"""Adds to FastAPI's /openapi.json: bodies that routes read themselves, examples, problems, and API keys."""

import asyncio
from http import HTTPStatus
from threading import Lock
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from service.api.problems import MEDIA_TYPE
from service.api.schemas.activations import ActivationsBody
from service.api.schemas.anomalies import AnomaliesBody
from service.api.schemas.backtest import BacktestBody
from service.api.schemas.datasets import DatasetBody
from service.api.schemas.forecast import ForecastBody
from service.api.schemas.models import AliasBody, DefaultBody
from service.api.schemas.problem import Problem
from service.api.schemas.schedules import ScheduleBody, ScheduleChange
from service.api.schemas.train import TrainBody

REFERENCE = "#/components/schemas/{model}"
DESCRIBED: tuple[type[BaseModel], ...] = (
    ForecastBody,
    BacktestBody,
    AnomaliesBody,
    ActivationsBody,
    TrainBody,
    ScheduleBody,
    ScheduleChange,
    DatasetBody,
    AliasBody,
    DefaultBody,
    Problem,
)

Responses = dict[int | str, dict[str, Any]]


def request_body(model: type[BaseModel], examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A route's `openapi_extra`: the JSON body that it reads by itself.

    Args:
        examples: bodies by what they show; each runs as it is on a server with the starter models.
    """
    content = {
        "schema": {"$ref": REFERENCE.format(model=model.__name__)},
        "examples": {name: {"summary": name, "value": value} for name, value in examples.items()},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def problems(*statuses: int) -> Responses:
    """A route's `responses`: the statuses that it answers with a problem document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(model=Problem.__name__)}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def complete_schema(app: FastAPI, *, asks_for_key: bool) -> None:
    """Adds to the application's schema what only we know.

    The schema is made when it is first asked for: it would be a tenth of the time that a server takes to start.
    """
    make = app.openapi
    making = Lock()

    def openapi() -> dict[str, Any]:
        with making:
            if app.openapi_schema is None:
                schema = make()
                # Half of it is not to be served.
                app.openapi_schema = None
                _complete(schema, asks_for_key=asks_for_key)
                app.openapi_schema = schema
            return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend a schema
    assert app.openapi_url is not None  # it is FastAPI's default
    [route] = [route for route in app.routes if isinstance(route, Route) and route.path == app.openapi_url]
    answer = route.endpoint

    async def answer_with_schema(request: Request) -> Response:
        # It takes a fifth of a second, which the event loop has not.
        await asyncio.to_thread(openapi)
        response: Response = await answer(request)
        return response

    app.router.routes.insert(0, Route(app.openapi_url, answer_with_schema, include_in_schema=False))


def _complete(schema: dict[str, Any], *, asks_for_key: bool) -> None:
    _, definitions = models_json_schema([(model, "validation") for model in DESCRIBED], ref_template=REFERENCE)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions["$defs"])
    _remove_framework_problems(schema)
    if asks_for_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}]


def _remove_framework_problems(schema: dict[str, Any]) -> None:
    """FastAPI says of every route with a parameter that it may answer in a form of its own, which ours never do."""
    for path in schema["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
