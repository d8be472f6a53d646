"""Regular grids of time: the stamp at each place, and the place of each stamp. NumPy only."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.datetime64]  # microseconds
Places = NDArray[np.int64]

DAY_US = 86_400_000_000
FIRST_STAMP = np.datetime64("0001-01-01T00:00:00.000000")
LAST_STAMP = np.datetime64("9999-12-31T23:59:59.999999")
_FIRST_DAY, _LAST_DAY = (int(stamp.astype("datetime64[D]").astype(np.int64)) for stamp in (FIRST_STAMP, LAST_STAMP))
# 1970-01-01 was a Thursday.
_EPOCH_WEEKDAY = 3
BUSINESS_DAYS = "1111100"


class Grid(Protocol):
    """Stamps one step apart, on both sides of place 0."""

    def at(self, places: Places) -> Stamps:
        """The stamps of places. Raises OverflowError outside of the years 1 to 9999."""

    def find(self, stamps: Stamps) -> Places:
        """The last place that is not after each stamp."""


@dataclass(frozen=True, slots=True)
class EvenGrid:
    """Equal steps: of microseconds up to weeks."""

    origin_us: int
    step_us: int

    def at(self, places: Places) -> Stamps:
        # In Python's numbers, which don't overflow.
        for place in (int(places.min()), int(places.max())) if len(places) else ():
            _check_day((self.origin_us + self.step_us * place) // DAY_US)
        return (self.origin_us + self.step_us * places).astype("datetime64[us]")

    def find(self, stamps: Stamps) -> Places:
        return np.asarray((to_us(stamps) - self.origin_us) // self.step_us)


@dataclass(frozen=True, slots=True)
class OpenDayGrid:
    """Every `count`-th of the days that are open, at one time of day.

    `open_days` are seven digits from Monday on, 1 where a day is open; `origin_day`, counted from 1970, is one.
    """

    origin_day: int
    time_us: int
    open_days: str = BUSINESS_DAYS
    count: int = 1

    def at(self, places: Places) -> Stamps:
        origin = np.datetime64(self.origin_day, "D")
        days = np.busday_offset(origin, self.count * places, weekmask=self.open_days).astype(np.int64)
        return _join(days, self.time_us)

    def find(self, stamps: Stamps) -> Places:
        days, times = np.divmod(to_us(stamps), DAY_US)
        dates = days.astype("datetime64[D]")
        # Counted from a day before all others: numpy counts backwards by another rule than forwards.
        base = np.datetime64(min(int(days.min(initial=self.origin_day)), self.origin_day) - 7, "D")
        ahead = np.busday_count(base, np.datetime64(self.origin_day, "D"), weekmask=self.open_days)
        passed = np.busday_count(base, dates, weekmask=self.open_days) - ahead
        is_reached = np.is_busday(dates, weekmask=self.open_days) & (times >= self.time_us)
        return np.asarray((passed - ~is_reached) // self.count, np.int64)


@dataclass(frozen=True, slots=True)
class MonthDay:
    """A day of each month, or its last one where it is shorter: 31 is its end."""

    day: int

    def days(self, months: Places) -> Places:
        """The day, counted from 1970, in each month, counted from 1970."""
        return np.minimum(first_day(months) + self.day, first_day(months + 1)) - 1


@dataclass(frozen=True, slots=True)
class BusinessEdge:
    """The first business day of each month, or its last."""

    is_last: bool

    def days(self, months: Places) -> Places:
        edges = (first_day(months + 1) - 1 if self.is_last else first_day(months)).astype("datetime64[D]")
        roll: Any = "backward" if self.is_last else "forward"  # NumPy's types know each word alone, not one of two
        return np.asarray(np.busday_offset(edges, 0, roll=roll).astype(np.int64))


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """The n-th of a weekday (Monday is 0) in each month; 0 is its last."""

    weekday: int
    n: int

    def days(self, months: Places) -> Places:
        if self.n == 0:
            last = first_day(months + 1) - 1
            return np.asarray(last - (weekday(last) - self.weekday) % 7)
        first = first_day(months)
        return np.asarray(first + (self.weekday - weekday(first)) % 7 + 7 * (self.n - 1))


MonthRule = MonthDay | BusinessEdge | NthWeekday


@dataclass(frozen=True, slots=True)
class MonthGrid:
    """A day by a rule in every `step`-th month, at one time of day; `origin_month` is counted from 1970."""

    origin_month: int
    time_us: int
    rule: MonthRule
    step: int = 1

    def at(self, places: Places) -> Stamps:
        months = self.origin_month + self.step * places
        for month in (int(months.min()), int(months.max())) if len(months) else ():
            _check_day(30 * month)
        return _join(self.rule.days(months), self.time_us)

    def find(self, stamps: Stamps) -> Places:
        places = (month_of(to_us(stamps) // DAY_US) - self.origin_month) // self.step
        return np.asarray(places - (self.at(places) > stamps))


def to_us(stamps: Stamps) -> Places:
    """Microseconds since 1970."""
    return np.asarray(stamps, "datetime64[us]").astype(np.int64)


def weekday(days: Places) -> Places:
    """0 for Monday, of days counted from 1970."""
    return np.asarray((days + _EPOCH_WEEKDAY) % 7)


def month_of(days: Places) -> Places:
    """The months, counted from 1970, of days counted from 1970."""
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def first_day(months: Places) -> Places:
    """The first days, counted from 1970, of months counted from 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _join(days: Places, time_us: int) -> Stamps:
    for day in (int(days.min()), int(days.max())) if len(days) else ():
        _check_day(day)
    return (days * DAY_US + time_us).astype("datetime64[us]")


def _check_day(day: int) -> None:
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise OverflowError
