"""Middleware around every request: ids, metrics, and a 500 for unexpected errors."""

import asyncio
import logging
import random
import re
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.memory_budget import MemoryBudget
from service.api.problems import make_error_problem, make_internal_problem
from service.errors import NotReady
from service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# What other servers log for a client that went away before its answer.
CLIENT_GONE = 499
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,128}\Z")


class RequestMiddleware:
    """Gives every request an id and every answer its X-Request-ID; turns bugs into a 500 without details."""

    def __init__(self, app: ASGIApp, metrics: Metrics, budget: MemoryBudget) -> None:
        self._app = app
        self._metrics = metrics
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _read_id(scope) or f"{random.getrandbits(128):032x}"
        id_header = (b"x-request-id", request_id.encode("latin-1"))
        hold = self._budget.open()
        state = scope.setdefault("state", {})
        state["request_id"], state["hold"] = request_id, hold
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], id_header]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = CLIENT_GONE
        except asyncio.CancelledError:
            # The server shuts down and waits for this request no longer; raised on, uvicorn would log a traceback.
            if not status:
                await make_error_problem(NotReady("The server is shutting down."), request_id)(
                    scope, receive, send_with_id
                )
        except Exception:  # whatever a route did not foresee: its caller is told so, and the server lives on
            logger.exception("a request failed", extra={"request_id": request_id})
            # An answer that has begun can't be taken back: the server closes the connection for want of its end.
            if not status:
                await make_internal_problem(request_id)(scope, receive, send_with_id)
        finally:
            hold.release()
            # The template of the route and not the path, whose number has no bound.
            route = scope.get("direct_path") or getattr(scope.get("route"), "path", "unmatched")
            self._metrics.observe_request(scope["method"], str(route), status, time.perf_counter() - started)


def _read_id(scope: Scope) -> str:
    """The id that the client gave; empty where it gave none, or one that no log should hold."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            return given if _PRINTABLE.match(given) else ""
    return ""
