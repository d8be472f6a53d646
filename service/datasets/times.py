"""The column of times of an upload: wall times and offsets, or the row that holds none."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.datasets.arrow import decode, is_text, shorten
from service.errors import InvalidRequest

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


def read_times(column: Any) -> Times:
    """The whole column of times, or of text in ISO 8601.

    Raises:
        InvalidRequest: a row without a time, or with another text; some with zones and some without.
    """
    column = decode(column)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise InvalidRequest.at(f"/ds/{row}", "bad_timestamp", f"Row {row + 1} has no time stamp: add it.")
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _read_typed(column)
    if not is_text(column.type):
        raise InvalidRequest.at(
            "/ds",
            "bad_timestamp",
            f"The column 'ds' is of type {shorten(column.type)}: expected times, or text in ISO 8601.",
        )
    has_zone = pc.match_substring_regex(column, _ZONE).to_numpy()
    if has_zone.any() and not has_zone.all():
        raise InvalidRequest.at(
            "/ds",
            "mixed_zones",
            "Some time stamps have a zone or offset and others none. Give all of them one, or none.",
        )
    try:
        if not has_zone.any():
            return Times(_to_microseconds(column.cast(pa.timestamp("us"))), None)
        utc = _to_microseconds(column.cast(pa.timestamp("us", tz="UTC")))
    except pa.ArrowInvalid:
        raise _first_bad_time(column) from None
    wall = _to_microseconds(pc.replace_substring_regex(column, _ZONE, "").cast(pa.timestamp("us")))
    return Times(wall, _seconds(wall - utc))


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
        message = f"The column 'ds' is of zone {shorten(zone)!r}, which is not known here: expected an IANA name."
        raise InvalidRequest.at("/ds", "bad_timestamp", message) from None
    return Times(wall, _seconds(wall - utc), zone if _NAMED_ZONE.fullmatch(zone) else None)


def _beyond_years() -> InvalidRequest:
    return InvalidRequest.at("/ds", "bad_timestamp", "The column 'ds' holds times outside of the years 1 to 9999.")


def _first_bad_time(column: Any) -> InvalidRequest:
    for row, value in enumerate(column.to_pylist()):
        try:
            pa.scalar(re.sub(_ZONE, "", value)).cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            shown = repr(shorten(value)) if value else "nothing"
            return InvalidRequest.at(
                f"/ds/{row}",
                "bad_timestamp",
                f"Row {row + 1} holds {shown} in 'ds': expected ISO 8601, such as 2024-01-31 or "
                "2024-01-31T06:00:00+01:00.",
            )
    return InvalidRequest.at("/ds", "bad_timestamp", "The column 'ds' holds something that is no ISO 8601 time.")


def _to_microseconds(column: Any) -> NDArray[np.datetime64]:
    return np.asarray(column.to_numpy(), "datetime64[us]")


def _seconds(distance: NDArray[np.timedelta64]) -> NDArray[np.int32]:
    return distance.astype("timedelta64[s]").astype(np.int32)
