"""A proxy that breaks what passes it, as networks and servers do."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

END = b"\r\n\r\n"
CHUNK = 1024
OVERLOADED = (
    b'{"type":"urn:outfielder:problem:queue_full","title":"Queue full","status":429,"detail":"Full.",'
    b'"request_id":"r","errors":[{"pointer":"","code":"queue_full","message":"Full."}]}'
)


class Proxy:
    """Passes requests on to a server, one a connection.

    Attributes:
        faults: what happens to the next requests, one each; afterwards all pass. `429` and `503` are answered with
            `Retry-After`, `hang` is never answered, `drop` is cut before the server has it, `lose` after the server
            has answered, `cut` in the middle of the answer, `short` eight bytes before its end, without a word of how
            long it should be. A number cuts the answer after so many bytes.
        fault_of: what happens to each request to a path, in turn; before `faults`.
        upstream: the server's port; None while it is down.
        met: the faults that happened, and `down` for each request while the server was.
        answered: called with a request's method and path before the client has the answer.
        passed: how many requests the server has answered, by method and path.
    """

    def __init__(self) -> None:
        self.faults: list[str | int] = []
        self.fault_of: dict[str, list[str | int]] = {}
        self.upstream: int | None = None
        self.passed: Counter[str] = Counter()
        self.retry_after = "0"
        self.answered: Callable[[str], object] = lambda path: None
        self.met: list[str | int] = []
        # The loop itself keeps no task alive.
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def start(self) -> None:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(60)

    def stop(self) -> None:
        async def cancel() -> None:
            assert self._server is not None
            self._server.close()
            # A connection may have come just now.
            await asyncio.sleep(0)
            while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            head = await reader.readuntil(END)
            length = next(
                (int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:")),
                0,
            )
            body = await reader.readexactly(length)
            method, target = head.split(b" ", 2)[:2]
            await self._treat(f"{method.decode()} {target.decode().partition('?')[0]}", head + body, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            await close(writer)
            self._tasks.discard(asyncio.current_task())

    def _next_fault(self, path: str) -> str | int | None:
        queue = self.fault_of.get(path) or self.faults
        fault = queue.pop(0) if queue else None
        if fault is not None and fault != "pass":
            self.met.append(fault)
        return fault

    async def _treat(
        self, path: str, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        fault = self._next_fault(path)
        if self.upstream is None:
            self.met.append("down")
            return
        if fault == "drop":
            return
        if fault in ("429", "503"):
            head = f"HTTP/1.1 {fault} Busy\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
            head += f"Retry-After: {self.retry_after}\r\nContent-Length: {len(OVERLOADED)}\r\n\r\n"
            writer.write(head.encode() + OVERLOADED)
            await writer.drain()
            return
        if fault == "hang":
            # Until the client goes away.
            await reader.read()
            return
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            first, rest = request.split(b"\r\n", 1)
            to_server.write(first + b"\r\nConnection: close\r\n" + rest.replace(b"Connection: keep-alive\r\n", b""))
            await to_server.drain()
            if fault in ("lose", "cut", "short"):
                answer = await from_server.read(-1)
                self.passed[path] += 1
                if fault == "short":
                    writer.write(re.sub(rb"(?i)content-length: \d+\r\n", b"", answer, count=1)[:-8])
                    await writer.drain()
                if fault == "cut":
                    begin = answer.index(END) + len(END)
                    writer.write(answer[: begin + (len(answer) - begin) // 2])
                    await writer.drain()
                return
            left = fault if isinstance(fault, int) else None
            is_first = True
            while chunk := await from_server.read(CHUNK):
                # Before the client has it, and goes on.
                if is_first:
                    self.passed[path] += 1
                    await asyncio.to_thread(self.answered, path)
                is_first = False
                writer.write(chunk if left is None else chunk[:left])
                await writer.drain()
                if left is not None:
                    left -= len(chunk)
                    if left <= 0:
                        return
        finally:
            await close(to_server)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()


@contextmanager
def proxying(port: int | None) -> Iterator[Proxy]:
    """A proxy before a server on a port."""
    proxy = Proxy()
    proxy.upstream = port
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
