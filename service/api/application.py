"""The FastAPI application: routes, middleware and error handlers around its collaborators."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.dependencies import Services
from service.api.forecast_fast_path import ErrorHandler, FastPathMiddleware, find_endpoint
from service.api.head_requests import HeadMiddleware
from service.api.key_check import KeyMiddleware
from service.api.middleware import RequestMiddleware
from service.api.openapi import complete_schema
from service.api.origin_checks import OriginMiddleware
from service.api.problems import make_error_problem, make_internal_problem, make_problem
from service.api.protocols import open_inference, tensorflow_serving, time_series, timegpt
from service.api.protocols.error_form import ErrorFormMiddleware
from service.api.proxy import CorsMiddleware, RootPathMiddleware
from service.api.routes import (
    activations,
    anomalies,
    backtest,
    datasets,
    examples,
    forecast,
    jobs,
    leaderboard,
    models,
    operations,
    page,
    schedules,
    train,
)
from service.api.upgrade_refusal import UpgradeRefusalMiddleware
from service.api.validation import invalid
from service.errors import InvalidRequest, ServiceError

# Those of other servers.
PROTOCOLS = (time_series, tensorflow_serving, open_inference, timegpt)
ROUTES = (
    forecast,
    anomalies,
    backtest,
    activations,
    train,
    jobs,
    schedules,
    datasets,
    examples,
    models,
    leaderboard,
    operations,
    *PROTOCOLS,
    page,
)
# Those that the framework's way to them would slow down.
FAST_ROUTES = (
    (forecast, "POST", "/forecast"),
    (open_inference, "POST", "/v2/models/{name}/infer"),
    (open_inference, "POST", "/v2/models/{name}/versions/{version}/infer"),
    (tensorflow_serving, "POST", "/v1/models/{name}:{verb}"),
)
DESCRIPTION = "Post a series, get a forecast; post a training job, get a better model."


class _Application(FastAPI):
    """FastAPI behind middleware of our own.

    Theirs stands inside its layers for telemetry, limits and errors, which each request would pass on its way.
    """

    front: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.front(scope, receive, send)
        else:
            await self.inside(scope, receive, send)

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application without its front."""
        await super().__call__(scope, receive, send)


def make_application(
    services: Services,
    *,
    version: str,
    keys: frozenset[str],
    reaches_beyond: bool = False,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """Args:
    keys: the API keys, none for no check.
    reaches_beyond: whether the API listens beyond this machine.
    lifespan: opens and closes the collaborators.
    """
    settings = services.settings
    app = _Application(
        title="Outfielder",
        version=version,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
        # Metrics are our own; asking at every request whether OpenTelemetry has been set up would cost 10 us.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.services = services
    for module in ROUTES:
        app.include_router(module.router)
    handlers: dict[type[Exception], ErrorHandler] = {
        ServiceError: _answer_service_error,
        RequestValidationError: _answer_invalid_parameters,
        HTTPException: _answer_http_error,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _answer_bug)
    endpoints = {
        (method, path): find_endpoint(app, module.router, method, path) for module, method, path in FAST_ROUTES
    }
    app.front = FastPathMiddleware(HeadMiddleware(app.inside), services, endpoints, handlers)
    app.front = UpgradeRefusalMiddleware(app.front)
    if keys:
        app.front = KeyMiddleware(app.front, keys)
    if settings.cors_origin_names:
        # Browsers ask without a key whether they may send one.
        app.front = CorsMiddleware(app.front, settings.cors_origin_names)
    if not keys:
        # Whoever has no key can't be told from a page in a browser but by these.
        app.front = OriginMiddleware(
            app.front,
            hosts=settings.allowed_host_names,
            origins=settings.cors_origin_names,
            accepts_addresses=reaches_beyond,
        )
    if settings.root_path:
        app.front = RootPathMiddleware(app.front, settings.root_path)
    # Outside of all that refuses: a refused key has a request id as well, and the form of the protocol.
    app.front = ErrorFormMiddleware(RequestMiddleware(app.front, services.metrics, services.budget))
    complete_schema(app, asks_for_key=bool(keys))
    return app


def _request_id(request: Request) -> str:
    return cast(str, request.state.request_id)


async def _answer_service_error(request: Request, error: Exception) -> Response:
    return make_error_problem(cast(ServiceError, error), _request_id(request))


async def _answer_bug(request: Request, error: Exception) -> Response:
    # It is raised again behind the answer, and logged where the request came in.
    return make_internal_problem(_request_id(request))


async def _answer_invalid_parameters(request: Request, error: Exception) -> Response:
    """Parameters of the path and the query; bodies are read by `service.api.request_body`."""
    findings = cast(RequestValidationError, error).errors()
    flaws = invalid({**entry, "loc": entry["loc"][1:]} for entry in findings).flaws
    return make_error_problem(InvalidRequest(flaws), _request_id(request))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: no such route, or not with this method."""
    refused = cast(HTTPException, error)
    method = request.method[:20]
    if refused.status_code == HTTPStatus.NOT_FOUND:
        code, detail = "route_not_found", f"There is no route {method} {request.url.path[:100]}. See /docs."
    elif refused.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_methods(request.url.path)) or (refused.headers or {}).get("Allow", "")
        asked = request.scope.get("asked_method", method)
        code, detail = "method_not_allowed", f"This route does not support {asked}: use {allowed}."
        return make_problem(405, code, detail, _request_id(request), headers={"Allow": allowed})
    else:
        code, detail = "refused", str(refused.detail)
    return make_problem(refused.status_code, code, detail, _request_id(request), headers=refused.headers)


def _methods(path: str) -> list[str]:
    """What a path answers; the framework names the methods of its first route alone."""
    routes = [route for module in ROUTES for route in module.router.routes if isinstance(route, Route)]
    methods = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)
