"""Runs engine calls, short ones on the event loop, long ones in threads, and batches requests for the same call."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.engines.engine import Series
from service.errors import NotReady, QueueFull
from service.serving.engine_call import EngineCall, sort_by_length
from service.serving.pending import Computed, PendingPart, PendingRequest, run_parts, settle_all
from service.serving.request_queue import RequestQueue
from service.serving.step_queue import StepQueue, StepWork

# What a hop to a thread and back costs is more than most calls for one series take; and so long the event loop, which
# all others wait for, can do without being missed.
INLINE_SECONDS = 0.001
# Points that may wait, over all requests: 256 MB.
MAX_WAITING_POINTS = 2**25


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
        self._short = RequestQueue()
        self._long = RequestQueue()
        self._steps = StepQueue()
        self._steps_turn = False
        # Calls of `run_steps` that have not returned.
        self._stepping = 0
        self._pumping: asyncio.Handle | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests that have rows or steps waiting."""
        return self._short.waiting + self._long.waiting + self._stepping

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
        requests = self._short if request.seconds <= INLINE_SECONDS else self._long
        requests.add(call, request)
        self._pump_soon()
        try:
            computed: Computed = await future
            return computed
        finally:
            # A caller that was cancelled leaves the queue at once, for its place is another's.
            requests.remove(call, request)

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
        work = self._steps.add(step)
        self._stepping += 1
        self._pump_soon()
        try:
            await work.future
        finally:
            self._stepping -= 1
            self._steps.remove(work)

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
        waiting, waiting_points = self.waiting, self._short.points + self._long.points
        if waiting >= self._limit or (waiting and waiting_points + points > MAX_WAITING_POINTS):
            raise QueueFull(
                f"{waiting} forecasts are waiting, the most that this server allows. Send fewer at once, or try again "
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
        while self._free and (self._long or self._steps):
            if self._steps and (self._steps_turn or not self._long):
                self._steps_turn = False
                self._start(self._advance(self._steps.take()))
            else:
                self._steps_turn = True
                call, parts = self._long.take()
                if parts:
                    self._start(self._compute(call, parts))
        if self._short:
            call, parts = self._short.take(INLINE_SECONDS)
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

    async def _compute(self, call: EngineCall, parts: list[PendingPart]) -> None:
        started = time.perf_counter()
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._pool, run_parts, call, parts)
        finally:
            self._free += 1
            self._pump_soon()
        settle_all(parts, outcomes, started)

    async def _advance(self, work: StepWork) -> None:
        steps = asyncio.get_running_loop().run_in_executor(self._pool, work.run, self._others_wait)
        await asyncio.wait([steps])
        self._free += 1
        self._steps.give_back(work, steps.exception())
        self._pump_soon()

    def _others_wait(self) -> bool:
        return bool(self._long) or len(self._steps) > 1
