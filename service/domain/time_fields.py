"""From the fields of written times to wall times and offsets. NumPy only."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.time_grids import DAY_US, FIRST_STAMP, LAST_STAMP, first_day, month_of, weekday

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Fields = Mapping[str, NDArray[Any]]

NO_OFFSET = np.iinfo(np.int64).min
_SECOND_US = 1_000_000
_FIRST_US, _LAST_US = (int(stamp.astype(np.int64)) for stamp in (FIRST_STAMP, LAST_STAMP))
# Years of two digits, as POSIX reads them: 69 to 99 are of the last century.
_PIVOT = 69


class Clock(NamedTuple):
    """`us` [times] is the time of day, `offset` [times] seconds ahead of UTC or NO_OFFSET, `ok` whether it exists."""

    us: Numbers
    offset: Numbers
    ok: Mask
    has_hour: bool


def join(days: Numbers, clock: Clock, ok: Mask) -> tuple[Numbers, Mask]:
    """Wall times in microseconds since 1970, and which of them are in the years 1 to 9999, in UTC as well."""
    wall = days * DAY_US + clock.us
    utc = wall - np.where(clock.offset == NO_OFFSET, 0, clock.offset) * _SECOND_US
    inside = (wall >= _FIRST_US) & (wall <= _LAST_US) & (utc >= _FIRST_US) & (utc <= _LAST_US)
    return wall, ok & clock.ok & inside


def read_days(fields: Fields) -> tuple[Numbers, Mask]:
    """Days since 1970, and which of them exist. A month, quarter, week or year is its first day."""
    year = fields["year"] if "year" in fields else expand_year(fields["short_year"])
    if "week" in fields:
        return _read_weeks(year, fields["week"], fields.get("weekday", np.ones_like(year)))
    if "ordinal" in fields:
        begin, end = first_day(12 * (year - 1970)), first_day(12 * (year - 1969))
        days = begin + fields["ordinal"] - 1
        return days, (year > 0) & (days >= begin) & (days < end)
    if "quarter" in fields:
        month = 3 * fields["quarter"] - 2
    else:
        month = fields["month_name"] if "month_name" in fields else fields["month"]
    return date(year, month, fields.get("day", np.ones_like(year)))


def date(year: Numbers, month: Numbers, day: Numbers) -> tuple[Numbers, Mask]:
    """Days since 1970, and which of them exist."""
    months = 12 * (year - 1970) + month - 1
    days = first_day(months) + day - 1
    ok = (year > 0) & (month >= 1) & (month <= 12) & (day >= 1) & (days < first_day(months + 1))
    return days, np.asarray(ok)


def expand_year(short: Numbers) -> Numbers:
    return np.asarray(short + np.where(short < _PIVOT, 2000, 1900))


def read_clock(fields: Fields, n: int) -> Clock:
    """The time of day, midnight where none is written; `24:00` is the next midnight."""
    us, ok = np.zeros(n, np.int64), np.ones(n, bool)
    if "hour" in fields:
        # What is absent is -1.
        hour, minute, second, fraction = (
            np.maximum(fields.get(name, us), 0) for name in ("hour", "minute", "second", "fraction")
        )
        half = fields.get("half", us - 1)
        ok = (minute < 60) & (second < 60) & np.where(half >= 0, (hour >= 1) & (hour <= 12), hour <= 24)
        hour = np.where(half >= 0, hour % 12 + 12 * half, hour)
        us = ((hour * 60 + minute) * 60 + second) * _SECOND_US + fraction
        ok &= us <= DAY_US
    return Clock(us, *_read_offset(fields, n, ok), "hour" in fields)


def _read_offset(fields: Fields, n: int, ok: Mask) -> tuple[Numbers, Mask]:
    offset = np.full(n, NO_OFFSET)
    if "sign" in fields:
        hour, minute, second = (
            np.maximum(fields.get(name, np.zeros(n, np.int64)), 0)
            for name in ("zone_hour", "zone_minute", "zone_second")
        )
        seconds = (hour * 60 + minute) * 60 + second
        offset = np.where(fields["sign"] < 0, offset, np.where(fields["sign"] == 0, seconds, -seconds))
        ok = ok & (hour < 24) & (minute < 60) & (second < 60)
    if "zulu" in fields:
        offset = np.where(fields["zulu"] >= 0, 0, offset)
    return np.asarray(offset), ok


def _read_weeks(year: Numbers, week: Numbers, day: Numbers) -> tuple[Numbers, Mask]:
    """ISO 8601: the first week of a year holds its fourth of January."""
    fourth = first_day(12 * (year - 1970)) + 3
    monday = fourth - weekday(fourth) + 7 * (week - 1)
    thursday_year = month_of(monday + 3) // 12 + 1970
    return monday + day - 1, np.asarray((year > 0) & (week >= 1) & (thursday_year == year))
