"""Queues requests by engine call: those for the same call are batched, and different calls take turns."""

import math
from collections import deque

from service.serving.engine_call import MAX_ROWS, EngineCall
from service.serving.pending import PendingPart, PendingRequest

# A call that costs much by itself may take as long as so many of one row: the others would cost that again.
SHARED = 4


class RequestQueue:
    """A lane of requests for each engine call. To be used on the event loop."""

    def __init__(self) -> None:
        self._lanes: dict[EngineCall, deque[PendingRequest]] = {}
        # Requests that have rows waiting, and the points of all their rows.
        self.waiting = 0
        self.points = 0

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, call: EngineCall, request: PendingRequest) -> None:
        self._lanes.setdefault(call, deque()).append(request)
        self.waiting += 1
        self.points += request.points

    def take(self, most_seconds: float = math.inf) -> tuple[EngineCall, list[PendingPart]]:
        """Rows for one engine call; their lane then stands behind the others, a request with rows left as well."""
        call = next(iter(self._lanes))
        lane = self._lanes.pop(call)
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
                full = full or call.seconds(rows, longest) > max(most_seconds, SHARED * call.seconds(1, longest))
                parts.append((request, request.order[first : request.taken]))
            if request.taken < len(request.rows):
                unfinished.append(request)
            else:
                self._forget(request)
        lane.extend(unfinished)
        if lane:
            self._lanes[call] = lane
        return call, parts

    def remove(self, call: EngineCall, request: PendingRequest) -> None:
        """Takes a request out, if it is still there."""
        lane = self._lanes.get(call)
        if lane is not None and request in lane:
            lane.remove(request)
            self._forget(request)
            if not lane:
                del self._lanes[call]

    def _forget(self, request: PendingRequest) -> None:
        self.waiting -= 1
        self.points -= request.points
