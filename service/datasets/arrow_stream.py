"""Reads series of an Arrow IPC stream: one row a point (unique_id, ds, y), or one a series (unique_id, list y, start).

It comes from a program and not from a person: types are as they are meant, and nothing is guessed. `measure` has to
come first, whose sizes are the bounds of what is done here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.datasets.arrow_columns import is_text, quote, shorten
from service.datasets.arrow_messages import Stream, refuse
from service.datasets.column_names import COLUMNS, ID, TIME, VALUE, check_names, find_named, refuse_column
from service.datasets.columns import MAX_ID_LENGTH, read_ids, read_numbers
from service.datasets.dataset import Finding
from service.datasets.file_options import FileOptions
from service.datasets.number_cells import CellPlace
from service.datasets.series_grid import make_grids
from service.datasets.table import ONLY_ID, Table
from service.datasets.time_column import Times, read_times
from service.datasets.upload_limits import UploadLimits
from service.domain.panel import Panel
from service.domain.series import FLOAT32_MAX, cut
from service.errors import InvalidRequest

START = "start"
# Rows of categories or views share their texts; what they take apart has a bound.
MOST_TEXT_BYTES = 2**29
# What data frames add by themselves.
_INDEX = "__index_level_"


@dataclass(frozen=True, slots=True, eq=False)
class StreamSeries:
    """The series of a stream, and what was found when they were put on their grids."""

    panel: Panel
    findings: tuple[Finding, ...] = ()


def read_stream(stream: Stream, limits: UploadLimits, options: FileOptions, freq: str | None) -> StreamSeries:
    """The series of a stream that was measured. Blocks.

    Args:
        options: names of columns; by default unique_id, ds and y.
        freq: the frequency of its times, where the sender says it.

    Raises:
        InvalidRequest: it can't be read, has other columns or types, more than the limits, or contradicts `freq`.
    """
    try:
        return _read(stream, limits, options, freq)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise refuse("it is damaged, or of a type that is not known here") from error


def _read(stream: Stream, limits: UploadLimits, options: FileOptions, freq: str | None) -> StreamSeries:
    with pa.ipc.open_stream(pa.py_buffer(stream), options=pa.ipc.IpcReadOptions(use_threads=False)) as reader:
        roles = _assign(reader.schema, options)
        batches = []
        for batch in reader:
            batch = batch.select([reader.schema.names[i] for i in roles.values()])
            batch.validate(full=True)
            batches.append(batch)
    if not sum(batch.num_rows for batch in batches):
        raise InvalidRequest.at("", "empty", "The stream has no rows: expected at least one.")
    table = pa.Table.from_batches(batches)
    names = dict(zip(roles, table.column_names, strict=True))
    if _is_list(table.column(names[VALUE]).type):
        return _read_lists(table, names, limits, freq)
    return _read_rows(table, names, limits, freq)


def _assign(schema: Any, options: FileOptions) -> dict[str, int]:
    """The columns by their roles. Raises InvalidRequest where one is missing, or nothing says what one is for."""
    names: list[str] = schema.names
    check_names(names)
    named = find_named(names, options)
    if VALUE not in named:
        message = (
            f"There is no column 'y' of values: expected {', '.join(COLUMNS)}, got "
            f"{', '.join(map(quote, names[:10])) or 'none'}. Rename it, or name it with target_column."
        )
        raise InvalidRequest.at("/columns", "missing_column", message)
    is_list = _is_list(schema.field(named[VALUE]).type)
    if is_list and TIME in named:
        message = "With a list of values a row is a series: send `start`, the time of its first point, and not 'ds'."
        raise InvalidRequest.at("/columns", "conflicting_fields", message)
    if is_list and START in names:
        named[START] = names.index(START)
    for i, name in enumerate(names):
        # Whoever names the columns knows of the others.
        if i not in named.values() and not name.startswith(_INDEX) and options.target_column is None:
            raise refuse_column(name)
    return named


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _read_rows(table: pa.Table, names: dict[str, str], limits: UploadLimits, freq: str | None) -> StreamSeries:
    n = table.num_rows
    limits.check_points(n)
    values = _read_values(table.column(names[VALUE]), names[VALUE], lambda index: CellPlace(names[VALUE], index + 1))
    ids, series = [ONLY_ID], np.zeros(n, np.int32)
    if ID in names:
        column = _read_texts(table.column(names[ID]), names[ID])
        ids, series = read_ids(column, names[ID], lambda index: CellPlace(names[ID], index + 1), limits)
    times = None
    if TIME in names:
        times = read_times(_plain_times(table.column(names[TIME]), names[TIME]), name=names[TIME])
    if times is None:
        order, ends = _group(series, len(ids))
        return StreamSeries(Panel(tuple(ids), tuple(cut(values[order], ends)), (None,) * len(ids), None))
    rows = Table(ids, series, times, values)
    return _share_grid(rows, limits, freq) or _grid_each(rows, limits, freq)


def _group(series: NDArray[np.int32], n_series: int) -> tuple[Any, NDArray[np.intp]]:
    """What puts the rows of each series behind one another, and where each ends."""
    ends = np.cumsum(np.bincount(series, minlength=n_series))
    if (series[1:] >= series[:-1]).all():
        return slice(None), ends
    return np.argsort(series, kind="stable"), ends


def _grid_each(rows: Table, limits: UploadLimits, freq: str | None) -> StreamSeries:
    gridded = make_grids(rows, limits, freq)
    return StreamSeries(gridded.panel, tuple(gridded.findings))


def _share_grid(rows: Table, limits: UploadLimits, freq: str | None) -> StreamSeries | None:
    """The series, where all have the same regular times: one is put on its grid for all. Else None."""
    assert rows.times is not None
    n_series, n = len(rows.ids), len(rows.values) // len(rows.ids)
    order, ends = _group(rows.series, n_series)
    if n * n_series != len(rows.values) or (np.diff(ends, prepend=0) != n).any():
        return None
    wall, offsets = rows.times.wall[order], rows.times.offsets
    offsets = None if offsets is None else offsets[order]
    for stamps in (wall, offsets):
        if stamps is not None and (stamps.reshape(n_series, n) != stamps[:n]).any():
            return None
    times = Times(wall[:n], None if offsets is None else offsets[:n], rows.times.zone, rows.times.findings)
    # Counting numbers show whether any point has to move.
    places = np.arange(n, dtype=np.float64)
    gridded = make_grids(Table(rows.ids[:1], np.zeros(n, np.int32), times, places), limits, freq)
    panel, findings = gridded.panel, gridded.findings
    if any(finding.id is not None for finding in findings) or not np.array_equal(panel.values[0], places):
        return None
    values = cut(rows.values[order], ends)
    panel = Panel(tuple(rows.ids), tuple(values), panel.starts * n_series, panel.freq)
    return StreamSeries(panel, tuple(findings))


def _read_lists(table: pa.Table, names: dict[str, str], limits: UploadLimits, freq: str | None) -> StreamSeries:
    n = table.num_rows
    limits.check_series(n)
    lists = table.column(names[VALUE])
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.intp)
    ends = np.cumsum(lengths)
    limits.check_points(int(ends[-1]))

    def locate(index: int) -> CellPlace:
        return CellPlace(names[VALUE], int(np.searchsorted(ends, index, "right")) + 1)

    values = _read_values(pc.list_flatten(lists), names[VALUE], locate)
    ids = tuple(map(str, range(n)))
    if ID in names:
        column = _read_texts(table.column(names[ID]), names[ID])
        ids = _read_own_ids(column, names[ID], limits)
    starts: tuple[str | None, ...] = (None,) * n
    if START in names:
        if freq is None:
            message = "A column `start` needs the parameter `freq`, such as freq=D or freq=h: add it."
            raise InvalidRequest.at("/freq", "missing_field", message)
        starts = _read_starts(table.column(names[START]))
    return StreamSeries(Panel(ids, tuple(cut(values, ends)), starts, None))


def _read_own_ids(column: Any, name: str, limits: UploadLimits) -> tuple[str, ...]:
    """Ids of rows that are series. Raises InvalidRequest where one is missing or stands twice."""
    texts: list[str | None] = column.cast(pa.large_string()).to_pylist()
    ids = tuple(text.strip() if text else "" for text in texts)
    if len(set(ids)) == len(ids) and all(ids):
        return ids
    _, codes = read_ids(column, name, lambda index: CellPlace(name, index + 1), limits)
    row = int(np.flatnonzero(codes != np.arange(len(codes)))[0])
    first = int(np.flatnonzero(codes == codes[row])[0])
    message = f"Rows {first + 1} and {row + 1} have the same {name}. With lists of values each row is a series."
    raise InvalidRequest.at(f"/{name}/{row}", "duplicate_id", message)


def _read_values(column: Any, name: str, locate: Callable[[int], CellPlace]) -> NDArray[np.float64]:
    """Numbers, NaN for null. Raises InvalidRequest."""
    kind = column.type
    if is_text(kind) or pa.types.is_dictionary(kind):
        message = f"The column {quote(name)} is of type {shorten(kind)}: expected numbers. Send text as CSV."
        raise InvalidRequest.at(f"/{name}", "not_a_number", message)
    if kind == pa.float64() and not column.null_count:
        # They are in order, as a rule, and then need no copy but one.
        chunks = [chunk.to_numpy() for chunk in column.chunks]
        values = chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
        # NaN is passed over.
        if max(np.fmax.reduce(values, initial=0.0), -np.fmin.reduce(values, initial=0.0)) <= FLOAT32_MAX:
            return values
    values, _ = read_numbers(column, name, locate, FileOptions(), None, len(column))
    return values


def _read_texts(column: Any, name: str) -> Any:
    """A column of texts, categories or whole numbers as plain texts. Raises InvalidRequest for other types."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (is_text(kind) or pa.types.is_integer(kind)):
        message = f"The column {quote(name)} is of type {shorten(kind)}: expected text, or whole numbers."
        raise InvalidRequest.at(f"/{name}", "wrong_type", message)
    return _decode(column, name)


