"""Request bodies: read within limits of size and of time, decompressed, parsed, checked."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from service.api.json_numbers import BodyLimits, parse_large
from service.api.json_series import BULK_BYTES, find_series, stands_here
from service.api.memory_budget import MemoryHold
from service.api.strict_json import Text, parse_json
from service.api.validation import check
from service.domain.json_flaws import describe
from service.errors import BodyTooLarge, InvalidRequest, MalformedBody, MalformedJson, UnsupportedMediaType

Body = TypeVar("Body", bound=BaseModel)

JSON = "application/json"
PLAIN_JSON = JSON.encode()
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
# Decompressed in steps of a fraction of a millisecond, so that others are served in between, however many there are.
INFLATE_STEP_BYTES = 2**16
# What a frame may ask to be held while it is read: what zstd's own command allows.
ZSTD_WINDOW_BYTES = 2**27
# Four bytes may stand for 128 KiB: of so many that are read at once, 16 MiB come out at most.
ZSTD_STEP_BYTES = 512
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

    async def _read_text(self, request: Request) -> Text:
        hold: MemoryHold = request.scope["state"]["hold"]
        text = await _read_bytes(request, self._limit_bytes, hold)
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
        UnsupportedMediaType: another encoding than gzip and zstd.
        BodyTooLarge: it is over the limit before it is decompressed; else the caller counts.
        MalformedBody.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "zstd":
        return _decompress_zstd(request.stream(), limit_bytes)
    if encoding not in ("identity", "gzip"):
        raise UnsupportedMediaType(f"Expected Content-Encoding gzip or zstd, or none, got {describe(encoding)}.")
    return request.stream() if encoding == "identity" else _inflate(request.stream(), limit_bytes)


async def _read_bytes(request: Request, limit_bytes: int, hold: MemoryHold) -> Text:
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
    if not is_plain_json:
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


async def _decompress_zstd(chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    """Decompresses a zstd body of one or more frames, a bounded step at a time."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    decoder = decompressor.decompressobj()
    begun = False
    n_bytes = 0
    try:
        async for chunk in chunks:
            n_bytes += len(chunk)
            if n_bytes > limit_bytes:
                raise BodyTooLarge(limit_bytes)
            for first in range(0, len(chunk), ZSTD_STEP_BYTES):
                rest = chunk[first : first + ZSTD_STEP_BYTES]
                while rest:
                    if decoder.eof:
                        decoder = decompressor.decompressobj()
                    yield decoder.decompress(rest)
                    begun = True
                    rest = decoder.unused_data
                await asyncio.sleep(0)
    except zstandard.ZstdError as error:
        raise MalformedBody("The body is not zstd, though its Content-Encoding says so.") from error
    if not (begun and decoder.eof):
        raise MalformedBody("The zstd body is incomplete: send all of it.")


async def _inflate(chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    """Decompresses a gzip body of one or more members, a bounded step at a time."""
    decoder = zlib.decompressobj(GZIP_WINDOW_BITS)
    begun = False
    n_bytes = 0
    try:
        async for chunk in chunks:
            # Members that hold nothing would never end otherwise.
            n_bytes += len(chunk)
            if n_bytes > limit_bytes:
                raise BodyTooLarge(limit_bytes)
            rest = chunk
            while rest:
                if decoder.eof:
                    decoder, begun = zlib.decompressobj(GZIP_WINDOW_BITS), False
                yield decoder.decompress(rest, INFLATE_STEP_BYTES)
                begun = True
                rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
                await asyncio.sleep(0)
    except zlib.error as error:
        raise MalformedBody("The body is not gzip, though its Content-Encoding says so.") from error
    if not (begun and decoder.eof):
        raise MalformedBody("The gzip body is incomplete: send all of it.")
