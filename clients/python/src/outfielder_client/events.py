"""A job's events as they come, over connections that may break."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from outfielder_client.connection import locate
from outfielder_client.effects import Close, Emit, NextLine, Open, Pause, Program, Request
from outfielder_client.errors import ConnectionFailed, read_refusal
from outfielder_client.retries import PASSING, Retry, explain, read_retry_after

# The server sends a comment every 15 s, so that silence for longer means that the connection is dead.
SILENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job.

    Attributes:
        id: what resumes the stream behind this event.
        kind: `progress`, or `done` at the end.
        data: epoch, epochs, loss, val_loss, eta_seconds and the like of `progress`; the whole job of `done`.
    """

    id: str | None
    kind: str
    data: dict[str, Any]


class EventParser:
    """Reads Server-Sent Events line by line (WHATWG HTML, 9.2.6)."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._kind = ""
        self._data: list[str] = []

    def read(self, line: str) -> Event | None:
        """The event that a line ends, if it ends one. What a cut stream leaves unended is no event."""
        if not line:
            kind, data = self._kind or "message", self._data
            self._kind, self._data = "", []
            return Event(self._id, kind, json.loads("\n".join(data))) if data else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._id = value
        elif name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        return None


def watch(job_id: str, last_id: str | None, headers: Mapping[str, str], retry: Retry, url: str) -> Program[None]:
    """Emits a job's events up to `done`, each once; resumes behind the last one where a connection breaks.

    Raises:
        RequestRefused: there is no such job.
        ConnectionFailed: the server stays away.
    """
    failures = 0
    while True:
        resuming = {} if last_id is None else {"Last-Event-ID": last_id}
        request = Request("GET", locate("jobs", job_id, "events"), headers={**headers, **resuming})
        pause = retry.pause_seconds(failures + 1)
        try:
            stream = yield Open(request)
            if not stream.response.is_success:
                yield Close(stream)
                refusal = read_refusal(stream.response)
                wait = read_retry_after(stream.response.headers.get("Retry-After")) or 0.0
                is_passing = stream.response.status_code in PASSING and wait <= retry.longest_wait_seconds
                if not is_passing or failures + 1 >= retry.attempts:
                    raise refusal
                pause = max(pause, wait)
            else:
                parser = EventParser()
                while (line := (yield NextLine(stream))) is not None:
                    event = parser.read(line)
                    if event is None:
                        continue
                    last_id, failures = event.id or last_id, 0
                    yield Emit(event)
                    if event.kind == "done":
                        yield Close(stream)
                        return
                # The server ends streams when it stops: another one, or the same one later, goes on.
                yield Close(stream)
            reason: ConnectionFailed | None = None
        except httpx.TransportError as error:
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) and not retry.unreachable:
                raise explain(error, url) from error
            reason = explain(error, url)
        failures += 1
        if failures >= retry.attempts:
            raise reason or ConnectionFailed(f"{url} ends the events of job {job_id} before the job has ended.")
        yield Pause(pause)
