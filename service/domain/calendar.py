"""Calendar-correct time stamps of what comes after a series. NumPy and the standard library only."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from service.errors import InvalidRequest

_FREQ = re.compile(r"(?P<count>[1-9][0-9]{0,5})?(?P<unit>[A-Za-z]{1,3})(?:-(?P<anchor>[A-Z]{3}))?")
_ZONE = re.compile(r"(?P<stamp>[^\[]+)\[(?P<zone>[A-Za-z0-9_+\-/]{1,60})\]")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIXED = {"s": 1, "S": 1, "min": 60, "T": 60, "h": 3600, "H": 3600}
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# Months between anchors, whether they are month ends, and the month that anchors by default.
_MONTHLY = {
    **dict.fromkeys(("MS",), (1, False, 1)),
    **dict.fromkeys(("ME", "M"), (1, True, 1)),
    **dict.fromkeys(("QS",), (3, False, 1)),
    **dict.fromkeys(("QE", "Q"), (3, True, 12)),
    **dict.fromkeys(("YS", "AS"), (12, False, 1)),
    **dict.fromkeys(("YE", "Y", "A"), (12, True, 12)),
}
ALIASES = (*_FIXED, "D", "B", "W", *_MONTHLY)


@dataclass(frozen=True, slots=True)
class _Start:
    """The first stamp: wall time, its zone, and how it was written."""

    moment: datetime
    zone_name: str | None
    is_date: bool
    is_zulu: bool


def future_timestamps(freq: str, start: str, n_observed: int, horizon: int) -> list[str]:
    """The stamps of the `horizon` points after `n_observed` points that began at `start`.

    A start that is not on the frequency's anchor counts from the first anchor after it, as `pandas.date_range` does.
    Days and longer steps keep the wall time of a zone, hours and shorter ones the distance in time.

    Args:
        freq: a pandas offset alias, such as `D`, `15min`, `W-MON`, `MS`, `QE-DEC`.
        start: an ISO 8601 date or date-time, with `Z`, an offset, or an IANA zone in brackets (RFC 9557), or without.

    Returns:
        ISO 8601 in the style of `start`.

    Raises:
        InvalidRequest: an unknown frequency, no date-time, or a time after the year 9999.
    """
    count, unit, anchor = _parse_freq(freq)
    first = _parse_start(start)
    indices = range(n_observed, n_observed + horizon)
    try:
        if unit in _FIXED:
            return [_format(first, moment, False) for moment in _fixed(first, count * _FIXED[unit], indices)]
        days = _days(first.moment.date(), unit, anchor, count)
        wall = first.moment
        return [_format(first, _on_day(wall, days(index)), first.is_date) for index in indices]
    except (OverflowError, ValueError) as error:
        raise InvalidRequest.at(
            "/horizon", "out_of_range", f"{horizon} steps of {freq!r} after {start!r} lead past the year 9999."
        ) from error


def check_frequency(freq: str) -> None:
    """Raises InvalidRequest where a text is no pandas offset alias known here."""
    _parse_freq(freq)


def _parse_freq(freq: str) -> tuple[int, str, str | None]:
    match = _FREQ.fullmatch(freq)
    if match is not None:
        unit, anchor = match["unit"], match["anchor"]
        anchors = _WEEKDAYS if unit == "W" else _MONTHS if unit in _MONTHLY and _MONTHLY[unit][0] > 1 else ()
        if unit in ALIASES and (anchor is None or anchor in anchors):
            return int(match["count"] or 1), unit, anchor
    near = difflib.get_close_matches(freq.lstrip("0123456789"), ALIASES, n=3, cutoff=0.3)
    hint = f"Did you mean {' or '.join(repr(alias) for alias in near)}? " if near else ""
    raise InvalidRequest.at(
        "/freq",
        "unknown_frequency",
        f"{freq!r} is no frequency known here. {hint}Use a pandas offset alias: {', '.join(ALIASES)}, with a count "
        "before it (15min) or an anchor behind it (W-MON, QE-MAR, YS-APR).",
    )


def _parse_start(start: str) -> _Start:
    text, zone_name = start.strip(), None
    zoned = _ZONE.fullmatch(text)
    if zoned is not None:
        text, zone_name = zoned["stamp"], zoned["zone"]
    try:
        moment = datetime.fromisoformat(text)
        if zone_name is not None:
            zone = ZoneInfo(zone_name)
            moment = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)
    except (ValueError, OverflowError, ZoneInfoNotFoundError, OSError) as error:
        raise InvalidRequest.at(
            "/start",
            "bad_timestamp",
            f"{start[:100]!r} is no ISO 8601 date-time. Send one like 2024-01-31, 2024-01-31T06:00:00Z or "
            "2024-01-31T06:00:00+01:00[Europe/Berlin].",
        ) from error
    is_date = zone_name is None and _DATE.fullmatch(text) is not None
    return _Start(moment, zone_name, is_date, text[-1:] in "zZ" and zone_name is None)


def _fixed(first: _Start, seconds: int, indices: range) -> list[datetime]:
    """Equal distances in time. A naive time has no zone, so its wall time is its time."""
    zone = first.moment.tzinfo
    begin = first.moment if zone is None else first.moment.astimezone(UTC)
    moments = [begin + timedelta(seconds=seconds * index) for index in indices]
    return moments if zone is None else [moment.astimezone(zone) for moment in moments]


def _days(begin: date, unit: str, anchor: str | None, count: int) -> Callable[[int], date]:
    """The day of each point by its index, the first anchor not before `begin` being 0."""
    if unit == "D":
        return lambda index: begin + timedelta(days=count * index)
    if unit == "B":
        first_business_day = np.busday_offset(np.datetime64(begin, "D"), 0, roll="forward")
        return lambda index: _to_date(np.busday_offset(first_business_day, count * index))
    if unit == "W":
        weekday = _WEEKDAYS.index(anchor or "SUN")
        first = begin + timedelta(days=(weekday - begin.weekday()) % 7)
        return lambda index: first + timedelta(days=7 * count * index)
    months, at_end, default = _MONTHLY[unit]
    anchor_month = default if anchor is None else _MONTHS.index(anchor) + 1
    month = begin.year * 12 + begin.month - 1
    passed = not at_end and begin.day > 1
    month += passed
    month += (anchor_month - 1 - month) % months
    if at_end:
        return lambda index: _first_of(month + months * count * index + 1) - timedelta(days=1)
    return lambda index: _first_of(month + months * count * index)


def _first_of(month: int) -> date:
    """The first day of a month that is counted from the year 0."""
    return date(month // 12, month % 12 + 1, 1)


def _to_date(day: np.datetime64) -> date:
    value = day.astype("datetime64[D]").item()
    if not isinstance(value, date):  # NumPy gives a number past the year 9999
        raise OverflowError
    return value


def _on_day(wall: datetime, day: date) -> datetime:
    moment = wall.replace(year=day.year, month=day.month, day=day.day)
    if moment.tzinfo is None:
        return moment
    # A wall time that a clock change skips does not exist: the way through UTC gives the one that follows.
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


def _format(first: _Start, moment: datetime, as_date: bool) -> str:
    if as_date:
        return moment.date().isoformat()
    text = moment.isoformat(timespec="microseconds" if first.moment.microsecond else "seconds")
    if first.is_zulu:
        return text.replace("+00:00", "Z")
    return text if first.zone_name is None else f"{text}[{first.zone_name}]"