def _plain_times(column: Any, name: str) -> Any:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return _decode(column, name) if is_text(kind) or kind != column.type else column


def _decode(column: Any, name: str) -> Any:
    """A column without categories and views, whose texts may each stand in many rows."""
    chunks = []
    room = MOST_TEXT_BYTES
    for chunk in column.chunks:
        dictionary, indices = (chunk.dictionary, chunk.indices) if pa.types.is_dictionary(chunk.type) else (chunk, None)
        if is_text(dictionary.type):
            lengths = _text_lengths(dictionary)
            longest = int(lengths.max(initial=0))
            if longest > MAX_ID_LENGTH:
                message = f"A {name} has {longest} bytes: expected at most {MAX_ID_LENGTH}."
                raise InvalidRequest.at(f"/{name}", "out_of_bounds", message)
            room -= (
                int((lengths if indices is None else lengths[indices.fill_null(0).to_numpy()]).sum())
                if len(lengths)
                else 0
            )
            if room < 0:
                message = f"The texts of {quote(name)} take more than {MOST_TEXT_BYTES} bytes. Send fewer series."
                raise InvalidRequest.at(f"/{name}", "out_of_bounds", message)
            dictionary = dictionary.cast(pa.large_string())
        chunks.append(dictionary if indices is None else dictionary.take(indices))
    return pa.chunked_array(chunks, chunks[0].type)


