"""Reads an upload's column of times as wall times and offsets, or says which row has none."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.datasets.arrow_columns import is_text, quote, shorten
from service.datasets.time_texts import ArrowTexts, read_plain_iso
from service.domain.numeric_times import read_numbers
from service.domain.time_errors import Assumed, BadTime
from service.domain.time_fields import NO_OFFSET, join
from service.domain.time_grids import FIRST_STAMP, LAST_STAMP
from service.domain.timestamps import EXPECTED, Reading, read_texts
from service.errors import InvalidRequest

# Of zones by name the clock changes are known, of an offset that is written as a zone there are none.
_NAMED_ZONE = re.compile(r"(?!UTC$|Etc/)[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_BILLION = 10**9


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """`wall` [rows] are wall times, `offsets` [rows] what each is ahead of UTC in seconds, None where none has a zone.

    `zone` is the zone's IANA name, where the column has one; `findings` are pairs of a code and a message: what was
    assumed.
    """

    wall: NDArray[np.datetime64]
    offsets: NDArray[np.int32] | None
    zone: str | None = None
    findings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """Where a column stands in its file: its name, and the row of each value, counted from 1."""

    name: str
    rows: NDArray[np.int64] | None

    def row(self, index: int) -> int:
        return index + 1 if self.rows is None else int(self.rows[index])

    def refuse(self, index: int, code: str, message: str) -> InvalidRequest:
        """Args: `message` is what follows "Row 3"."""
        row = self.row(index)
        return InvalidRequest.at(f"{self.pointer}/{row - 1}", code, f"Row {row} {message}")

    @property
    def pointer(self) -> str:
        return "/" + self.name.replace("~", "~0").replace("/", "~1")

    def refuse_all(self, code: str, message: str) -> InvalidRequest:
        return InvalidRequest.at(self.pointer, code, message)


def read_times(column: Any, *, name: str = "ds", rows: NDArray[np.int64] | None = None) -> Times:
    """The whole column of times, of text in one of the forms of `service.domain.timestamps`, or of such numbers.

    Args:
        column: an Arrow array, chunked or not.
        name: the column's name in the file.
        rows: the row in the file of each value, counted from 1; None where they follow one another.

    Raises:
        InvalidRequest: a row without a time, with another text, or with one that can be read in two ways; some with
            zones and some without.
    """
    source = _Source(name, rows)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        raise _absent(source, int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0]))
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _read_typed(column, source)
    if is_text(kind):
        plain = read_plain_iso(column)
        return Times(*plain) if plain is not None and _are_within(*plain) else _read_texts(column, source)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _read_numbers(column, source)
    raise source.refuse_all(
        "bad_timestamp",
        f"The column {quote(name)} is of type {shorten(kind)}: expected times, or text in ISO 8601.",
    )


def _read_texts(column: Any, source: _Source) -> Times:
    """Each different text is read once."""
    encoded = column.cast(pa.string()).dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.to_numpy(zero_copy_only=False)

    def first_row(index: int) -> int:
        return int(np.flatnonzero(codes == index)[0])

    def show(index: int) -> str:
        return quote(encoded.dictionary[index].as_py())

    texts = ArrowTexts(encoded.dictionary)
    try:
        reading = read_texts(texts)
    except BadTime as error:
        row = first_row(error.index)
        if not texts.text(error.index):
            raise _absent(source, row) from None
        raise _refuse_bad(source, error, first_row, show) from None
    findings = _tell(source, reading.assumed, first_row, show)
    wall, offsets, zone = _localize(reading, source, first_row, show)
    return Times(wall[codes], None if offsets is None else offsets[codes].astype(np.int32), zone, findings)


def _read_numbers(column: Any, source: _Source) -> Times:
    numbers = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()

    def show(index: int) -> str:
        return f"{numbers[index]:.15g}"

    absent = np.flatnonzero(numbers != numbers)
    if len(absent):
        raise _absent(source, int(absent[0]))
    beyond = np.flatnonzero(~((numbers >= 1) & (numbers < 9e18)))
    if len(beyond):
        message = (
            f"holds {show(int(beyond[0]))} in {quote(source.name)}: a plain number of this size is not a time; "
            f"{EXPECTED}."
        )
        raise source.refuse(int(beyond[0]), "bad_timestamp", message)
    whole = numbers.astype(np.int64)
    rest = np.round((numbers - whole) * _BILLION).astype(np.int64) if numbers.dtype.kind == "f" else whole * 0
    try:
        numbered = read_numbers(whole, rest)
        wall, ok = join(numbered.days, numbered.clock, numbered.ok)
        if not ok.all():
            raise BadTime(int(np.flatnonzero(~ok)[0]), f"this day or time does not exist; {EXPECTED}")
    except BadTime as error:
        raise _refuse_bad(source, error, int, show) from None
    has_offset = numbered.clock.offset[0] != NO_OFFSET
    return Times(
        wall.astype("datetime64[us]"),
        numbered.clock.offset.astype(np.int32) if has_offset else None,
        None,
        _tell(source, numbered.assumed, int, show),
    )


def _localize(
    reading: Reading, source: _Source, first_row: Callable[[int], int], show: Callable[[int], str]
) -> tuple[NDArray[np.datetime64], NDArray[np.int64] | None, str | None]:
    """Wall times [texts], offsets [texts] and the zone that all share.

    Raises:
        InvalidRequest: some have a zone and others none, or another.
    """
    wall = reading.wall.astype("datetime64[us]")
    has_zone = (reading.offset != NO_OFFSET) | (reading.zone != "")
    other = np.flatnonzero((has_zone != has_zone[0]) | (reading.zone != reading.zone[0]))
    if len(other):
        index = int(other[0])
        message = (
            f"holds {show(index)} in {quote(source.name)}, but row {source.row(first_row(0))} holds {show(0)}: some "
            "time stamps have a zone or offset and others none, or another one. Give all of them one, or none."
        )
        raise source.refuse(first_row(index), "mixed_zones", message)
    zone = str(reading.zone[0])
    if not zone:
        return wall, reading.offset if has_zone[0] else None, None
    try:
        seconds = np.where(reading.offset == NO_OFFSET, 0, reading.offset).astype("timedelta64[s]")
        stamps = pa.array(wall - seconds)
        if (reading.offset == NO_OFFSET).all():
            utc = pc.assume_timezone(stamps, zone, ambiguous="earliest", nonexistent="latest")
        elif (reading.offset != NO_OFFSET).all():
            utc = stamps.cast(pa.timestamp("us", tz=zone))
        else:
            raise source.refuse_all("mixed_zones", "Some times have an offset beside their zone, others none.")
        local = _to_microseconds(pc.local_timestamp(utc))
    except pa.ArrowInvalid:
        raise source.refuse_all("bad_timestamp", _unknown_zone(source, zone)) from None
    offsets = (local - _to_microseconds(utc)).astype("timedelta64[s]").astype(np.int64)
    return local, offsets, zone if _NAMED_ZONE.fullmatch(zone) else None


def _read_typed(column: Any, source: _Source) -> Times:
    zone = getattr(column.type, "tz", None)
    try:
        # Nanoseconds are cut off; what is too large for microseconds is not a time that anybody means.
        options = pc.CastOptions(pa.timestamp("us", tz=zone), allow_time_truncate=True)
        stamps = pc.cast(column, options=options)
    except pa.ArrowInvalid:
        raise _beyond_years(source) from None
    utc = _to_microseconds(stamps)
    if not _are_within(utc, None):
        raise _beyond_years(source)
    if zone is None:
        return Times(utc, None)
    try:
        wall = _to_microseconds(pc.local_timestamp(stamps))
    except pa.ArrowInvalid:
        raise source.refuse_all("bad_timestamp", _unknown_zone(source, zone)) from None
    offsets = (wall - utc).astype("timedelta64[s]").astype(np.int32)
    if not _are_within(wall, offsets):
        raise _beyond_years(source)
    return Times(wall, offsets, zone if _NAMED_ZONE.fullmatch(zone) else None)


def _are_within(wall: NDArray[np.datetime64], offsets: NDArray[np.int32] | None) -> bool:
    """Whether all are in the years 1 to 9999, in UTC as well."""
    utc = wall if offsets is None else wall - offsets.astype("timedelta64[s]")
    return not len(wall) or bool(min(wall.min(), utc.min()) >= FIRST_STAMP and max(wall.max(), utc.max()) <= LAST_STAMP)


def _tell(
    source: _Source, assumed: list[Assumed], first_row: Callable[[int], int], show: Callable[[int], str]
) -> tuple[tuple[str, str], ...]:
    return tuple(
        (
            assumption.code,
            assumption.message.replace(
                "{other}", f"{show(assumption.index)} in row {source.row(first_row(assumption.index))}"
            ),
        )
        for assumption in assumed
    )


def _refuse_bad(
    source: _Source, error: BadTime, first_row: Callable[[int], int], show: Callable[[int], str]
) -> InvalidRequest:
    problem = error.problem
    if error.other is not None:
        there = f"row {source.row(first_row(error.other))}"
        problem = problem.replace("{other}", f"{there} ({show(error.other)})")
    mend = "" if EXPECTED in problem else " Write all times in ISO 8601, such as 2024-01-31."
    message = f"holds {show(error.index)} in {quote(source.name)}: {problem}.{mend}"
    return source.refuse(first_row(error.index), error.code, message)


def _absent(source: _Source, index: int) -> InvalidRequest:
    return source.refuse(index, "bad_timestamp", f"has no time stamp in {quote(source.name)}: add it.")


def _beyond_years(source: _Source) -> InvalidRequest:
    message = f"The column {quote(source.name)} holds times outside of the years 1 to 9999."
    return source.refuse_all("bad_timestamp", message)


def _unknown_zone(source: _Source, zone: str) -> str:
    return f"The column {quote(source.name)} is of zone {quote(zone)}, which is not known here: expected an IANA name."


def _to_microseconds(column: Any) -> NDArray[np.datetime64]:
    return np.asarray(
        column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy(), "datetime64[us]"
    )
