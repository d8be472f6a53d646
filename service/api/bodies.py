"""Request bodies: read within the size limit, decompressed, parsed, checked."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from service.api.bulk import BULK_BYTES, find_series, stands_here
from service.api.json_text import parse_json
from service.api.validation import check
from service.domain.series import describe
from service.errors import BodyTooLarge, InvalidRequest, MalformedBody, MalformedJson, UnsupportedMediaType

Body = TypeVar("Body", bound=BaseModel)

JSON = "application/json"
PLAIN_JSON = JSON.encode()
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
# Decompressed in steps that take about a millisecond, so that others are served in between.
INFLATE_STEP_BYTES = 2**18


async def read_body(request: Request, model: type[Body], limit_bytes: int) -> Body:
    """The body of a request, as the model that it must fit.

    Raises:
        UnsupportedMediaType, BodyTooLarge, MalformedBody, MalformedJson.
        InvalidRequest: the JSON is not what the model describes.
    """
    return check(await read_object(request, limit_bytes), model)


async def read_object(request: Request, limit_bytes: int, *, series_in_parts: bool = False) -> dict[str, Any]:
    """The JSON object that a request's body must be.

    Args:
        series_in_parts: `series` of a large body may become what `find_series` gives, which is read later.

    Raises:
        UnsupportedMediaType, BodyTooLarge, MalformedBody, MalformedJson.
        InvalidRequest: it is something else.
    """
    text = await _read_bytes(request, limit_bytes)
    is_bulk = series_in_parts and len(text) >= BULK_BYTES
    value = await asyncio.to_thread(_parse_bulk, text) if is_bulk else parse_json(text)
    if not isinstance(value, dict):
        raise InvalidRequest.at("", "wrong_type", f"Expected a JSON object, got {describe(value)}.")
    return value


def _parse_bulk(text: bytes) -> Any:
    found = find_series(text)
    if found is not None:
        rest, series = found
        # Where the rest is wrong, the whole says better what is.
        with suppress(MalformedJson):
            value = parse_json(rest)
            if isinstance(value, dict) and stands_here(value.get("series")):
                return {**value, "series": series}
    return parse_json(text)


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


def stream_body(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces, decompressed. Raises UnsupportedMediaType for another encoding than gzip."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise UnsupportedMediaType(f"Expected Content-Encoding gzip, or none, got {describe(encoding)}.")
    return request.stream() if encoding == "identity" else _inflate(request.stream())


async def _read_bytes(request: Request, limit_bytes: int) -> bytes:
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
        chunks = stream_body(request)
    else:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        first: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(first) > limit_bytes:
                raise BodyTooLarge(limit_bytes)
            return first
        body += first
        chunks = request.stream()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
    return bytes(body)


async def _inflate(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Decompresses a gzip body of one or more members, a bounded step at a time."""
    decoder = zlib.decompressobj(GZIP_WINDOW_BITS)
    begun = False
    try:
        async for chunk in chunks:
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
        raise MalformedBody("The gzip body ends before its end: send it whole.")
