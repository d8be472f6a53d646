"""The event stream where the job is silent, or the server ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.api.event_stream import KEEP_ALIVE, stream
from service.api.lifecycle import Lifecycle
from service.jobs.job import JobEvent

pytestmark = pytest.mark.anyio


async def slow_events(seconds: float) -> AsyncIterator[JobEvent]:
    yield JobEvent(1, "progress", {"epoch": 1})
    await asyncio.sleep(seconds)
    yield JobEvent(2, "done", {"status": "succeeded"})


async def test_a_silent_stream_is_kept_alive_without_losing_an_event() -> None:
    parts = [part async for part in stream(slow_events(0.2), Lifecycle(), keep_alive_seconds=0.05)]
    assert parts[0] == b'id: 1\nevent: progress\ndata: {"epoch":1}\n\n'
    assert parts[-1] == b'id: 2\nevent: done\ndata: {"status":"succeeded"}\n\n'
    assert len(parts) > 3
    assert set(parts[1:-1]) == {KEEP_ALIVE}


async def test_a_stream_ends_when_the_server_drains() -> None:
    lifecycle = Lifecycle()
    parts = stream(slow_events(60), lifecycle)
    assert (await anext(parts)).startswith(b"id: 1")
    asyncio.get_running_loop().call_later(0.05, lifecycle.drain)
    assert [part async for part in parts if part != KEEP_ALIVE] == []
