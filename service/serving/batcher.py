"""Runs engine calls: short ones at once, long ones in threads; what waits for the same call is computed together."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from service.engines.engine import Array, Engine, Kind
from service.errors import NotReady, QueueFull

logger = logging.getLogger(__name__)

# One engine call. More rows gain little (the arithmetic is saturated) and make everybody behind them wait.
MAX_ROWS = 128
# Points of one engine call, padding included: at twenty float32 channels a layer's output stays near 20 MB.
MAX_CELLS = 2**18
# What a hop to a thread and back costs is more than most calls for one series take; and so long the event loop, which
# all others wait for, can do without being missed.
INLINE_SECONDS = 0.001
# Points that may wait, over all requests: 256 MB of float32.
MAX_WAITING_POINTS = 2**26


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of an engine. `horizon` is the steps that each row gets; only `rollout` passes it on."""

    engine: Engine
    kind: Kind
    horizon: int

    def run(self, series: Array, lengths: Any) -> list[Array]:
        """Series [batch, time] -> for each row its forecast [horizon], or [steps, horizon] of all steps."""
        if self.kind == "forecast":
            return list(self.engine.forecast(series, lengths))
        if self.kind == "rollout":
            return list(self.engine.rollout(series, lengths, self.horizon))
        forecast, steps = self.engine.all_steps(series, lengths)
        return [rows[:count] for rows, count in zip(forecast, steps, strict=True)]

    def seconds(self, rows: int, longest: int) -> float:
        """About how long so many rows take, at most."""
        return rows * self.engine.estimate(self.kind, longest, self.horizon)

    def cells(self, length: int) -> int:
        """What a row of this length costs."""
        return length * self.horizon if self.kind == "all_steps" else length + self.horizon


@dataclass(frozen=True, slots=True)
class Computed:
    """A request's answers, in the order of its rows, and how long it waited and was computed."""

    rows: list[Array]
    queue_seconds: float
    compute_seconds: float


@dataclass(eq=False, slots=True)
class _Request:
    rows: list[Array]
    future: asyncio.Future[Computed]
    points: int
    seconds: float
    # Shortest first, so that a part of the request holds rows of about one length: little padding.
    order: list[int]
    answers: list[Any]
    submitted: float = field(default_factory=time.perf_counter)
    started: float | None = None
    taken: int = 0
    answered: int = 0


# A request and which of its rows take part in an engine call.
_Part = tuple[_Request, list[int]]


class Batcher:
    """A bounded queue in front of the event loop and a few compute threads.

    Requests that take no time to speak of are computed on the event loop, those for the same call that came within one
    turn of it together. Longer ones go to a free thread at once; when all are busy, requests for the same call gather
    and are computed together, in parts, so that a large request lets others in between. One that fails, or whose
    caller has gone, never touches its neighbours.
    """

    def __init__(self, *, limit: int, threads: int) -> None:
        """Args: `limit` is the most requests that may wait, `threads` how many long engine calls run at once."""
        self._limit = limit
        self._free = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="compute")
        self._short: dict[Call, deque[_Request]] = {}
        self._long: dict[Call, deque[_Request]] = {}
        self._waiting = 0
        self._waiting_points = 0
        self._pumping: asyncio.Handle | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests that have rows waiting."""
        return self._waiting

    async def run(self, call: Call, rows: list[Array]) -> Computed:
        """Computes rows [time] of any lengths.

        Raises:
            QueueFull: too many requests, or points, are waiting.
            NotReady: the process is ending.
        """
        if not rows:
            return Computed([], 0.0, 0.0)
        lengths = list(map(len, rows))
        points = sum(lengths)
        self._admit(points)
        future = asyncio.get_running_loop().create_future()
        order = sorted(range(len(rows)), key=lengths.__getitem__)
        seconds = call.seconds(len(rows), lengths[order[-1]])
        request = _Request(rows, future, points, seconds, order, [None] * len(rows))
        lanes = self._short if request.seconds <= INLINE_SECONDS else self._long
        lanes.setdefault(call, deque()).append(request)
        self._waiting += 1
        self._waiting_points += points
        self._pump_soon()
        try:
            computed: Computed = await future
            return computed
        finally:
            # A caller that was cancelled leaves the queue at once, for its place is another's.
            self._leave(lanes, call, request)

    async def close(self) -> None:
        """Refuses new requests and ends when all others have their answers."""
        self._closed = True
        while self._running or self._pumping is not None:
            await asyncio.sleep(0)
            if self._running:
                await asyncio.wait(self._running)
        self._pool.shutdown()

    def _admit(self, points: int) -> None:
        if self._closed:
            raise NotReady("The server is shutting down. Send the request again.")
        if self._waiting >= self._limit or (self._waiting and self._waiting_points + points > MAX_WAITING_POINTS):
            raise QueueFull(
                f"{self._waiting} forecasts are waiting, as many as this server takes. Send fewer at once, or again "
                "later.",
                retry_after_seconds=1,
            )

    def _pump_soon(self) -> None:
        """Lets the requests that have arrived already come in first."""
        if self._pumping is None:
            self._pumping = asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Computes what is short, one call a turn of the event loop; gives what is long to free threads."""
        self._pumping = None
        while self._free and self._long:
            call, parts = self._take(self._long)
            if parts:
                self._free -= 1
                task = asyncio.get_running_loop().create_task(self._compute(call, parts))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        if self._short:
            call, parts = self._take(self._short, INLINE_SECONDS)
            if parts:
                started = time.perf_counter()
                _settle_all(parts, _outcomes(call, parts), started)
            if self._short:
                self._pump_soon()

    def _take(self, lanes: dict[Call, deque[_Request]], most_seconds: float = math.inf) -> tuple[Call, list[_Part]]:
        """Rows for one engine call; their lane then stands behind the others, a request with rows left as well."""
        call = next(iter(lanes))
        lane = lanes.pop(call)
        parts: list[_Part] = []
        rows = longest = 0
        seconds = 0.0
        unfinished: list[_Request] = []
        full = False
        while lane and not full:
            request = lane.popleft()
            if request.future.done():
                self._forget(request)
                continue
            first = request.taken
            n, longest = _fit(call, request, rows, longest)
            rows += n
            seconds += request.seconds
            request.taken += n
            full = request.taken < len(request.rows) or rows == MAX_ROWS or seconds > most_seconds
            if n:
                parts.append((request, request.order[first : request.taken]))
            if request.taken < len(request.rows):
                unfinished.append(request)
            else:
                self._forget(request)
        lane.extend(unfinished)
        if lane:
            lanes[call] = lane
        return call, parts

    def _leave(self, lanes: dict[Call, deque[_Request]], call: Call, request: _Request) -> None:
        lane = lanes.get(call)
        if lane is not None and request in lane:
            lane.remove(request)
            self._forget(request)
            if not lane:
                del lanes[call]

    def _forget(self, request: _Request) -> None:
        self._waiting -= 1
        self._waiting_points -= request.points

    async def _compute(self, call: Call, parts: list[_Part]) -> None:
        started = time.perf_counter()
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._pool, _outcomes, call, parts)
        finally:
            self._free += 1
            self._pump_soon()
        _settle_all(parts, outcomes, started)


