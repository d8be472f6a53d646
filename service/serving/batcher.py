"""Runs engine calls: short ones at once, long ones in threads; what waits for the same call is computed together."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from service.engines.engine import Series
from service.errors import NotReady, QueueFull
from service.serving.engine_call import MAX_ROWS, EngineCall, sort_by_length
from service.serving.pending import Computed, PendingPart, PendingRequest, run_parts, settle_all

# What a hop to a thread and back costs is more than most calls for one series take; and so long the event loop, which
# all others wait for, can do without being missed.
INLINE_SECONDS = 0.001
# Points that may wait, over all requests: 256 MB.
MAX_WAITING_POINTS = 2**25


@dataclass(eq=False, slots=True)
class _Stream:
    step: Callable[[], bool]
    future: asyncio.Future[None]
    # Threads that run its steps at this moment.
    running: int = 0
    ended: bool = False


class Batcher:
    """A bounded queue in front of the event loop and a few compute threads.

    Requests that take no time to speak of are computed on the event loop, those for the same call that came within one
    turn of it together. Longer ones go to a free thread at once; when all are busy, requests for the same call gather
    and are computed together, in parts, so that a large request lets others in between. Work that comes in steps takes
    all threads that are free, and lets others in between its steps. A request that fails, or whose caller has gone,
    never touches its neighbours.
    """

    def __init__(self, *, limit: int, threads: int) -> None:
        """Args: `limit` is the most requests that may wait, `threads` how many long engine calls run at once."""
        self._limit = limit
        self._free = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="compute")
        self._short: dict[EngineCall, deque[PendingRequest]] = {}
        self._long: dict[EngineCall, deque[PendingRequest]] = {}
        self._streams: deque[_Stream] = deque()
        self._streams_turn = False
        self._waiting = 0
        self._waiting_points = 0
        self._pumping: asyncio.Handle | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests that have rows or steps waiting."""
        return self._waiting

    async def run(self, call: EngineCall, rows: list[Series]) -> Computed:
        """Computes rows [time] of any lengths.

        Raises:
            QueueFull: too many requests, or points, are waiting.
            NotReady: the process is ending.
        """
        if not rows:
            return Computed([], 0.0, 0.0)
        points = sum(map(len, rows))
        self._admit(points)
        future = asyncio.get_running_loop().create_future()
        order = sort_by_length(rows)
        seconds = call.seconds(len(rows), len(rows[order[-1]]))
        request = PendingRequest(rows, future, points, seconds, order, [None] * len(rows))
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

    async def run_steps(self, step: Callable[[], bool]) -> None:
        """Runs a step again and again in threads, in all that are free at once, until it says that none is left.

        Args:
            step: does a part of the work, a few milliseconds of it, and returns whether there was any.

        Raises:
            QueueFull: too many requests, or points, are waiting.
            NotReady: the process is ending.
            Exception: what a step raised; no further one begins then.
        """
        self._admit(0)
        stream = _Stream(step, asyncio.get_running_loop().create_future())
        self._streams.append(stream)
        self._waiting += 1
        self._pump_soon()
        try:
            await stream.future
        finally:
            self._waiting -= 1
            self._end(stream)

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
        while self._free and (self._long or self._streams):
            if self._streams and (self._streams_turn or not self._long):
                self._streams_turn = False
                self._streams.rotate(-1)
                self._streams[-1].running += 1
                self._start(self._advance(self._streams[-1]))
            else:
                self._streams_turn = True
                call, parts = self._take(self._long)
                if parts:
                    self._start(self._compute(call, parts))
        if self._short:
            call, parts = self._take(self._short, INLINE_SECONDS)
            if parts:
                started = time.perf_counter()
                settle_all(parts, run_parts(call, parts), started)
            if self._short:
                self._pump_soon()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Gives work to a free thread."""
        self._free -= 1
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _take(
        self, lanes: dict[EngineCall, deque[PendingRequest]], most_seconds: float = math.inf
    ) -> tuple[EngineCall, list[PendingPart]]:
        """Rows for one engine call; their lane then stands behind the others, a request with rows left as well."""
        call = next(iter(lanes))
        lane = lanes.pop(call)
        parts: list[PendingPart] = []
        rows = widest = longest = 0
        unfinished: list[PendingRequest] = []
        full = False
        while lane and not full:
            request = lane.popleft()
            if request.future.done():
                self._forget(request)
                continue
            first = request.taken
            n, widest = call.fit(request.rows, request.order[first:], rows, widest)
            rows += n
            request.taken += n
            full = request.taken < len(request.rows) or rows == MAX_ROWS
            if n:
                # Rows stand in the order of their lengths.
                longest = max(longest, len(request.rows[request.order[request.taken - 1]]))
                # Of the call as a whole: most of what a small one takes does not grow with its rows.
                full = full or call.seconds(rows, longest) > most_seconds
                parts.append((request, request.order[first : request.taken]))
            if request.taken < len(request.rows):
                unfinished.append(request)
            else:
                self._forget(request)
        lane.extend(unfinished)
        if lane:
            lanes[call] = lane
        return call, parts

    def _leave(self, lanes: dict[EngineCall, deque[PendingRequest]], call: EngineCall, request: PendingRequest) -> None:
        lane = lanes.get(call)
        if lane is not None and request in lane:
            lane.remove(request)
            self._forget(request)
            if not lane:
                del lanes[call]

    def _forget(self, request: PendingRequest) -> None:
        self._waiting -= 1
        self._waiting_points -= request.points

    async def _compute(self, call: EngineCall, parts: list[PendingPart]) -> None:
        started = time.perf_counter()
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._pool, run_parts, call, parts)
        finally:
            self._free += 1
            self._pump_soon()
        settle_all(parts, outcomes, started)

    async def _advance(self, stream: _Stream) -> None:
        steps = asyncio.get_running_loop().run_in_executor(self._pool, self._take_steps, stream)
        await asyncio.wait([steps])
        self._free += 1
        stream.running -= 1
        error = steps.exception()
        stream.ended = stream.ended or error is not None
        if stream.ended:
            self._end(stream)
        if error is not None and not stream.future.done():
            stream.future.set_exception(error)
        if stream.ended and not stream.running and not stream.future.done():
            stream.future.set_result(None)
        self._pump_soon()

    def _take_steps(self, stream: _Stream) -> None:
        """In a thread: one step after the other, until others wait for the thread."""
        while not (stream.ended or stream.future.done()):
            if not stream.step():
                stream.ended = True
            elif self._long or len(self._streams) > 1:
                return

    def _end(self, stream: _Stream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)
