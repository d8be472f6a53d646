"""Answers that hold whole series, written a piece at a time as those of `response_stream`."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from starlette.requests import Request

from service.api.dependencies import Services
from service.api.json_response import write_json
from service.api.response_stream import PIECE_VALUES
from service.datasets.panel_files import Outline
from service.datasets.series_page import SeriesPage, SeriesRecord, choose_page

# A number as 64 bits and as letters of JSON, and a time stamp as JSON; with its zone it is as long as that.
NUMBER_BYTES = 28
STAMP_BYTES = 50
# A page takes at most so much of what all requests together may.
PAGES_AT_ONCE = 4


async def choose_and_hold(
    request: Request, services: Services, outline: Outline, ids: Collection[str], *, limit: int, cursor: str | None
) -> SeriesPage:
    """Chooses the series of a page, and reserves memory for them and their answer.

    Raises:
        SeriesNotFound, InvalidRequest: as `choose_page`.
        TooMuchInFlight: there is no memory left for it now.
    """
    most_values = services.budget.limit_bytes // NUMBER_BYTES
    page = await asyncio.to_thread(
        choose_page,
        outline,
        ids,
        limit=limit,
        cursor=cursor,
        max_values=min(services.settings.max_answer_values, most_values),
        full_values=most_values // PAGES_AT_ONCE,
    )
    request.scope["state"]["hold"].grow(NUMBER_BYTES * page.n_values + STAMP_BYTES * page.n_stamps)
    return page


def hold_records(request: Request, records: Sequence[SeriesRecord]) -> None:
    """Reserves memory for an answer that holds these series. Raises TooMuchInFlight."""
    n_bytes = (len(record.values) * (NUMBER_BYTES + (STAMP_BYTES if record.has_stamps else 0)) for record in records)
    request.scope["state"]["hold"].grow(sum(n_bytes))


def write_page(records: Sequence[SeriesRecord], next_cursor: str | None) -> list[bytes]:
    """A SeriesPageAnswer as JSON, in pieces. Blocks."""
    return list(write_records({}, records, {"next_cursor": next_cursor}))


def write_records(
    before: Mapping[str, Any], records: Sequence[SeriesRecord], behind: Mapping[str, Any]
) -> Iterator[bytes]:
    """An object's JSON in pieces: the members `before`, `series` with the records, and those `behind` it."""
    head = write_json(dict(before))[:-1]
    yield head + (b"," if before else b"") + b'"series":['
    for i, record in enumerate(records):
        yield from _write(record, b"," if i else b"")
    tail = write_json(dict(behind))[1:]
    yield b"]," + tail if behind else b"]}"


def _write(record: SeriesRecord, comma: bytes) -> Iterator[bytes]:
    facts = {"id": record.id, "freq": record.freq, "start": record.start}
    yield comma + write_json(facts)[:-1] + b',"values":['
    blocks = range(0, len(record.values), PIECE_VALUES)
    for first in blocks:
        yield (b"," if first else b"") + write_json(record.values[first : first + PIECE_VALUES])[1:-1]
    if not record.has_stamps:
        yield b'],"timestamps":null}'
        return
    yield b'],"timestamps":['
    for first in blocks:
        count = min(PIECE_VALUES, len(record.values) - first)
        yield (b"," if first else b"") + write_json(record.timestamps(first, count))[1:-1]
    yield b"]}"
