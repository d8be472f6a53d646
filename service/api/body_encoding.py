"""Bodies that come compressed, decompressed in bounded steps between which others are served."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any

from service.errors import BodyTooLarge, MalformedBody

# By Content-Encoding, how zlib is told the format.
WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
ENCODINGS = (*WINDOW_BITS, "zstd")
ENCODINGS_IN_WORDS = "gzip, deflate or zstd"
# A fraction of a millisecond.
STEP_BYTES = 2**16
# What a frame of zstd may ask to be held while it is read: what its own command allows.
ZSTD_WINDOW_BYTES = 2**27
# Four bytes of zstd may stand for 128 KiB: of so many that are read at once, 16 MiB come out at most.
ZSTD_STEP_BYTES = 512


def decompress(chunks: AsyncIterator[bytes], encoding: str, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body behind one of `ENCODINGS`, of one or more members or frames.

    Raises:
        BodyTooLarge: what came is over the limit; what comes out is for the caller to count.
        MalformedBody: it is of another format, or cut off.
    """
    counted = _count(chunks, limit_bytes)
    return _decompress_zstd(counted) if encoding == "zstd" else _inflate(counted, encoding)


async def _count(chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    """The chunks of a body up to a limit: members that hold nothing would never end otherwise."""
    n_bytes = 0
    async for chunk in chunks:
        n_bytes += len(chunk)
        if n_bytes > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        yield chunk


async def _inflate(chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    decoder = zlib.decompressobj(WINDOW_BITS[encoding])
    begun = False
    try:
        async for chunk in chunks:
            rest = chunk
            while rest:
                if decoder.eof:
                    decoder, begun = zlib.decompressobj(WINDOW_BITS[encoding]), False
                yield decoder.decompress(rest, STEP_BYTES)
                begun = True
                rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
                await asyncio.sleep(0)
    except zlib.error as error:
        raise _malformed(encoding) from error
    _check_end(decoder, begun, encoding)


async def _decompress_zstd(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    decoder = decompressor.decompressobj()
    begun = False
    try:
        async for chunk in chunks:
            for first in range(0, len(chunk), ZSTD_STEP_BYTES):
                rest = chunk[first : first + ZSTD_STEP_BYTES]
                while rest:
                    if decoder.eof:
                        decoder, begun = decompressor.decompressobj(), False
                    yield decoder.decompress(rest)
                    begun = True
                    rest = decoder.unused_data
                await asyncio.sleep(0)
    except zstandard.ZstdError as error:
        raise _malformed("zstd") from error
    _check_end(decoder, begun, "zstd")


def _malformed(encoding: str) -> MalformedBody:
    return MalformedBody(f"The body is not {encoding}, though its Content-Encoding says so.")


def _check_end(decoder: Any, begun: bool, encoding: str) -> None:
    if not (begun and decoder.eof):
        raise MalformedBody(f"The {encoding} body is incomplete: send all of it.")
