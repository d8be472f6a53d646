"""Calls as programs without I/O: generators that say what is to be done, for a transport to do it.

The blocking and the asynchronous client run the same programs, so that nothing about a call is written twice.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """An HTTP request. `timeout_seconds` is how long one attempt may wait for the server; None for the client's own."""

    method: str
    path: str
    content: bytes | None = None
    params: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float | None = None


class LineStream:
    """An open answer whose lines are read one by one. A transport makes one for itself."""

    response: httpx.Response


@dataclass(frozen=True)
class Send:
    """Answered with the whole response. Raises httpx.TransportError."""

    request: Request


@dataclass(frozen=True)
class Open:
    """Answered with a LineStream, which the transport closes when the program ends or asks for it."""

    request: Request


@dataclass(frozen=True)
class NextLine:
    """Answered with the next line, or None at the end. Raises httpx.TransportError."""

    stream: LineStream


@dataclass(frozen=True)
class Close:
    stream: LineStream


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Together:
    """Answered with the results of all programs, in their order; at most `limit` run at a time."""

    programs: "Sequence[Program[Any]]"
    limit: int


@dataclass(frozen=True)
class InThread:
    """Answered with the result of a function that blocks."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Emit:
    """An item for whoever iterates over the program. Answered with None."""

    item: Any


Effect: TypeAlias = Send | Open | NextLine | Close | Pause | Together | InThread | Emit
Program: TypeAlias = Generator[Effect, Any, T]


@dataclass(frozen=True)
class Items(Generic[T]):
    """A program that emits items of one type."""

    program: Program[None]


def consume(items: Items[T], take: Callable[[T], None]) -> Program[None]:
    """Runs a program within another one, which takes what it emits."""
    program, reply, error = items.program, None, None
    while True:
        try:
            effect = program.send(reply) if error is None else program.throw(error)
        except StopIteration:
            return
        reply = error = None
        if isinstance(effect, Emit):
            take(effect.item)
            continue
        try:
            reply = yield effect
        except Exception as caught:  # noqa: BLE001 - the inner program decides: it gets the error where it asked
            error = caught
