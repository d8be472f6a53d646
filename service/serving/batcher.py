"""Runs engine calls off the event loop: what waits for the same call is computed together, nothing waits when idle."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from service.engines.engine import Array, Engine
from service.errors import NotReady, QueueFull

logger = logging.getLogger(__name__)

# One engine call. More rows gain little (the arithmetic is saturated) and make everybody behind them wait.
MAX_ROWS = 256
# Points of one engine call, padding included: at twenty float32 channels a layer's output stays near 20 MB.
MAX_CELLS = 2**18
# Points that may wait, over all requests: 256 MB of float32.
MAX_WAITING_POINTS = 2**26


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of an engine. `horizon` is the steps that each row gets; only `rollout` passes it on."""

    engine: Engine
    kind: Literal["forecast", "rollout", "all_steps"]
    horizon: int

    def run(self, series: Array, lengths: Any) -> list[Array]:
        """Series [batch, time] -> for each row its forecast [horizon], or [steps, horizon] of all steps."""
        if self.kind == "forecast":
            return list(self.engine.forecast(series, lengths))
        if self.kind == "rollout":
            return list(self.engine.rollout(series, lengths, self.horizon))
        forecast, steps = self.engine.all_steps(series, lengths)
        return [rows[:count] for rows, count in zip(forecast, steps, strict=True)]

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
    """A bounded queue in front of a few compute threads.

    A request goes to a free thread at once. When all are busy, requests for the same call gather and are computed
    together, in parts, so that a large request lets others in between. One that fails, or whose caller has gone, never
    touches its neighbours.
    """

    def __init__(self, *, limit: int, threads: int) -> None:
        """Args: `limit` is the most requests that may wait, `threads` how many engine calls run at once."""
        self._limit = limit
        self._free = threads
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="compute")
        self._lanes: dict[Call, deque[_Request]] = {}
        self._waiting_points = 0
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests that have rows waiting for a thread."""
        return sum(map(len, self._lanes.values()))

    async def run(self, call: Call, rows: list[Array]) -> Computed:
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
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        request = _Request(rows, future, points, order, [None] * len(rows))
        self._lanes.setdefault(call, deque()).append(request)
        self._waiting_points += points
        self._pump()
        try:
            computed: Computed = await future
            return computed
        finally:
            # A caller that was cancelled leaves the queue at once, for its place is another's.
            self._leave(call, request)

    async def close(self) -> None:
        """Refuses new requests and ends when all others have their answers."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)
        self._pool.shutdown()

    def _admit(self, points: int) -> None:
        if self._closed:
            raise NotReady("The server is shutting down. Send the request again.")
        waiting = self.waiting
        if waiting >= self._limit or (waiting and self._waiting_points + points > MAX_WAITING_POINTS):
            raise QueueFull(
                f"{waiting} forecasts are waiting, as many as this server takes. Send fewer at once, or again later.",
                retry_after_seconds=1,
            )

    def _pump(self) -> None:
        """Gives waiting rows to free threads."""
        while self._free and self._lanes:
            call = next(iter(self._lanes))
            parts = self._take(call)
            if not parts:
                continue
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._compute(call, parts))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self, call: Call) -> list[_Part]:
        """Rows for one engine call; their lane then stands behind the others, a request with rows left as well."""
        lane = self._lanes.pop(call)
        parts: list[_Part] = []
        rows = longest = 0
        unfinished: list[_Request] = []
        full = False
        while lane and not full:
            request = lane.popleft()
            if request.future.done():
                self._waiting_points -= request.points
                continue
            first = request.taken
            while request.taken < len(request.rows):
                cells = call.cells(len(request.rows[request.order[request.taken]]))
                full = rows > 0 and (rows == MAX_ROWS or max(longest, cells) * (rows + 1) > MAX_CELLS)
                if full:
                    break
                longest = max(longest, cells)
                rows += 1
                request.taken += 1
            if request.taken > first:
                parts.append((request, request.order[first : request.taken]))
            if request.taken < len(request.rows):
                unfinished.append(request)
            else:
                self._waiting_points -= request.points
        lane.extend(unfinished)
        if lane:
            self._lanes[call] = lane
        return parts

    def _leave(self, call: Call, request: _Request) -> None:
        lane = self._lanes.get(call)
        if lane is not None and request in lane:
            lane.remove(request)
            self._waiting_points -= request.points
            if not lane:
                del self._lanes[call]

    async def _compute(self, call: Call, parts: list[_Part]) -> None:
        started = time.perf_counter()
        try:
            results = await self._outcomes(call, parts)
        finally:
            self._free += 1
            self._pump()
        seconds = time.perf_counter() - started
        for (request, indices), result in zip(parts, results, strict=True):
            _settle(request, indices, result, started, seconds)

    async def _outcomes(self, call: Call, parts: list[_Part]) -> list[list[Array] | BaseException]:
        """The answers of each part, or why it has none."""
        together = await self._attempt(parts, call)
        if not isinstance(together, BaseException):
            return list(together)
        if len(parts) == 1:
            return [together]
        # One request's rows brought the call down: alone, only its own call fails.
        logger.warning("an engine call for %d requests failed; running them one by one", len(parts))
        outcomes: list[list[Array] | BaseException] = []
        for part in parts:
            alone = await self._attempt([part], call)
            outcomes.append(alone if isinstance(alone, BaseException) else alone[0])
        return outcomes

    async def _attempt(self, parts: Sequence[_Part], call: Call) -> list[list[Array]] | BaseException:
        """The parts' answers by one engine call, or what it raised: that is for the callers whose rows these were."""
        computing = asyncio.get_running_loop().run_in_executor(self._pool, _run_parts, call, parts)
        await asyncio.wait([computing])
        return computing.exception() or computing.result()


def _run_parts(call: Call, parts: Sequence[_Part]) -> list[list[Array]]:
    rows = [request.rows[i] for request, indices in parts for i in indices]
    lengths = np.fromiter(map(len, rows), np.int32, len(rows))
    series = np.zeros((len(rows), int(lengths.max())), np.float32)  # [batch, time]
    for target, row in zip(series, rows, strict=True):
        target[: len(row)] = row
    answers = iter(call.run(series, lengths))
    return [[next(answers) for _ in indices] for _, indices in parts]


def _settle(
    request: _Request, indices: list[int], result: list[Array] | BaseException, started: float, seconds: float
) -> None:
    if request.future.done():
        # The caller has gone, or another part has failed already.
        return
    if isinstance(result, BaseException):
        request.future.set_exception(result)
        return
    for index, answer in zip(indices, result, strict=True):
        request.answers[index] = answer
    request.answered += len(indices)
    request.started = started if request.started is None else min(started, request.started)
    if request.answered == len(request.rows):
        queue_seconds = request.started - request.submitted
        total_seconds = time.perf_counter() - request.submitted
        request.future.set_result(Computed(request.answers, queue_seconds, total_seconds - queue_seconds))
