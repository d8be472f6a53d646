"""Measures an Arrow IPC stream before it is read: what its messages declare is what reading them takes.

A buffer may be compressed, and a column of nulls takes no bytes however long it is. So a short stream may become a
large table, and each message is asked for its rows and sizes first. The layout is that of Message.fbs and Schema.fbs
in the Arrow format's specification (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from service.errors import BodyTooLarge, InvalidRequest

Stream = bytes | bytearray | memoryview

CONTINUATION = 0xFFFFFFFF
MOST_MESSAGES = 10_000
# Each column takes four to six numbers of eight bytes of a message's metadata, its name in the schema more.
MOST_METADATA_BYTES = 2**17
DICTIONARY_BATCH, RECORD_BATCH = 2, 3
# Positions of fields in their tables.
HEADER_TYPE, HEADER, BODY_LENGTH = 1, 2, 3
BATCH_LENGTH, NODES, BUFFERS, COMPRESSION = 0, 1, 2, 3
DICTIONARY_DATA = 1
STRUCT_BYTES = 16
NOT_COMPRESSED = -1


@dataclass(frozen=True, slots=True)
class StreamSize:
    """What all batches hold: entries of their longest columns, lists taken apart, and bytes once decompressed."""

    n_values: int
    n_bytes: int


def measure(stream: Stream, most_values: int, most_bytes: int) -> StreamSize:
    """The size of a stream.

    Raises:
        InvalidRequest: it is no Arrow stream, or holds more values than may be.
        BodyTooLarge: it takes more bytes once decompressed.
    """
    n_values = n_bytes = 0
    view = memoryview(stream)
    try:
        for count, (metadata, body) in enumerate(_messages(view), 1):
            if count > MOST_MESSAGES:
                message = f"The stream has more than {MOST_MESSAGES} messages. Write fewer, larger record batches."
                raise InvalidRequest.at("", "too_many_batches", message)
            longest, declared = _measure_message(_Table.root(metadata), body)
            n_values, n_bytes = n_values + longest, n_bytes + declared
            if n_values > most_values:
                raise InvalidRequest.at(
                    "",
                    "too_many_points",
                    f"The stream holds {n_values} values, or more: expected at most {most_values}. Send it in several "
                    "requests.",
                )
            if n_bytes > most_bytes:
                raise BodyTooLarge(most_bytes)
    except (struct.error, IndexError, ValueError) as error:
        raise refuse("it is cut off, or its messages are damaged") from error
    return StreamSize(n_values, n_bytes)


def refuse(why: str) -> InvalidRequest:
    """The error of a body that can't be read."""
    return InvalidRequest.at(
        "",
        "unreadable_stream",
        f"The body is no Arrow IPC stream that can be read: {why}. Write it with a stream writer (not the file format "
        "of Feather), with columns unique_id, ds and y.",
    )


def _messages(view: memoryview) -> Iterator[tuple[memoryview, memoryview]]:
    """The metadata and the body of each message."""
    place = 0
    while place < len(view):
        (size,) = struct.unpack_from("<I", view, place)
        place += 4
        if size == CONTINUATION:
            (size,) = struct.unpack_from("<I", view, place)
            place += 4
        if size == 0:
            return
        if size > MOST_METADATA_BYTES:
            raise refuse("it does not begin as one does, or has thousands of columns")
        metadata = view[place : place + size]
        place += size
        (length,) = struct.unpack("<q", _Table.root(metadata).read(BODY_LENGTH, 8) or bytes(8))
        if len(metadata) < size or not 0 <= length <= len(view) - place:
            raise refuse("it is cut off")
        yield metadata, view[place : place + length]
        place += length


def _measure_message(message: "_Table", body: memoryview) -> tuple[int, int]:
    """Entries of the longest column, and bytes once decompressed, of a message."""
    kind = message.read(HEADER_TYPE, 1) or b"\0"
    batch = message.table(HEADER)
    if kind[0] == DICTIONARY_BATCH and batch is not None:
        batch = batch.table(DICTIONARY_DATA)
    if kind[0] not in (DICTIONARY_BATCH, RECORD_BATCH) or batch is None:
        return 0, 0
    (n_rows,) = struct.unpack("<q", batch.read(BATCH_LENGTH, 8) or bytes(8))
    lengths = [length for length, _ in batch.pairs(NODES)]
    if min([n_rows, *lengths]) < 0:
        raise refuse("a column has a negative length")
    buffers = batch.pairs(BUFFERS)
    if any(offset < 0 or length < 0 or offset + length > len(body) for offset, length in buffers):
        raise refuse("a buffer lies outside of its message")
    if batch.table(COMPRESSION) is None:
        return max([n_rows, *lengths]), sum(length for _, length in buffers)
    return max([n_rows, *lengths]), sum(_measure_buffer(body[first : first + n]) for first, n in buffers if n)


def _measure_buffer(buffer: memoryview) -> int:
    (length,) = struct.unpack_from("<q", buffer)
    if length < NOT_COMPRESSED:
        raise refuse("a compressed buffer has a negative length")
    return len(buffer) if length == NOT_COMPRESSED else int(length)


class _Table:
    """A table of FlatBuffers, by the positions of its fields."""

    def __init__(self, data: memoryview, place: int) -> None:
        self._data = data
        self._place = place
        (back,) = struct.unpack_from("<i", data, place)
        self._fields = place - back
        if not 0 <= self._fields < len(data) or not 0 <= place < len(data):
            raise ValueError("a table lies outside")
        (self._size,) = struct.unpack_from("<H", data, self._fields)

    @classmethod
    def root(cls, data: memoryview) -> "_Table":
        return cls(data, struct.unpack_from("<I", data)[0])

    def _find(self, field: int) -> int:
        """Where a field's value stands; 0 where it is absent."""
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return 0
        (offset,) = struct.unpack_from("<H", self._data, self._fields + entry)
        return self._place + offset if offset else 0

    def read(self, field: int, size: int) -> bytes | None:
        """The bytes of a number; None where it is absent."""
        place = self._find(field)
        return bytes(self._data[place : place + size]) if place else None

    def table(self, field: int) -> "_Table | None":
        place = self._find(field)
        return _Table(self._data, place + struct.unpack_from("<I", self._data, place)[0]) if place else None

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two 64-bit numbers."""
        place = self._find(field)
        if not place:
            return []
        place += struct.unpack_from("<I", self._data, place)[0]
        (count,) = struct.unpack_from("<I", self._data, place)
        content = self._data[place + 4 : place + 4 + STRUCT_BYTES * count]
        if len(content) < STRUCT_BYTES * count:
            raise ValueError("a vector lies outside")
        return list(struct.iter_unpack("<qq", content))