def _text_lengths(texts: Any) -> NDArray[np.int64]:
    """Bytes of each text [rows], 0 for null."""
    if pa.types.is_string_view(texts.type):
        # A view begins with its length, 32 bits of 128.
        views = np.frombuffer(texts.buffers()[1], np.int32)[4 * texts.offset : 4 * (texts.offset + len(texts)) : 4]
        return np.where(texts.is_valid().to_numpy(zero_copy_only=False), views, 0).astype(np.int64)
    return np.asarray(pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def _read_starts(column: Any) -> tuple[str | None, ...]:
    """Times as text, None for null. Each different one is read once."""
    kind = column.type
    zone = getattr(kind, "tz", None)
    if pa.types.is_timestamp(kind):
        options = pc.CastOptions(pa.timestamp("us", tz=zone), allow_time_truncate=True)
        column = pc.cast(column, options=options)
    elif not pa.types.is_date(kind):
        return tuple(_read_texts(column, START).to_pylist())
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    try:
        times = encoded.dictionary.to_pylist()
        # Days are written as such.
        if zone is None and all(isinstance(one, datetime) and one.time() == time() for one in times):
            times = [one.date() for one in times]
        texts: list[str | None] = [_write_time(one, zone) for one in times]
    except (ValueError, OverflowError) as error:
        message = "The column 'start' holds times outside of the years 1 to 9999, or of an unknown zone."
        raise InvalidRequest.at("/start", "bad_timestamp", message) from error
    codes: Sequence[int | None] = encoded.indices.to_pylist()
    return tuple(None if code is None else texts[code] for code in codes)


def _write_time(one: date, zone: str | None) -> str:
    text = one.isoformat()
    is_named = isinstance(one, datetime) and isinstance(one.tzinfo, ZoneInfo) and zone not in (None, "UTC")
    return f"{text}[{zone}]" if is_named else text
