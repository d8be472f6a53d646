"""Watches a server's connections, and closes those whose clients make no progress."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from service.api.memory_budget import MemoryBudget
from service.telemetry.metrics import Metrics

LONGEST_SWEEP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits for one client.

    `read_seconds` are for a request's headers, and for each further part of its body; `write_seconds` for each part of
    an answer; `idle_seconds` between two requests.
    """

    header_bytes: int
    connections: int
    read_seconds: float
    write_seconds: float
    idle_seconds: float


class Connection(Protocol):
    """What is watched."""

    loop: asyncio.AbstractEventLoop

    def check(self, now: float) -> None:
        """Cuts the connection where its client has made no progress for too long; `now` is the loop's time."""

    def drop(self) -> None:
        """Closes a connection that waits for a request."""


class ConnectionWatch:
    """Watches a server's connections: counts them, and closes those without progress.

    One timer for all: a timer for each request would cost more than the rest of what is done here.
    """

    def __init__(self, limits: ConnectionLimits, budget: MemoryBudget, metrics: Metrics) -> None:
        self.limits = limits
        self.budget = budget
        self.metrics = metrics
        self.connections: set[Connection] = set()
        # Those that wait for a request, the longest first.
        self.idle: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._trimming: asyncio.Future[None] | None = None
        self._sweep_seconds = min(LONGEST_SWEEP_SECONDS, limits.read_seconds / 4, limits.write_seconds / 4)

    def add(self, protocol: Connection) -> bool:
        """Adds a connection, closing an idle one if there is no room; False if all are busy."""
        if len(self.connections) >= self.limits.connections:
            if not self.idle:
                return False
            next(iter(self.idle)).drop()
        self.connections.add(protocol)
        self.idle[protocol] = None
        if self._timer is None:
            self._timer = protocol.loop.call_later(self._sweep_seconds, self._look, protocol.loop)
        return True

    def remove(self, protocol: Connection) -> None:
        self.connections.discard(protocol)
        self.idle.pop(protocol, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for protocol in list(self.connections):
            protocol.check(now)
        trim = self.budget.take_trim()
        if trim is not None:
            self._trimming = loop.run_in_executor(None, trim)
        is_needed = self.connections or self.budget.held_bytes
        self._timer = loop.call_later(self._sweep_seconds, self._look, loop) if is_needed else None
