"""A shortcut for frequent routes, for which the framework's routing would cost more than the answer."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.dependencies import Services, get_services

Endpoint = Callable[[Request, Services], Awaitable[Response]]
ErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


class FastPathMiddleware:
    """Calls the endpoints of some routes itself. They stand in the application as well, which documents them.

    FastAPI finds a route, its parameters and its exception handler in 0.1 ms: a third of a forecast.
    """

    def __init__(
        self,
        app: ASGIApp,
        services: Services,
        endpoints: Mapping[tuple[str, str], Endpoint],
        error_handlers: Mapping[type[Exception], ErrorHandler],
    ) -> None:
        """Args:
        endpoints: by method and path, which may be a template, from `find_endpoint`.
        error_handlers: those of the application, by the class of what they answer.
        """
        self._app = app
        self._services = services
        self._endpoints = {key: endpoint for key, endpoint in endpoints.items() if "{" not in key[1]}
        # By what their paths begin with, so that others are told at once.
        self._templates = [
            (method, path[: path.index("{")], compile_path(path)[0], path, endpoint)
            for (method, path), endpoint in endpoints.items()
            if "{" in path
        ]
        self._error_handlers = error_handlers
        self._answered = tuple(error_handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get((scope["method"], scope["path"]))
        if endpoint is not None:
            scope["direct_path"] = scope["path"]
        else:
            endpoint = self._match(scope)
            if endpoint is None:
                await self._app(scope, receive, send)
                return
        request = Request(scope, receive)
        try:
            response = await endpoint(request, self._services)
        except self._answered as error:
            handler = next(self._error_handlers[kind] for kind in type(error).__mro__ if kind in self._error_handlers)
            response = await handler(request, error)
        await response(scope, receive, send)

    def _match(self, scope: Scope) -> Endpoint | None:
        """The endpoint of a template that the path fits; the parts of the path are then the request's parameters."""
        for method, beginning, pattern, template, endpoint in self._templates:
            if scope["method"] == method and scope["path"].startswith(beginning):
                match = pattern.match(scope["path"])
                if match is not None:
                    scope["direct_path"], scope["path_params"] = template, match.groupdict()
                    return endpoint
        return None


def find_endpoint(app: FastAPI, router: APIRouter, method: str, path: str) -> Endpoint:
    """The endpoint of a route that may be called without the framework: it takes the request and the services alone.

    Raises:
        TypeError: it, its router or the application has dependencies or parameters, which would be skipped.
    """
    route = next(
        route
        for route in router.routes
        if isinstance(route, APIRoute) and route.path == path and method in (route.methods or ())
    )
    needs = route.dependant
    parameters = (needs.path_params, needs.query_params, needs.header_params, needs.cookie_params, needs.body_params)
    if [inner.call for inner in needs.dependencies] != [get_services] or any(parameters) or app.router.dependencies:
        raise TypeError(
            f"{method} {path} has dependencies or parameters that its fast path would skip: take them off, or the "
            "route out of service.api.application.FAST_ROUTES."
        )
    endpoint: Endpoint = route.endpoint
    return endpoint