def _fit(call: Call, request: _Request, rows: int, longest: int) -> tuple[int, int]:
    """How many of a request's next rows fit beside those that a call has, and what its longest row costs then."""
    n = min(MAX_ROWS - rows, len(request.rows) - request.taken)
    while n:
        # Rows stand in the order of their lengths: the last one is the longest.
        widest = max(longest, call.cells(len(request.rows[request.order[request.taken + n - 1]])))
        if widest * (rows + n) <= MAX_CELLS or rows + n == 1:
            return n, widest
        n //= 2
    return 0, longest


_Outcome = list[Array] | BaseException


def _outcomes(call: Call, parts: Sequence[_Part]) -> list[_Outcome]:
    """The answers of each part, or why it has none: that is for the callers whose rows these were."""
    try:
        return list(_run_parts(call, parts))
    except Exception as error:
        logger.warning("an engine call for %d requests failed", len(parts), exc_info=True)
        # One request's rows brought the call down: alone, only its own call fails.
        return [error] if len(parts) == 1 else [_outcomes(call, [part])[0] for part in parts]


def _run_parts(call: Call, parts: Sequence[_Part]) -> list[list[Array]]:
    rows = [request.rows[i] for request, indices in parts for i in indices]
    lengths = list(map(len, rows))
    longest = max(lengths)
    if len(rows) == 1:
        series = rows[0][None, :]
    elif min(lengths) == longest:
        series = np.concatenate(rows).reshape(len(rows), longest)
    else:
        series = np.zeros((len(rows), longest), np.float32)  # [batch, time]
        for target, row in zip(series, rows, strict=True):
            target[: len(row)] = row
    answers = call.run(series, np.array(lengths, np.int32))
    if len(parts) == 1:
        return [answers]
    stops = list(accumulate(len(indices) for _, indices in parts))
    return [answers[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def _settle_all(parts: Sequence[_Part], outcomes: Sequence[_Outcome], started: float) -> None:
    ended = time.perf_counter()
    for (request, indices), outcome in zip(parts, outcomes, strict=True):
        _settle(request, indices, outcome, started, ended)


def _settle(request: _Request, indices: list[int], outcome: _Outcome, started: float, ended: float) -> None:
    if request.future.done():
        # The caller has gone, or another part has failed already.
        return
    if isinstance(outcome, BaseException):
        request.future.set_exception(outcome)
        return
    for index, answer in zip(indices, outcome, strict=True):
        request.answers[index] = answer
    request.answered += len(indices)
    request.started = started if request.started is None else min(started, request.started)
    if request.answered == len(request.rows):
        request.future.set_result(
            Computed(request.answers, request.started - request.submitted, ended - request.started)
        )
