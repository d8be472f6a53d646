"""Do what programs ask for: in the calling thread, or on the event loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, TypedDict, TypeVar

import httpx

from outfielder_client.connection import Connection
from outfielder_client.effects import (
    Close,
    Effect,
    Emit,
    InThread,
    Items,
    LineStream,
    NextLine,
    Open,
    Pause,
    Program,
    Request,
    Send,
    Together,
)
from outfielder_client.events import SILENCE_SECONDS

T = TypeVar("T")
CONNECT_SECONDS = 10.0


class Lines(LineStream):
    """The lines of an open answer."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.lines = response.iter_lines()


class Transport:
    """Does what programs ask for, in the calling thread."""

    def __init__(self, connection: Connection) -> None:
        self._http = httpx.Client(**_describe(connection))

    def close(self) -> None:
        self._http.close()

    def run(self, program: Program[T]) -> T:
        """The result of a program that emits nothing."""
        steps = self._steps(program)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result

    def iterate(self, items: Items[T]) -> Iterator[T]:
        """The items of a program as they come."""
        yield from self._steps(items.program)

    def _steps(self, program: Program[Any]) -> Generator[Any, None, Any]:
        with contextlib.ExitStack() as streams, contextlib.closing(program):
            reply: Any = None
            error: Exception | None = None
            while True:
                try:
                    effect = program.send(reply) if error is None else program.throw(error)
                except StopIteration as end:
                    return end.value
                reply = error = None
                if isinstance(effect, Emit):
                    yield effect.item
                    continue
                try:
                    reply = self._perform(effect, streams)
                except Exception as caught:  # noqa: BLE001 - the program decides: it gets the error where it asked
                    error = caught

    def _perform(self, effect: Effect, streams: contextlib.ExitStack) -> Any:
        match effect:
            case Send(request):
                return self._http.send(_build(self._http, request, is_stream=False))
            case Open(request):
                stream = Lines(self._http.send(_build(self._http, request, is_stream=True), stream=True))
                streams.callback(stream.response.close)
                if not stream.response.is_success:
                    stream.response.read()
                return stream
            case NextLine(Lines() as stream):
                return next(stream.lines, None)
            case Close(stream):
                stream.response.close()
                return None
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Together(programs, limit):
                return self._run_together(list(programs), limit)
            case InThread(function):
                return function()
        raise TypeError(f"unknown effect {effect!r}")

    def _run_together(self, programs: list[Program[Any]], limit: int) -> list[Any]:
        with ThreadPoolExecutor(max(1, min(limit, len(programs)))) as pool:
            futures = [pool.submit(self.run, program) for program in programs]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                failed = next((f for f in futures if f.done() and f.exception() is not None), None)
                if failed is not None:
                    failed.result()
                return [future.result() for future in futures]
            finally:
                for future in futures:
                    future.cancel()


class AsyncLines(LineStream):
    """The lines of an open answer."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.lines = response.aiter_lines()


class AsyncTransport:
    """Does what programs ask for, on the event loop."""

    def __init__(self, connection: Connection) -> None:
        self._http = httpx.AsyncClient(**_describe(connection))

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, program: Program[T]) -> T:
        """The result of a program that emits nothing."""
        result: list[T] = []
        async for _ in self._steps(program, result.append):
            pass
        return result[0]

    async def iterate(self, items: Items[T]) -> AsyncIterator[T]:
        """The items of a program as they come."""
        async with contextlib.aclosing(self._steps(items.program, lambda end: None)) as steps:
            async for item in steps:
                yield item

    async def _steps(self, program: Program[Any], end_with: Callable[[Any], None]) -> AsyncGenerator[Any, None]:
        async with contextlib.AsyncExitStack() as streams:
            streams.callback(program.close)
            reply: Any = None
            error: Exception | None = None
            while True:
                try:
                    effect = program.send(reply) if error is None else program.throw(error)
                except StopIteration as end:
                    end_with(end.value)
                    return
                reply = error = None
                if isinstance(effect, Emit):
                    yield effect.item
                    continue
                try:
                    reply = await self._perform(effect, streams)
                except Exception as caught:  # noqa: BLE001 - the program decides: it gets the error where it asked
                    error = caught

    async def _perform(self, effect: Effect, streams: contextlib.AsyncExitStack) -> Any:
        match effect:
            case Send(request):
                return await self._http.send(_build(self._http, request, is_stream=False))
            case Open(request):
                stream = AsyncLines(await self._http.send(_build(self._http, request, is_stream=True), stream=True))
                streams.push_async_callback(stream.response.aclose)
                if not stream.response.is_success:
                    await stream.response.aread()
                return stream
            case NextLine(AsyncLines() as stream):
                return await anext(stream.lines, None)
            case Close(stream):
                await stream.response.aclose()
                return None
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Together(programs, limit):
                return await self._run_together(list(programs), limit)
            case InThread(function):
                return await asyncio.to_thread(function)
        raise TypeError(f"unknown effect {effect!r}")

    async def _run_together(self, programs: list[Program[Any]], limit: int) -> list[Any]:
        places = asyncio.Semaphore(max(1, limit))

        async def run(program: Program[Any]) -> Any:
            async with places:
                return await self.run(program)

        tasks = [asyncio.create_task(run(program)) for program in programs]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Settings(TypedDict):
    base_url: str
    headers: dict[str, str]
    verify: bool
    timeout: httpx.Timeout


def _describe(connection: Connection) -> _Settings:
    """What a client of httpx is made with."""
    return {
        "base_url": connection.url,
        "headers": connection.all_headers(),
        # Reading the certificates of the machine takes longer than a forecast.
        "verify": connection.url.startswith("https:"),
        "timeout": _limit(connection.timeout_seconds),
    }


def _limit(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


def _build(http: httpx.Client | httpx.AsyncClient, request: Request, *, is_stream: bool) -> httpx.Request:
    """A request of httpx. A stream may be silent for longer than an answer may be late."""
    read = SILENCE_SECONDS if is_stream else request.timeout_seconds
    timeout = httpx.USE_CLIENT_DEFAULT if read is None else _limit(read)
    return http.build_request(
        request.method,
        request.path,
        content=request.content,
        params=request.params or None,
        headers=request.headers,
        timeout=timeout,
    )
