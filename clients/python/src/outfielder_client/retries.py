"""When a request is sent again, and after how long."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from outfielder_client.effects import Pause, Program, Request, Send
from outfielder_client.errors import ConnectionFailed, RequestRefused, TimedOut, read_refusal

# Busy, starting or draining, and what proxies say of a server that restarts. None of them did what was asked.
PASSING = {429, 502, 503}
# An Arrow stream that lacks its end can be read as one of fewer rows.
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


@dataclass(frozen=True)
class Retry:
    """Sends a request again after 429, 502, 503, a broken connection, a cut answer or a time-out.

    The n-th pause is random, between half of `first_pause_seconds` 2^(n-1) and the whole, so that clients that were
    turned away together don't return together; and never shorter than the server's `Retry-After`.

    Attributes:
        attempts: how often a request is sent at most.
        longest_pause_seconds: what pauses grow to. A longer `Retry-After` up to `longest_wait_seconds` is honoured; of
            a longer one the error is raised at once, with `retry_after_seconds`.
        unreachable: whether to go on where nobody listens. False tells at once that no server is there.
    """

    attempts: int = 8
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 20.0
    longest_wait_seconds: float = 120.0
    unreachable: bool = True

    def pause_seconds(self, attempt: int) -> float:
        """The pause after the attempt of this number, which counts from 1."""
        whole = min(self.first_pause_seconds * 2.0 ** min(attempt - 1, 60), self.longest_pause_seconds)
        return whole * random.uniform(0.5, 1.0)


def send(request: Request, retry: Retry, url: str) -> Program[httpx.Response]:
    """Sends a request until it is answered for good.

    Raises:
        RequestRefused: the answer is an error, at the last attempt if it was a passing one.
        ConnectionFailed: no attempt was answered.
    """
    may_have_been_done = False
    for attempt in range(1, max(retry.attempts, 1) + 1):
        is_last = attempt >= retry.attempts
        pause = retry.pause_seconds(attempt)
        try:
            response: httpx.Response = yield Send(request)
            if response.is_success:
                _check_whole(response)
                return response
            refusal = read_refusal(response)
            refusal.may_have_been_done = may_have_been_done
            refusal.retry_after_seconds = read_retry_after(response.headers.get("Retry-After"))
            wait = refusal.retry_after_seconds or 0.0
            if is_last or response.status_code not in PASSING or wait > retry.longest_wait_seconds:
                raise refusal
            pause = max(pause, wait)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if is_last or not retry.unreachable:
                raise ConnectionFailed(f"No server answers at {url}: {_describe(error)}.") from error
        except httpx.TransportError as error:
            may_have_been_done = True
            if is_last:
                raise explain(error, url) from error
        yield Pause(pause)
    raise AssertionError("unreachable")


def explain(error: httpx.TransportError, url: str) -> ConnectionFailed:
    """The error that a caller sees of one of the transport."""
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"{url} did not answer in time. Give the call a longer `timeout`, or send less at a time.")
    return ConnectionFailed(f"The connection to {url} was lost: {_describe(error)}.")


def read_retry_after(text: str | None) -> float | None:
    """Seconds that a Retry-After header asks to wait; it holds seconds or a date (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def with_timeout(request: Request, timeout_seconds: float | None) -> Request:
    return request if timeout_seconds is None else replace(request, timeout_seconds=timeout_seconds)


def _check_whole(response: httpx.Response) -> None:
    """A cut answer of a proxy that doesn't say how long it should be is no JSON, and no stream that ends."""
    kind = response.headers.get("Content-Type", "")
    if "arrow.stream" in kind and not response.content.endswith(END_OF_STREAM):
        raise httpx.RemoteProtocolError("the answer was cut")
    if response.content and "json" in kind:
        try:
            response.json()
        except ValueError as error:
            raise httpx.RemoteProtocolError("the answer was cut") from error


def _describe(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


__all__ = ["PASSING", "RequestRefused", "Retry", "explain", "read_retry_after", "send", "with_timeout"]
