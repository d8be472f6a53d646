"""Support for proxies and browsers: the root path, and cross-origin requests."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.problems import make_problem

EXPOSED_HEADERS = ("X-Request-ID", "Location", "Retry-After", "ETag")
# How long a browser remembers what it was told: an hour.
REMEMBER_SECONDS = 3600


class RootPathMiddleware:
    """Strips a proxy's root path from requests, if the proxy has not."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        """Args: `root_path` begins with a slash and ends without one."""
        self._app = app
        self._root_path = root_path
        self._prefix = root_path + "/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith(self._prefix) or path == self._root_path:
            scope["path"] = path[len(self._root_path) :] or "/"
        await self._app(scope, receive, send)


class CorsMiddleware(CORSMiddleware):
    """Cross-origin resource sharing; refusals are problem documents."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
            allow_headers=("*",),
            expose_headers=EXPOSED_HEADERS,
            max_age=REMEMBER_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if scope["method"] != "OPTIONS" or not {"origin", "access-control-request-method"} <= set(headers.keys()):
            await super().__call__(scope, receive, send)
            return
        response = self.preflight_response(headers)
        if response.status_code >= 400:
            detail = (
                f"Pages of {headers['origin'][:200]!r} may not send this request. Add their origin to "
                "OUTFIELDER_CORS_ORIGINS, or use a method that the API has."
            )
            response = make_problem(403, "cross_origin_refused", detail, scope["state"]["request_id"])
            response.headers["Vary"] = "Origin"
        await response(scope, receive, send)
