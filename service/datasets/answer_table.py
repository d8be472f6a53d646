"""Writes forecasts as tables: one row a step of a series, as an Arrow stream, Parquet or CSV."""

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from service.datasets.reader import CSV, PARQUET
from service.domain.forecast_columns import ForecastColumns

ARROW = "application/vnd.apache.arrow.stream"
# About half a megabyte of a few columns.
BATCH_ROWS = 2**14
PIECE_BYTES = 2**20
METADATA_KEY = b"forecast"
_OFFSET = re.compile(r"T.*(?:Z|[+-]\d\d:\d\d)(?:\[.*\])?$")
_ZONE = re.compile(r"\[(.*)\]$")


def write_table(answer: ForecastColumns, media_type: str, head: bytes) -> list[bytes]:
    """The table in a format, in pieces. Blocks.

    Args:
        head: JSON about the whole, which Arrow and Parquet keep in the schema's metadata as `forecast`.
    """
    table = make_table(answer, keeps_text=media_type == CSV)
    if media_type != CSV:
        table = table.replace_schema_metadata({METADATA_KEY: head})
    sink = _Pieces()
    with pa.PythonFile(sink, "w") as file:
        if media_type == ARROW:
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table, max_chunksize=BATCH_ROWS)
        elif media_type == PARQUET:
            pq.write_table(table, file)
        else:
            pa.csv.write_csv(table, file, pa.csv.WriteOptions(quoting_style="needed"))
    return sink.pieces()


class _Pieces:
    """A file that keeps what is written in pieces of about a megabyte."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._waiting = bytearray()

    def write(self, content: bytes) -> int:
        self._waiting += content
        if len(self._waiting) >= PIECE_BYTES:
            self._flush()
        return len(content)

    def flush(self) -> None:
        """What is written can be read at once."""

    def close(self) -> None:
        """Nothing is open."""

    def pieces(self) -> list[bytes]:
        self._flush()
        return self._pieces

    def _flush(self) -> None:
        if self._waiting:
            self._pieces.append(bytes(self._waiting))
            self._waiting = bytearray()


def make_table(answer: ForecastColumns, *, keeps_text: bool) -> pa.Table:
    """The table of forecasts; times are texts where it `keeps_text`."""
    horizon = answer.horizon
    good = np.array([error is None for error in answer.errors], np.bool_)
    # A series without a forecast has one row, for its error.
    counts = np.where(good, horizon, 1)
    of_series = np.repeat(np.arange(len(counts)), counts)
    is_row = good[of_series]
    columns: dict[str, Any] = {}
    if answer.names.id is not None:
        columns[answer.names.id] = pa.array(answer.ids, pa.string()).take(pa.array(of_series))
    n_stamped = sum(stamps is not None for stamps in answer.stamps)
    if n_stamped:
        columns[answer.names.time] = _spread(_read_stamps(answer.stamps, horizon, keeps_text=keeps_text), is_row)
    if n_stamped < len(answer.stamps) or not n_stamped:
        steps = np.tile(np.arange(1, horizon + 1, dtype=np.int32), len(answer.stamps))
        columns["step"] = _spread(pa.array(steps), is_row)
    for name, values in answer.columns.items():
        columns[name] = _spread(pa.array(values), is_row)
    if not good.all():
        columns["error"] = pa.array(answer.errors, pa.string()).take(pa.array(of_series))
    return pa.table(columns)


def _spread(values: Any, is_row: NDArray[np.bool_]) -> Any:
    """A column of forecasts with nulls in the rows of errors."""
    if is_row.all():
        return values
    return values.take(pa.array(np.cumsum(is_row) - 1, mask=~is_row))


def _read_stamps(stamps: Sequence[list[str] | None], horizon: int, *, keeps_text: bool) -> Any:
    """Times [forecasts * horizon]: wall times, or times in UTC, or as text where some have an offset and some none."""
    places: dict[int, int] = {}
    distinct: list[str] = []
    codes = np.empty(len(stamps), np.int64)
    for i, of_one in enumerate(stamps):
        if of_one is None:
            codes[i] = -1
            continue
        # Series of one start and length share their list.
        code = places.get(id(of_one))
        if code is None:
            code = places[id(of_one)] = len(places)
            distinct += of_one
        codes[i] = code
    texts = pa.array(distinct, pa.string())
    rows = (codes[:, None] * horizon + np.arange(horizon)).ravel()
    kind = None if keeps_text else _find_kind(distinct)
    if kind is not None:
        # Offsets before the time of zones have seconds, and stay text.
        with contextlib.suppress(pa.ArrowInvalid):
            texts = pc.replace_substring_regex(texts, r"\[.*\]$", "").cast(kind)
    return texts.take(pa.array(rows, mask=rows < 0))


def _find_kind(texts: Sequence[str]) -> Any:
    """The type of times: in their zone where they share one, else in UTC; None where some have an offset, some none."""
    have_offsets = {_OFFSET.search(text) is not None for text in texts}
    if len(have_offsets) > 1:
        return None
    zones = {found[1] if (found := _ZONE.search(text)) else "UTC" for text in texts}
    if have_offsets == {True}:
        return pa.timestamp("us", tz=zones.pop() if len(zones) == 1 else "UTC")
    return pa.timestamp("us")
