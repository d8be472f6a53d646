"""An upload in long format, as columns: what every reader makes of its file."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.domain.series import FLOAT32_MAX
from service.errors import InvalidRequest

COLUMNS = ("unique_id", "ds", "y")
# The id of a file without ids.
ONLY_ID = "0"
MAX_ID_LENGTH = 1000
_ZONE = r"(Z|z|[+-]\d{2}:?\d{2})$"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one upload may hold."""

    max_points: int
    max_series: int


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """All rows in the order of the file.

    `series` [rows] counts `ids`; `stamps` [rows] are wall times, None without a column of times; `offsets` [rows] what
    each wall time is ahead of UTC, in seconds, None where no time has a zone; `values` [rows], NaN for null.
    """

    ids: list[str]
    series: NDArray[np.int32]
    stamps: NDArray[np.datetime64] | None
    offsets: NDArray[np.int32] | None
    values: NDArray[np.float64]


def check_columns(names: Sequence[str]) -> list[str]:
    """The columns to read, in the file's order.

    Raises:
        InvalidRequest: one that is not known, one twice, or no `y`.
    """
    for name in names:
        if name not in COLUMNS:
            shown = name if len(name) <= 40 else name[:40] + "..."
            close = get_close_matches(name.lower(), COLUMNS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise InvalidRequest.at(
                "/columns", "unknown_column", f"There is a column {shown!r}: expected {', '.join(COLUMNS)}.{hint}"
            )
    if len(set(names)) != len(names):
        raise InvalidRequest.at("/columns", "duplicate_column", "Two columns have the same name: names must differ.")
    if "y" not in names:
        raise InvalidRequest.at("/columns", "missing_column", "There is no column 'y', which holds the values: add it.")
    return list(names)


def gather(batches: Iterator[pa.RecordBatch], limits: Limits) -> Table:
    """Joins batches of the columns, refusing more than the limits as soon as they are passed.

    Raises:
        InvalidRequest: too many points or series, a value that is no number, stamps that are no times, mixed zones.
    """
    codes: dict[str, int] = {}
    series, stamps, offsets, values = [], [], [], []
    n_rows = 0
    for batch in batches:
        if n_rows + batch.num_rows > limits.max_points:
            raise too_many_points(limits)
        names = batch.schema.names
        values.append(_numbers(batch.column(names.index("y")), n_rows))
        if "unique_id" in names:
            series.append(_encode(batch.column(names.index("unique_id")), codes, n_rows))
            if len(codes) > limits.max_series:
                raise InvalidRequest.at(
                    "",
                    "too_many_series",
                    f"The file holds more than {limits.max_series} series. Send them in several uploads.",
                )
        if "ds" in names:
            wall, ahead = _times(batch.column(names.index("ds")), n_rows)
            stamps.append(wall)
            offsets.append(ahead)
        n_rows += batch.num_rows
    if not n_rows:
        raise InvalidRequest.at("", "empty", "The file holds no rows: expected at least one.")
    if {one is None for one in offsets} == {True, False}:
        raise mixed_zones()
    return Table(
        list(codes) or [ONLY_ID],
        np.concatenate(series) if series else np.zeros(n_rows, np.int32),
        np.concatenate(stamps) if stamps else None,
        np.concatenate([one for one in offsets if one is not None]) if offsets and offsets[0] is not None else None,
        np.concatenate(values),
    )


def too_many_points(limits: Limits) -> InvalidRequest:
    return InvalidRequest.at(
        "", "too_many_points", f"The file holds more than {limits.max_points} rows. Send it in several uploads."
    )


def mixed_zones() -> InvalidRequest:
    return InvalidRequest.at(
        "/ds",
        "mixed_zones",
        "Some time stamps have a zone or offset and others none. Give all of them one, or none.",
    )


def _numbers(column: Any, first_row: int) -> NDArray[np.float64]:
    """A column of values, NaN for null. Text must hold numbers."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type) or not (
        pa.types.is_floating(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_decimal(column.type)
        or pa.types.is_null(column.type)
        or _is_text(column.type)
    ):
        raise InvalidRequest.at("/y", "not_a_number", f"The column 'y' is of type {column.type}: expected numbers.")
    try:
        numbers = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowInvalid:
        raise _first_bad_number(column, first_row) from None
    beyond = np.isinf(numbers) | (np.abs(numbers) > FLOAT32_MAX)
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        raise InvalidRequest.at(
            f"/y/{first_row + row}",
            "out_of_range",
            f"Row {first_row + row + 1} holds {numbers[row]:g} in 'y': expected a magnitude of at most "
            f"{FLOAT32_MAX:.4g}. Send the values in a larger unit.",
        )
    return np.array(numbers)


def _first_bad_number(column: Any, first_row: int) -> InvalidRequest:
    for row, value in enumerate(column.to_pylist()):
        try:
            float(value if value is not None else "nan")
        except ValueError:
            return InvalidRequest.at(
                f"/y/{first_row + row}",
                "not_a_number",
                f"Row {first_row + row + 1} holds {str(value)[:40]!r} in 'y': expected a number, or nothing where it "
                "is missing.",
            )
    return InvalidRequest.at("/y", "not_a_number", "The column 'y' holds something that is no number.")


def _encode(column: Any, codes: dict[str, int], first_row: int) -> NDArray[np.int32]:
    """Ids as numbers, counted over all batches in the order in which they appear."""
    if column.null_count:
        row = first_row + column.is_null().to_pylist().index(True)
        raise InvalidRequest.at(f"/unique_id/{row}", "missing_value", f"Row {row + 1} has no unique_id: add it.")
    encoded = column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()
    names = encoded.dictionary.cast(pa.string()).to_pylist()
    longest = max(names, key=len, default="")
    if len(longest) > MAX_ID_LENGTH:
        raise InvalidRequest.at(
            "/unique_id",
            "out_of_bounds",
            f"A unique_id has {len(longest)} characters: at most {MAX_ID_LENGTH}.",
        )
    numbers = np.array([codes.setdefault(name, len(codes)) for name in names], np.int32)
    return np.asarray(numbers[encoded.indices.to_numpy(zero_copy_only=False)])


def _times(column: Any, first_row: int) -> tuple[NDArray[np.datetime64], NDArray[np.int32] | None]:
    """Wall times, and how far each is ahead of UTC where they have zones."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.null_count:
        row = first_row + column.is_null().to_pylist().index(True)
        raise InvalidRequest.at(f"/ds/{row}", "bad_timestamp", f"Row {row + 1} has no time stamp: add it.")
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        zone = getattr(column.type, "tz", None)
        utc = column.cast(pa.timestamp("us", tz=zone)).to_numpy(zero_copy_only=False).astype("datetime64[us]")
        if zone is None:
            return utc, None
        wall = pc.local_timestamp(column.cast(pa.timestamp("us", tz=zone))).to_numpy(zero_copy_only=False)
        wall = wall.astype("datetime64[us]")
        return wall, (wall - utc).astype("timedelta64[s]").astype(np.int32)
    if not _is_text(column.type):
        raise InvalidRequest.at(
            "/ds",
            "bad_timestamp",
            f"The column 'ds' is of type {column.type}: expected times, or text in ISO 8601.",
        )
    has_zone = pc.match_substring_regex(column, _ZONE).to_numpy(zero_copy_only=False)
    if has_zone.any() and not has_zone.all():
        raise mixed_zones()
    try:
        if not has_zone.any():
            return column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]"), None
        utc = column.cast(pa.timestamp("us", tz="UTC")).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    except pa.ArrowInvalid:
        raise _first_bad_time(column, first_row) from None
    wall = pc.replace_substring_regex(column, _ZONE, "").cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    wall = wall.astype("datetime64[us]")
    return wall, (wall - utc).astype("timedelta64[s]").astype(np.int32)


def _first_bad_time(column: Any, first_row: int) -> InvalidRequest:
    for row, value in enumerate(column.to_pylist()):
        text = re.sub(_ZONE, "", value)
        try:
            pa.scalar(text).cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            return InvalidRequest.at(
                f"/ds/{first_row + row}",
                "bad_timestamp",
                f"Row {first_row + row + 1} holds {value[:40]!r} in 'ds': expected ISO 8601, such as 2024-01-31 or "
                "2024-01-31T06:00:00+01:00.",
            )
    return InvalidRequest.at("/ds", "bad_timestamp", "The column 'ds' holds something that is no ISO 8601 time.")


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
