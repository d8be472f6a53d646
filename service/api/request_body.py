"""Request bodies: read within limits of size and of time, decompressed, parsed, checked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from service.api.body_encoding import ENCODINGS, ENCODINGS_IN_WORDS, decompress
from service.api.json_numbers import BodyLimits, parse_large
from service.api.json_series import BULK_BYTES, find_series, stands_here
from service.api.media_types import JSON
from service.api.memory_budget import MemoryHold
from service.api.strict_json import Text, parse_json
from service.api.validation import check
from service.domain.json_flaws import describe
from service.errors import BodyTooLarge, InvalidRequest, MalformedJson, UnsupportedMediaType

Body = TypeVar("Body", bound=BaseModel)
Value = TypeVar("Value")

PLAIN_JSON = JSON.encode()
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
# Smaller bodies are parsed and checked in less than a millisecond.
THREAD_BYTES = 2**15
# Each takes a few times its size in memory.
MOST_PARSED_AT_ONCE = 2
# A number is written in a few bytes, takes eight in an array, and once more where arrays are joined.
ARRAY_BYTES = 16


class BodyReader:
    """Reads the JSON bodies of requests. One for the application, so that few large ones are parsed at once."""

    def __init__(self, limit_bytes: int, limits: BodyLimits) -> None:
        self._limit_bytes = limit_bytes
        self._limits = limits
        self._turns = asyncio.Semaphore(MOST_PARSED_AT_ONCE)

    async def read(self, request: Request, model: type[Body]) -> Body:
        """The body of a request, as the model that it must fit.

        Raises:
            UnsupportedMediaType, BodyTooLarge, MalformedBody, MalformedJson, TooMuchInFlight.
            InvalidRequest: the JSON is not what the model describes.
        """
        text = await self._read_text(request)
        if len(text) < THREAD_BYTES:
            return check(_expect_object(parse_json(text)), model)
        async with self._turns:
            return await asyncio.to_thread(lambda: check(_expect_object(self._parse(text)), model))

    async def read_object(self, request: Request) -> dict[str, Any]:
        """The JSON object that a request's body must be; `series` of a large one may be BulkSeries, read later.

        Raises:
            UnsupportedMediaType, BodyTooLarge, MalformedBody, MalformedJson, TooMuchInFlight.
            InvalidRequest: it is something else.
        """
        text = await self._read_text(request)
        if len(text) < THREAD_BYTES:
            return _expect_object(parse_json(text))
        async with self._turns:
            return await asyncio.to_thread(lambda: _expect_object(self._parse_bulk(text)))

    async def read_protocol(self, request: Request, read: Callable[[Text], Value]) -> Value:
        """What `read` makes of a body of another server's protocol: of any media type, since its clients name none.

        Args:
            read: makes the value of the bytes; in a thread where they are many.

        Raises:
            UnsupportedMediaType: another encoding than those of `service.api.body_encoding`.
            BodyTooLarge, MalformedBody, TooMuchInFlight, and what `read` raises.
        """
        text = await self._read_text(request, any_media_type=True)
        if len(text) < THREAD_BYTES:
            return read(text)
        async with self._turns:
            return await asyncio.to_thread(read, text)

    async def read_bytes(self, request: Request) -> Text:
        """A body whose media type was looked at before. Raises UnsupportedMediaType, BodyTooLarge, MalformedBody,
        TooMuchInFlight.
        """
        return await _read_bytes(request, self._limit_bytes, request.scope["state"]["hold"], any_media_type=True)

    @property
    def turns(self) -> asyncio.Semaphore:
        """What a thread that makes arrays of a large body has to wait for."""
        return self._turns

    def parse_object(self, text: Text) -> dict[str, Any]:
        """The JSON object of a text. In a large one lists of numbers are arrays, NaN for null.

        Raises:
            MalformedJson.
            InvalidRequest: it is something else.
        """
        return _expect_object(self._parse(text))

    @property
    def limits(self) -> BodyLimits:
        """What all series of one body may hold."""
        return self._limits

    async def _read_text(self, request: Request, *, any_media_type: bool = False) -> Text:
        hold: MemoryHold = request.scope["state"]["hold"]
        text = await _read_bytes(request, self._limit_bytes, hold, any_media_type=any_media_type)
        if len(text) >= BULK_BYTES:
            hold.grow(min(4 * len(text), ARRAY_BYTES * self._limits.values))
        return text

    def _parse(self, text: Text) -> Any:
        return parse_json(text) if len(text) < BULK_BYTES else parse_large(text, self._limits)

    def _parse_bulk(self, text: Text) -> Any:
        text_and_series = find_series(text, self._limits) if len(text) >= BULK_BYTES else None
        if text_and_series is not None and len(text_and_series[0]) < BULK_BYTES:
            rest, series = text_and_series
            # Where the rest is wrong, the whole says better what is.
            with suppress(MalformedJson):
                value = parse_json(rest)
                if isinstance(value, dict) and stands_here(value.get("series")):
                    return {**value, "series": series}
        return self._parse(text)


def _expect_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest.at("", "wrong_type", f"Expected a JSON object, got {describe(value)}.")
    return value


def read_media_type(request: Request, known: Sequence[str] = (JSON,)) -> str:
    """What the body's Content-Type says that it is. Raises UnsupportedMediaType where that is not one of `known`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in known:
        return media_type
    shown = describe(media_type) if media_type else "none"
    message = f"Expected the header Content-Type: {' or '.join(known)}, got {shown}."
    if media_type in FORMS:
        # What curl sends with -F, and with -d alone.
        message += (
            f" Send the file or the JSON itself as the body, not a form: curl -H 'Content-Type: {known[0]}' "
            "--data-binary @FILE."
        )
    raise UnsupportedMediaType(message)


def stream_body(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body in pieces, decompressed.

    Raises:
        UnsupportedMediaType: another encoding than those of `service.api.body_encoding`.
        BodyTooLarge: it is over the limit before it is decompressed; else the caller counts.
        MalformedBody.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return request.stream()
    if encoding not in ENCODINGS:
        raise UnsupportedMediaType(
            f"Expected Content-Encoding {ENCODINGS_IN_WORDS}, or none, got {describe(encoding)}."
        )
    return decompress(request.stream(), encoding, limit_bytes)


async def _read_bytes(request: Request, limit_bytes: int, hold: MemoryHold, *, any_media_type: bool) -> Text:
    declared = b""
    is_plain_json = is_encoded = False
    # One look at the headers: a search for each of them takes five times as long.
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            is_plain_json = value == PLAIN_JSON
        elif name == b"content-encoding":
            is_encoded = True
        elif name == b"content-length":
            declared = value
    if not (is_plain_json or any_media_type):
        read_media_type(request)
    if declared.isdigit() and int(declared[:20]) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    body = bytearray()
    if is_encoded:
        chunks = stream_body(request, limit_bytes)
    else:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        first: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(first) > limit_bytes:
                raise BodyTooLarge(limit_bytes)
            hold.grow_to(len(first))
            return first
        body += first
        chunks = request.stream()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        hold.grow_to(len(body))
    return body
