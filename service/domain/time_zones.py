"""What IANA time zones are ahead of UTC, for many time stamps at once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.datetime64]
Seconds = NDArray[np.int64]

DAY_SECONDS = 86_400
# Of one zone a year takes half a millisecond to read and half a kilobyte to keep.
MOST_YEARS_KEPT = 4096
# So many stamps are read one by one in the time that arrays take.
FEW = 16


class _Changes(NamedTuple):
    """The clock changes of a zone within a year: seconds since 1970, and what it is ahead before and after each."""

    at: Seconds
    before: Seconds
    after: Seconds
    # What it is ahead in the second before the year begins, in UTC.
    first: int


def ahead_of_utc(zone: str, utc: Stamps) -> Seconds:
    """How many seconds a zone is ahead of UTC, int64 [n].

    Args:
        zone: a name that the zone database has, such as `Europe/Berlin`.
        utc: [n], within the years 1 to 9999.
    """
    return _find(
        zone, utc, lambda moment, info: moment.replace(tzinfo=UTC).astimezone(info), lambda changes: changes.at
    )


def ahead_of_wall(zone: str, wall: Stamps) -> Seconds:
    """As `ahead_of_utc`, of local times.

    Of a time that a clock change skips, and of one that comes twice, it is what the zone was ahead before the change.
    """
    return _find(zone, wall, _localize_wall, lambda changes: changes.at + np.maximum(changes.before, changes.after))


def _localize_wall(moment: datetime, info: ZoneInfo) -> datetime:
    return moment.replace(tzinfo=info)


def _find(
    zone: str,
    stamps: Stamps,
    localize: Callable[[datetime, ZoneInfo], datetime],
    thresholds: Callable[[_Changes], Seconds],
) -> Seconds:
    if not len(stamps):
        return np.zeros(0, np.int64)
    seconds = np.floor_divide(stamps.astype("datetime64[us]").astype(np.int64), 10**6)
    n_days = (int(seconds.max()) - int(seconds.min())) // DAY_SECONDS
    if len(stamps) <= max(n_days, FEW):
        # Less than the days of their years would take.
        info = ZoneInfo(zone)
        return np.array([_ahead(localize(moment, info)) for moment in stamps.astype("datetime64[us]").tolist()])
    # A local time may be of the year before or after, as UTC has it.
    margin = 2 * DAY_SECONDS
    years = range(_year(int(seconds.min()) - margin), _year(int(seconds.max()) + margin) + 1)
    by_year = [_read_year(zone, year) for year in years]
    values = np.concatenate([[by_year[0].first], *(changes.after for changes in by_year)])
    return np.asarray(values[np.searchsorted(np.concatenate([thresholds(c) for c in by_year]), seconds, side="right")])


@lru_cache(MOST_YEARS_KEPT)
def _read_year(zone: str, year: int) -> _Changes:
    """Looks at each day's beginning, and between two that differ for the second of the change."""
    info = ZoneInfo(zone)
    # A change at midnight of the first of January is of the new year.
    first, last = _begin(year) - 1, _begin(year + 1) - 1

    def ahead(second: int) -> int:
        return _ahead((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).astimezone(info))

    days = range(first, last, DAY_SECONDS)
    at, values = [], [_safely(ahead, first)]
    for day in days:
        low, high = day, min(day + DAY_SECONDS, last)
        value = _safely(ahead, high)
        if value == values[-1]:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _safely(ahead, middle) == values[-1] else (low, middle)
        at.append(high)
        values.append(value)
    table = np.array(values, np.int64)
    return _Changes(np.array(at, np.int64), table[:-1], table[1:], int(table[0]))


def _safely(ahead: Callable[[int], int], second: int) -> int:
    """What a zone is ahead; at the ends of the calendar, where local times leave it, as a day nearer to its middle."""
    try:
        return ahead(second)
    except OverflowError:
        return ahead(second + (2 if second < 0 else -2) * DAY_SECONDS)


def _ahead(moment: datetime) -> int:
    offset = moment.utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _begin(year: int) -> int:
    return int(np.datetime64(f"{year:04}", "s").astype(np.int64))


def _year(second: int) -> int:
    return min(max(int(np.datetime64(second, "s").astype("datetime64[Y]").astype(np.int64)) + 1970, 1), 9999)
