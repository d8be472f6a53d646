"""Errors in the form of other servers' protocols.

Routes, keys, origins and limits refuse with problem documents, as everywhere; on a protocol's paths each is translated
once, on its way out.
"""

from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import MEDIA_TYPE

TIME_SERIES = "/v1/timeseries/"
MODEL_SERVERS = ("/v1/models", "/v2/models", "/v2/health/", "/v2/repository/")
# These servers know no 422, and a model that has no version to serve is none.
STATUS = {422: 400, 409: 404}
MOST_SHOWN = 5


class ErrorFormMiddleware:
    """Translates problem documents on the paths of other servers' protocols."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if "/v1/" not in path and "/v2" not in path:
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        content_type = (b"content-type", MEDIA_TYPE.encode())

        async def send_in_form(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                # A proxy's root path is off by now.
                if content_type in message["headers"] and speaks_protocol(scope["path"]):
                    start = message
                    return
            elif start is not None:
                # A problem document is sent in one piece.
                begun, start = start, None
                body = _translate(message["body"], scope["path"])
                headers = [pair for pair in begun["headers"] if pair[0] not in (b"content-type", b"content-length")]
                headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
                status = STATUS.get(begun["status"], begun["status"])
                await send({**begun, "status": status, "headers": headers})
                await send({**message, "body": b"" if scope["method"] == "HEAD" else body})
                return
            await send(message)

        await self._app(scope, receive, send_in_form)


def speaks_protocol(path: str) -> bool:
    """Whether a path is one of another server's protocol."""
    return path.startswith((TIME_SERIES, *MODEL_SERVERS)) or path == "/v2"


def show_flaws(problem: dict[str, Any]) -> str:
    """What is wrong, in a text: where a problem document says it of places in the request, each with its own."""
    flaws = [flaw for flaw in problem["errors"] if flaw["pointer"]]
    if not flaws:
        return str(problem["detail"])
    shown = [f"{flaw['pointer']}: {flaw['message']}" for flaw in flaws[:MOST_SHOWN]]
    more = len(problem["errors"]) - len(shown)
    return " ".join([*shown, f"And {more} more."] if more > 0 else shown)


def _translate(body: bytes, path: str) -> bytes:
    # HEAD has no body to translate.
    problem: dict[str, Any] = orjson.loads(body) if body else {"detail": "", "errors": [], "status": 0, "type": ""}
    text = show_flaws(problem)
    if not path.startswith(TIME_SERIES):
        return orjson.dumps({"error": text})
    places = [flaw["pointer"] for flaw in problem["errors"] if flaw["pointer"]]
    status = STATUS.get(problem["status"], problem["status"])
    code = problem["type"].rpartition(":")[2]
    return orjson.dumps(
        {"error": {"code": str(status), "message": text, "param": places[0] if places else "", "type": code}}
    )
