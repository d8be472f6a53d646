"""The columns of an upload, a batch at a time: values, ids, times, or the row that is none."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.domain.series import FLOAT32_MAX
from service.errors import InvalidRequest

MAX_ID_LENGTH = 1000
FIRST_TIME, LAST_TIME = np.datetime64("0001-01-01"), np.datetime64("9999-12-31")
_ZONE = r"(Z|z|[+-]\d{2}:?\d{2})$"
# Of zones by name the clock changes are known, of an offset that is written as a zone there are none.
_NAMED_ZONE = re.compile(r"(?!UTC$|Etc/)[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """`wall` [rows] are wall times, `offsets` [rows] what each is ahead of UTC in seconds, None where none has a zone.

    `zone` is the zone's IANA name, where the column has one.
    """

    wall: NDArray[np.datetime64]
    offsets: NDArray[np.int32] | None
    zone: str | None = None


def read_numbers(column: Any, first_row: int) -> NDArray[np.float64]:
    """A column of values, NaN for null. Text must hold numbers."""
    column = _decode(column)
    kind = column.type
    if not (
        pa.types.is_floating(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
        or _is_text(kind)
    ):
        raise InvalidRequest.at("/y", "not_a_number", f"The column 'y' is of type {_shorten(kind)}: expected numbers.")
    try:
        numbers = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowInvalid:
        raise _first_bad_number(column, first_row) from None
    beyond = np.abs(numbers) > FLOAT32_MAX
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        raise InvalidRequest.at(
            f"/y/{first_row + row}",
            "out_of_range",
            f"Row {first_row + row + 1} holds {numbers[row]:g} in 'y': expected a magnitude of at most "
            f"{FLOAT32_MAX:.4g}. Send the values in a larger unit.",
        )
    return np.array(numbers)


def read_ids(column: Any, codes: dict[str, int], first_row: int) -> NDArray[np.int32]:
    """Ids as numbers, counted over all batches in the order in which they appear; `codes` goes on counting."""
    encoded = column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()
    names = encoded.dictionary.cast(pa.string()).to_pylist()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    nameless = [index for index, name in enumerate(names) if not name]
    absent = (indices < 0) | np.isin(indices, nameless)
    if absent.any():
        row = first_row + int(np.flatnonzero(absent)[0])
        raise InvalidRequest.at(f"/unique_id/{row}", "missing_value", f"Row {row + 1} has no unique_id: add it.")
    longest = max(names, key=len, default="")
    if len(longest) > MAX_ID_LENGTH:
        raise InvalidRequest.at(
            "/unique_id",
            "out_of_bounds",
            f"A unique_id has {len(longest)} characters: expected at most {MAX_ID_LENGTH}.",
        )
    numbers = np.array([codes.setdefault(name, len(codes)) for name in names], np.int32)
    return np.asarray(numbers[indices])


def read_times(column: Any, first_row: int) -> Times:
    """A column of times, or of text in ISO 8601.

    Raises:
        InvalidRequest: a row without a time, or with another text; some with zones and some without.
    """
    column = _decode(column)
    if column.null_count:
        row = first_row + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise InvalidRequest.at(f"/ds/{row}", "bad_timestamp", f"Row {row + 1} has no time stamp: add it.")
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _read_typed(column)
    if not _is_text(column.type):
        raise InvalidRequest.at(
            "/ds",
            "bad_timestamp",
            f"The column 'ds' is of type {_shorten(column.type)}: expected times, or text in ISO 8601.",
        )
    has_zone = pc.match_substring_regex(column, _ZONE).to_numpy(zero_copy_only=False)
    if has_zone.any() and not has_zone.all():
        raise mixed_zones()
    try:
        if not has_zone.any():
            return Times(_to_microseconds(column.cast(pa.timestamp("us"))), None)
        utc = _to_microseconds(column.cast(pa.timestamp("us", tz="UTC")))
    except pa.ArrowInvalid:
        raise _first_bad_time(column, first_row) from None
    wall = _to_microseconds(pc.replace_substring_regex(column, _ZONE, "").cast(pa.timestamp("us")))
    return Times(wall, _seconds(wall - utc))


def mixed_zones() -> InvalidRequest:
    return InvalidRequest.at(
        "/ds",
        "mixed_zones",
        "Some time stamps have a zone or offset and others none. Give all of them one, or none.",
    )


def _read_typed(column: Any) -> Times:
    zone = getattr(column.type, "tz", None)
    try:
        # Nanoseconds are cut off; what is too large for microseconds is not a time that anybody means.
        options = pc.CastOptions(pa.timestamp("us", tz=zone), allow_time_truncate=True)
        stamps = pc.cast(column, options=options)
    except pa.ArrowInvalid:
        raise _beyond_years() from None
    utc = _to_microseconds(stamps)
    if ((utc < FIRST_TIME) | (utc > LAST_TIME)).any():
        raise _beyond_years()
    if zone is None:
        return Times(utc, None)
    try:
        wall = _to_microseconds(pc.local_timestamp(stamps))
    except pa.ArrowInvalid:
        message = f"The column 'ds' is of zone {_shorten(zone)!r}, which is not known here: expected an IANA name."
        raise InvalidRequest.at("/ds", "bad_timestamp", message) from None
    return Times(wall, _seconds(wall - utc), zone if _NAMED_ZONE.fullmatch(zone) else None)


def _beyond_years() -> InvalidRequest:
    return InvalidRequest.at("/ds", "bad_timestamp", "The column 'ds' holds times outside of the years 1 to 9999.")


def _first_bad_number(column: Any, first_row: int) -> InvalidRequest:
    for row, value in enumerate(column):
        try:
            value.cast(pa.float64())
        except pa.ArrowInvalid:
            return InvalidRequest.at(
                f"/y/{first_row + row}",
                "not_a_number",
                f"Row {first_row + row + 1} holds {_shorten(value)!r} in 'y': expected a number, or nothing where it "
                "is missing.",
            )
    return InvalidRequest.at("/y", "not_a_number", "The column 'y' holds something that is no number.")


def _first_bad_time(column: Any, first_row: int) -> InvalidRequest:
    for row, value in enumerate(column.to_pylist()):
        try:
            pa.scalar(re.sub(_ZONE, "", value)).cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            shown = repr(_shorten(value)) if value else "nothing"
            return InvalidRequest.at(
                f"/ds/{first_row + row}",
                "bad_timestamp",
                f"Row {first_row + row + 1} holds {shown} in 'ds': expected ISO 8601, such as 2024-01-31 or "
                "2024-01-31T06:00:00+01:00.",
            )
    return InvalidRequest.at("/ds", "bad_timestamp", "The column 'ds' holds something that is no ISO 8601 time.")


def _decode(column: Any) -> Any:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _to_microseconds(column: Any) -> NDArray[np.datetime64]:
    return np.asarray(column.to_numpy(zero_copy_only=False), "datetime64[us]")


def _seconds(distance: NDArray[np.timedelta64]) -> NDArray[np.int32]:
    return distance.astype("timedelta64[s]").astype(np.int32)


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:40] + "..."
