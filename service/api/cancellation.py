"""Cancels work whose client has disconnected or whose deadline has passed."""

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from service.domain.json_flaws import describe
from service.errors import BadHeader, DeadlineExceeded

T = TypeVar("T")

# How long after its body a request runs before its connection is watched; at most twice that. That costs a task, and
# among 64 callers each waits for 25 to 50 ms.
PATIENCE_SECONDS = 0.1
TIMEOUT_HEADER = "X-Request-Timeout-Ms"
LONGEST_TIMEOUT_MS = 3_600_000
_MILLISECONDS = re.compile(r"0{0,20}[0-9]{1,7}\Z")
_TIMEOUT_HEADER_BYTES = TIMEOUT_HEADER.lower().encode()


@dataclass(eq=False, slots=True)
class _Client:
    request: Request
    begun: float
    has_left: bool = False
    watching: asyncio.Task[None] | None = None

    async def watch(self, task: asyncio.Task[Any]) -> None:
        # With the body read, the next message can only be that the client has gone.
        await self.request.receive()
        self.has_left = True
        task.cancel()


class WaitingClients:
    """Awaits work for clients and cancels it when they disconnect.

    Most answers are there before anybody can lose patience, and a timer or a task for each would cost more than they
    do. So one timer looks from time to time who has been waiting for a while, and watches these.
    """

    def __init__(self) -> None:
        self._clients: dict[asyncio.Task[Any], _Client] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """Awaits work for a client. The request's body must have been read.

        Raises:
            ClientDisconnect: the client has gone.
            DeadlineExceeded: the deadline of the header X-Request-Timeout-Ms has passed.
            BadHeader: that header is not a number of milliseconds.
        """
        for name, value in request.scope["headers"]:
            if name == _TIMEOUT_HEADER_BYTES:
                return await self._serve_in_time(request, work, value.decode("latin-1"))
        return await self._serve(request, work)

    async def _serve_in_time(self, request: Request, work: Coroutine[Any, Any, T], given: str) -> T:
        seconds = _read_seconds(given, work)
        try:
            async with asyncio.timeout(seconds):
                return await self._serve(request, work)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"There was no answer within the {seconds * 1000:g} ms of {TIMEOUT_HEADER}. Allow more time, "
                "request less, or try again when the server is less busy."
            ) from error

    async def _serve(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None  # coroutines run in tasks
        loop = asyncio.get_running_loop()
        client = self._clients[task] = _Client(request, loop.time())
        if self._timer is None:
            self._timer = loop.call_later(PATIENCE_SECONDS, self._look)
        try:
            return await work
        except asyncio.CancelledError:
            if client.has_left:
                task.uncancel()
                raise ClientDisconnect from None
            raise
        finally:
            del self._clients[task]
            watching, client.watching = client.watching, None
            if watching is not None:
                # Its error will hold a frame that holds the client. Were it held by the client in turn, thousands of
                # requests would wait for the garbage collector, and callers for it: 12 ms at a time.
                watching.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PATIENCE_SECONDS, self._look) if self._clients else None
        latest = loop.time() - PATIENCE_SECONDS
        for task, client in self._clients.items():
            if client.begun > latest:
                # They stand in the order in which they came.
                break
            if client.watching is None:
                client.watching = asyncio.ensure_future(client.watch(task))


def _read_seconds(given: str, work: Coroutine[Any, Any, Any]) -> float:
    if _MILLISECONDS.match(given) and 0 < int(given) <= LONGEST_TIMEOUT_MS:
        return int(given) / 1000
    work.close()
    raise BadHeader(
        f"{TIMEOUT_HEADER}: expected milliseconds, a whole number from 1 to {LONGEST_TIMEOUT_MS}, got "
        f"{describe(given)}."
    )
