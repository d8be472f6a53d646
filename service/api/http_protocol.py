"""Uvicorn's HTTP/1.1 protocol with limits on what a client may send, hold back or leave unread."""

import asyncio
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from service.api.connection_watch import ConnectionWatch
from service.api.memory_budget import SMALL_BYTES
from service.api.problems import make_problem

# The parser is fed so much at a time: it can't be stopped inside, and this is a hundred small requests.
PIECE_BYTES = 2048
MOST_HEADERS = 256
# Slower than a modem: only those who mean to be slow are.
LEAST_BYTES_PER_SECOND = 1000
# A client that was refused may be sending still; so long it may go on, to read why.
LINGER_SECONDS = 2.0
# So many pieces in a row, then others have their turn: a piece may hold hundreds of tiny chunks.
MOST_PIECES = 16


class ServerConfig(uvicorn.Config):
    """A server whose connections are watched."""

    def __init__(self, app: Any, watch: ConnectionWatch, **options: Any) -> None:
        super().__init__(app, http=HttpProtocol, **options)
        self.watch = watch


class _Flow(FlowControl):
    """Reading stays paused while bytes wait for the requests before them, whoever wants to go on."""

    is_held = False

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    config: ServerConfig
    flow: _Flow

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._watch = self.config.watch
        self._limits = self._watch.limits
        # Nothing more is read: what comes is thrown away.
        self._has_ended = False
        self._has_begun = False
        self._is_in_headers = True
        self._is_complete = True
        self._header_bytes = 0
        self._body_bytes = 0
        # Bytes behind a request that is not answered yet.
        self._waiting = b""
        # Bytes since the body last went on: chunk sizes, their extensions, trailers.
        self._idle_bytes = 0
        self._received = 0
        # When the client last got ahead, and how far it had come.
        self._since = self.loop.time()
        self._mark = 0
        self._write_since: float | None = None
        self._write_mark = 0
        self._unsent_bytes = 0

    def connection_made(  # type: ignore[override]  # narrower, as uvicorn's own: it listens on streams alone
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self.flow = _Flow(transport)
        if not self._watch.add(self):
            self._refuse(503, "too_many_connections", "The server has no room for another connection. Try again later.")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.remove(self)
        self._give_back()
        self._waiting = b""
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._has_ended:
            return
        if len(data) <= PIECE_BYTES and not self.pipeline and not self._waiting:
            self._parse(data)
        else:
            self._waiting += data
            self._parse_waiting()

    def _parse_waiting(self) -> None:
        """Parses in pieces, up to a request that must wait for the answer to another."""
        if self.transport.is_closing():
            return
        rest = memoryview(self._waiting)
        for _ in range(MOST_PIECES):
            if not rest or self.pipeline or self._has_ended:
                break
            size = max(PIECE_BYTES, self._count_body_left())
            self._parse(rest[:size])
            rest = rest[size:]
        self._waiting = b"" if self._has_ended else bytes(rest)
        self.flow.is_held = bool(self._waiting)
        if self._waiting:
            self.flow.pause_reading()
            if not self.pipeline:
                self.loop.call_soon(self._parse_waiting)
        elif not self.pipeline and (self._is_answered or len(self.cycle.body) <= HIGH_WATER_LIMIT):
            self.flow.resume_reading()

    def _count_body_left(self) -> int:
        """The bytes left of a body of declared length; further bytes belong to the next request."""
        if self._is_complete or self._is_in_headers:
            return 0
        for name, value in self.headers:
            if name == b"content-length" and value.isdigit():
                return int(value) - self._body_bytes
        return 0

    def _parse(self, piece: bytes | memoryview) -> None:
        began_in_headers = self._is_in_headers
        # Taken back where the body goes on.
        self._idle_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # Answered as if it had not asked; what follows is in a language that is not spoken here.
            self._has_ended = True
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            if not self._has_ended:
                self._refuse(400, "malformed_request", "The request is not HTTP/1.1.")
        if self._is_in_headers:
            # Where it began in a body it is longer, and holds few bytes of headers.
            if began_in_headers:
                self._header_bytes += len(piece)
            if self._header_bytes > self._limits.header_bytes:
                self._refuse_headers()
        elif self._idle_bytes > self._limits.header_bytes:
            self._refuse_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._since = self.loop.time()
        self._header_bytes = 0
        self._has_begun = self._is_in_headers = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come after the body, when routes have read the headers: they are none.
        if self._is_in_headers:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if len(self.headers) > MOST_HEADERS:
            self._refuse_headers()
        self._has_begun = self._is_in_headers = self._is_complete = False
        self._header_bytes = self._idle_bytes = self._body_bytes = 0
        self._since, self._mark = self.loop.time(), self._received
        if self._has_ended:
            return
        self._watch.idle.pop(self, None)
        if self.parser.should_upgrade():
            self.scope["state"]["upgrade"] = (self._get_upgrade() or b"").decode("latin-1")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._has_ended:
            self._idle_bytes = 0
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_headers = self._is_complete = True
        if not self._has_ended:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent >= SMALL_BYTES:
            self._unsent_bytes += unsent
            self._watch.budget.take(unsent)
        # Without uvicorn's timer for each answer: `check` closes idle connections.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._watch.idle[self] = None
        if self._waiting:
            self.loop.call_soon(self._parse_waiting)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._write_since = None
        self._give_back()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "malformed_request", msg)

    def check(self, now: float) -> None:
        """Cuts the connection where its client has made no progress for too long."""
        if self._is_stuck_in_writing(now):
            self.transport.abort()
        elif self._has_ended:
            if now - self._since > LINGER_SECONDS and self._is_answered:
                self.transport.abort()
        elif not self._is_complete:
            self._check_body(now)
        elif self._is_answered:
            is_slow = self._has_begun or self.cycle is None
            seconds = self._limits.read_seconds if is_slow else self._limits.idle_seconds
            if now - self._since > seconds:
                if self._has_begun:
                    self._refuse(408, "request_timeout", f"The request headers did not arrive within {seconds:g} s.")
                else:
                    self.transport.close()

    def drop(self) -> None:
        """Closes a connection that waits for a request, to make room for another."""
        self._watch.remove(self)
        self._has_ended = True
        self.transport.close()

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _check_body(self, now: float) -> None:
        seconds = self._limits.read_seconds
        if self._is_answered:
            # Refused before its end, which is thrown away for a while: most clients read when they have sent all.
            if now - self._since > seconds:
                self.transport.close()
        elif self.flow.read_paused or self._received - self._mark >= LEAST_BYTES_PER_SECOND * seconds:
            self._since, self._mark = now, self._received
        elif now - self._since > seconds:
            self._refuse(
                408,
                "request_timeout",
                f"The request body arrived too slowly: expected {LEAST_BYTES_PER_SECOND} bytes a second or more.",
            )

    def _is_stuck_in_writing(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            self._write_since = None
            return False
        enough = LEAST_BYTES_PER_SECOND * self._limits.write_seconds
        if self._write_since is None or self._write_mark - unsent >= enough:
            self._write_since, self._write_mark = now, unsent
        return now - self._write_since > self._limits.write_seconds

    def _refuse_headers(self) -> None:
        if not self._has_ended:
            limit = self._limits.header_bytes
            self._refuse(
                431,
                "headers_too_large",
                f"The request headers are over the limit of {limit} bytes and {MOST_HEADERS} lines. Send fewer "
                "or shorter headers, or raise OUTFIELDER_MAX_HEADER_BYTES on the server.",
            )

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answers in the application's place, where no answer has begun, and ends the connection."""
        self._has_ended = True
        self._waiting = b""
        self._since = self.loop.time()
        self._watch.idle.pop(self, None)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self._is_in_headers:
                # What is wrong stands behind requests that are right: they are answered, and then it ends.
                cycle.keep_alive = False
                return
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        elif not self._is_complete:
            # Its answer is out already.
            self.transport.close()
            return
        self._watch.metrics.observe_request("other", "unmatched", status, 0.0)
        request_id = uuid4().hex
        headers = {"Connection": "close", "X-Request-ID": request_id}
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = "1"
        problem = make_problem(status, code, detail, request_id, headers=headers)
        lines = [STATUS_LINE[status], *(b"%b: %b\r\n" % header for header in problem.raw_headers), b"\r\n"]
        self.transport.write(b"".join(lines) + bytes(problem.body))
        # Not closed yet: what the client still sends would be answered with a reset, and the answer be lost.
        self.transport.write_eof()

    def _give_back(self) -> None:
        self._watch.budget.give_back(self._unsent_bytes)
        self._unsent_bytes = 0
