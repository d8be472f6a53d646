"""Answers HEAD on every GET route: the same status and headers, no body."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _Answered(OSError):
    """Ends a long body after its headers were sent. An OSError, as if the client had gone."""


class HeadMiddleware:
    """Runs the GET route and drops the body. Answers without a length end with their headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # A copy: the server looks into its own, and would count a body that is not there.
        inner = {**scope, "method": "GET", "asked_method": "HEAD"}

        async def send_headers(message: Message) -> None:
            has_begun = message["type"] == "http.response.start"
            if has_begun:
                await send(message)
                if any(name.lower() == b"content-length" for name, _ in message["headers"]):
                    return
                # Without a length it may be endless, and its first part long in coming.
            elif message["type"] != "http.response.body":
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if has_begun or message.get("more_body"):
                raise _Answered

        try:
            await self._app(inner, receive, send_headers)
        except (_Answered, ClientDisconnect):
            # The headers are sent, or nobody waits for them any more.
            return
        finally:
            scope["route"] = inner.get("route")
