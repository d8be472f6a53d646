"""A job's events as Server-Sent Events, until the job, the client or the server ends."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator

import orjson
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.lifecycle import Lifecycle
from service.jobs.job import JobEvent
from service.jobs.watchers import Watching

# Proxies commonly cut a connection that is silent for half a minute.
KEEP_ALIVE_SECONDS = 15.0
MOST_WRITTEN = 256
KEEP_ALIVE = b": keep-alive\n\n"
# A proxy that gathers an answer before it passes it on would hold events back; nginx is told by a header of its own.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """Sends a watcher's events, and removes the watcher however the stream ends."""

    def __init__(self, watching: Watching, lifecycle: Lifecycle) -> None:
        super().__init__(stream(watching.batches(), lifecycle), media_type="text/event-stream", headers=HEADERS)
        self._watching = watching

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._watching.close()


# Events as they were written last: all watchers of a job are told the same ones.
_written: OrderedDict[int, tuple[JobEvent, bytes]] = OrderedDict()


def _write(event: JobEvent) -> bytes:
    known = _written.get(id(event))
    if known is None or known[0] is not event:
        text = b"id: %d\nevent: %b\ndata: %b\n\n" % (event.id, event.kind.encode(), orjson.dumps(event.data))
        # It holds the event too, so that no other one gets its identity meanwhile.
        known = _written[id(event)] = (event, text)
        if len(_written) > MOST_WRITTEN:
            _written.popitem(last=False)
    return known[1]


async def stream(
    events: AsyncIterator[JobEvent | list[JobEvent]],
    lifecycle: Lifecycle,
    *,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
) -> AsyncIterator[bytes]:
    """Writes events as they come, comments where none come; ends with the events or when the server drains.

    A client that was cut off comes back with the id of the last event that it saw.
    """
    draining = asyncio.ensure_future(lifecycle.draining.wait())
    coming: asyncio.Future[JobEvent | list[JobEvent] | None] | None = None
    try:
        while not draining.done():
            if coming is None:
                coming = asyncio.ensure_future(anext(events, None))
            await asyncio.wait((coming, draining), timeout=keep_alive_seconds, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                yield KEEP_ALIVE
                continue
            event, coming = coming.result(), None
            if event is None:
                return
            yield b"".join(map(_write, [event] if isinstance(event, JobEvent) else event))
    finally:
        draining.cancel()
        if coming is not None:
            coming.cancel()
