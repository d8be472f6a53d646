"""The load generator: keep-alive connections that post bodies in turns, and time every answer.

A process of its own, so that it never stands in the server's way but for the processor: `python -m
benchmarks.serving.load '{"port": ..., ...}'`, with the fields of `Load`; it prints a `Result` as JSON. It speaks
HTTP/1.1 itself, since a client library costs more than the servers do.
"""

import asyncio
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import uvloop


@dataclass(frozen=True)
class Load:
    """`bodies` is a file with one body in each line: JSON or, where its name ends in `.hex`, bytes.

    Without a `rate`, each connection posts as soon as it has its answer; with one, requests a second, all connections
    together keep to it, and an answer's time counts from when its request was due.
    """

    port: int
    path: str
    bodies: str
    connections: int
    seconds: float
    rate: float | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Milliseconds by percentile; `failures` are answers by status that are not 200; CPU is the client's own."""

    requests: int
    seconds: float
    p50: float
    p99: float
    longest: float
    failures: dict[str, int]
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


class _Connection(asyncio.Protocol):
    def __init__(self, run: "_Run", number: int) -> None:
        self._run = run
        self._next = number
        self._answer = bytearray()
        self._size: int | None = None
        self._due = self._interval = 0.0
        if run.load.rate is not None:
            self._interval = run.load.connections / run.load.rate
            self._due = run.started + self._interval * number / run.load.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._post_next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._size is None:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._answer[:end]).lower()
            self._status = head[9:12].decode()
            found = head.find(b"\r\ncontent-length:")
            self._size = end + 4 + int(head[found + 17 :].split(b"\r\n", 1)[0])
        if len(self._answer) >= self._size:
            now = time.perf_counter()
            self._run.add(now - self._due, self._status)
            self._post_next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._run.is_over():
            self._run.add(0.0, "lost")
        self._run.ended()

    def _post_next(self) -> None:
        self._answer = bytearray()
        self._size = None
        if self._run.is_over():
            self._transport.close()
        elif not self._interval:
            self._due = time.perf_counter()
            self._post()
        else:
            self._due += self._interval
            wait = self._due - time.perf_counter()
            if wait > 0:
                asyncio.get_running_loop().call_later(wait, self._post)
            else:
                self._post()

    def _post(self) -> None:
        self._transport.write(self._run.requests[self._next % len(self._run.requests)])
        self._next += self._run.load.connections


class _Run:
    def __init__(self, load: Load) -> None:
        self.load = load
        lines = Path(load.bodies).read_bytes().splitlines()
        is_binary = load.bodies.endswith(".hex")
        self.requests = [_request(load, bytes.fromhex(line.decode()) if is_binary else line) for line in lines]
        self.started = time.perf_counter()
        self._end = self.started + load.seconds
        self._times: list[float] = []
        self._failures: dict[str, int] = {}
        self._open = load.connections
        self._done = asyncio.Event()

    def is_over(self) -> bool:
        return time.perf_counter() >= self._end

    def add(self, seconds: float, status: str) -> None:
        self._times.append(seconds)
        if status != "200":
            self._failures[status] = self._failures.get(status, 0) + 1

    def ended(self) -> None:
        self._open -= 1
        if not self._open:
            self._done.set()

    async def result(self) -> Result:
        loop = asyncio.get_running_loop()
        for number in range(self.load.connections):
            await loop.create_connection(lambda number=number: _Connection(self, number), "127.0.0.1", self.load.port)  # type: ignore[misc]
        await self._done.wait()
        used = resource.getrusage(resource.RUSAGE_SELF)
        times = np.array(self._times) * 1000
        return Result(
            requests=len(times),
            seconds=time.perf_counter() - self.started,
            p50=float(np.percentile(times, 50)),
            p99=float(np.percentile(times, 99)),
            longest=float(times.max()),
            failures=self._failures,
            cpu_seconds=used.ru_utime + used.ru_stime,
        )


def _request(load: Load, body: bytes) -> bytes:
    head = f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in load.headers.items())
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _main() -> None:
    print(json.dumps(asdict(await _Run(Load(**json.loads(sys.argv[1]))).result())))


if __name__ == "__main__":
    uvloop.run(_main())
