"""Requests that ask for another protocol than HTTP/1.1."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.problems import make_error_problem
from service.errors import UpgradeRefused


class UpgradeRefusalMiddleware:
    """Refuses websockets and other upgrades; if keys are set, only after the key was checked.

    Another protocol, such as HTTP/2, is an offer that needs no answer: the request is served as it is. With a body it
    can't be, since the parser takes what follows the headers for the other protocol.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["state"].get("upgrade")
        if asked is None or (asked != "websocket" and not _has_body(scope)):
            await self._app(scope, receive, send)
            return
        error = UpgradeRefused(
            "This server speaks HTTP/1.1 alone: send the request without the header Upgrade. A job's progress comes "
            "as Server-Sent Events from GET /jobs/{id}/events."
        )
        await make_error_problem(error, scope["state"]["request_id"])(scope, receive, send)


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
