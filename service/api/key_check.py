"""The check of API keys, before anything else of a request is read."""

import hmac
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.problems import make_error_problem
from service.errors import Unauthorized

OPEN_PATHS = frozenset(
    {"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
)
# What a browser loads before somebody can enter a key.
OPEN_PREFIXES = ("/docs/", "/web/")


class KeyMiddleware:
    """Requires an API key on every path except the open ones, also on paths without a route."""

    def __init__(self, app: ASGIApp, keys: Collection[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._knows(key.strip(" \t")):
            await self._app(scope, receive, send)
            return
        problem = "The API key is not known." if key else "This server requires an API key."
        error = Unauthorized(f"{problem} Send the header Authorization: Bearer <key>.")
        await make_error_problem(error, scope["state"]["request_id"])(scope, receive, send)

    def _knows(self, key: str) -> bool:
        # Headers are decoded as Latin-1; a key of other letters was sent as UTF-8.
        given = key.encode("latin-1")
        # All keys are compared, each in constant time, so that the time tells nothing.
        return sum(hmac.compare_digest(given, known) for known in self._keys) > 0


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)
