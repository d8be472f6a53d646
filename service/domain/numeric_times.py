"""Times that are written as plain numbers: which of the many ways it is follows from their size, together."""

from typing import NamedTuple

import numpy as np

from service.domain.time_errors import Assumed, BadTime, show
from service.domain.time_fields import NO_OFFSET, Clock, Fields, Mask, Numbers, read_clock, read_days
from service.domain.time_grids import DAY_US, first_day

_POWERS = 10 ** np.arange(1, 19, dtype=np.int64)
# By the count of digits. Eleven would be seconds after the year 2286, or milliseconds before 1973.
_KINDS = {
    4: "year", 5: "serial", 6: "month", 7: "ordinal", 8: "date", 9: "s", 10: "s", 12: "ms", 13: "ms", 14: "clock",
    15: "us", 16: "us", 18: "ns", 19: "ns",
}  # fmt: skip
KIND_NAMES = {
    "year": "a year", "serial": "a spreadsheet's serial day", "month": "YYYYMM", "ordinal": "YYYYDDD",
    "date": "YYYYMMDD", "hour": "YYYYMMDDHH", "clock": "YYYYMMDDHHMMSS", "minute": "YYYYMMDDHHMM", "s": "epoch seconds",
    "ms": "epoch milliseconds", "us": "epoch microseconds", "ns": "epoch nanoseconds",
}  # fmt: skip
# Of as many digits as an epoch: dates that are written, which epochs of our days can't be.
_WRITTEN = {"s": ("YYYYMMDDHH", "hour"), "ms": ("YYYYMMDDHHMM", "minute")}
_US = {"s": (1_000_000, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}
_EPOCH_OF_SERIALS = -25_569  # 1899-12-30, from which spreadsheets count in effect
# A plain number that would be another year is more likely no time.
FIRST_YEAR, LAST_YEAR = 1500, 2199
_LIKELY_YEARS = (1900, 2100)
_NO_SIZE = "a plain number of this size is no time"
_BILLION = 10**9


class Numbered(NamedTuple):
    """What plain numbers mean, all of one `kind`."""

    days: Numbers
    clock: Clock
    ok: Mask
    kind: str
    assumed: list[Assumed]


def read_numbers(whole: Numbers, rest: Numbers) -> Numbered:
    """Args: `rest` [numbers] is behind the decimal point, in billionths, -1 for none.

    Raises:
        BadTime: a number of a size that no time has, or numbers of different kinds.
    """
    kinds = np.array([_KINDS.get(n, "") for n in range(21)])[np.searchsorted(_POWERS, whole, side="right") + 1]
    unknown = np.flatnonzero((kinds == "") | ((rest > 0) & ~np.isin(kinds, ("serial", *_US))))
    if len(unknown):
        raise BadTime(int(unknown[0]), _NO_SIZE)
    other = np.flatnonzero(kinds != kinds[0])
    if len(other):
        named = (
            f"as it stands it is {KIND_NAMES[str(kinds[other[0]])]}, but {{other}} holds {KIND_NAMES[str(kinds[0])]}"
        )
        raise BadTime(int(other[0]), named, 0, "mixed_timestamps")
    kind, assumed = str(kinds[0]), []
    if kind in _WRITTEN and (rest <= 0).all():
        form, written = _WRITTEN[kind]
        fields = _split(written, whole)
        days, ok = read_days(fields)
        clock = read_clock(fields, len(whole))
        if (ok & clock.ok & _is_likely(fields["year"])).all():
            epoch = show(whole[0] * _US[kind][0])
            message = f"Plain numbers such as {whole[0]} are read as {form}, not as {KIND_NAMES[kind]} ({epoch})."
            return Numbered(days, clock, ok, written, [Assumed("times_assumed", message, 0, is_guess=True)])
    if kind in _WRITTEN:
        _check_short_years(whole, kind)
    if kind in _US:
        times, divisor = _US[kind]
        us = whole * times // divisor + np.maximum(rest, 0) * times // _BILLION
        days, in_day = np.divmod(us, DAY_US)
        return Numbered(days, _clock(in_day, 0), np.ones(len(us), bool), kind, [])
    if kind == "serial":
        # Milliseconds are all that the digits of a serial day tell.
        in_day = np.round(np.maximum(rest, 0) * (DAY_US / _BILLION) / 1000).astype(np.int64) * 1000
        days = whole + _EPOCH_OF_SERIALS
        first = show(days[0] * DAY_US + in_day[0])
        message = f"Plain numbers such as {whole[0]} are read as a spreadsheet's serial days since 1900: {first}."
        assumed.append(Assumed("times_assumed", message, 0, is_guess=True))
        return Numbered(days, _clock(in_day, NO_OFFSET), np.ones(len(days), bool), kind, assumed)
    fields = _split(kind, whole)
    beyond = np.flatnonzero((fields["year"] < FIRST_YEAR) | (fields["year"] > LAST_YEAR))
    if len(beyond):
        raise BadTime(int(beyond[0]), _NO_SIZE)
    days, ok = read_days(fields) if kind != "year" else (first_day(12 * (whole - 1970)), np.ones(len(whole), bool))
    return Numbered(days, read_clock(fields, len(whole)), ok, kind, assumed)


def _check_short_years(whole: Numbers, kind: str) -> None:
    """Refuses epochs whose digits are dates with years of two digits as well, which epochs seldom happen to be."""
    form, written, n_digits = ("YYMMDDHHMM", "minute", 10) if kind == "s" else ("YYMMDDHHMMSS", "clock", 12)
    fields = _split(written, whole + 20 * 10**n_digits)
    is_written = (whole < 10**n_digits) & read_days(fields)[1] & read_clock(fields, len(whole)).ok
    if is_written.all():
        epoch = show(whole[0] * _US[kind][0])
        raise BadTime(0, f"that may be {form} or {KIND_NAMES[kind]} ({epoch})", code="ambiguous_timestamp")


def _split(kind: str, whole: Numbers) -> Fields:
    if kind == "year":
        return {"year": whole}
    if kind == "month":
        return {"year": whole // 100, "month": whole % 100}
    if kind == "ordinal":
        return {"year": whole // 1000, "ordinal": whole % 1000}
    if kind == "date":
        return {"year": whole // 10_000, "month": whole // 100 % 100, "day": whole % 100}
    if kind == "hour":
        return {**_split("date", whole // 100), "hour": whole % 100}
    if kind == "minute":
        return {**_split("hour", whole // 100), "minute": whole % 100}
    return {**_split("minute", whole // 100), "second": whole % 100}


def _is_likely(year: Numbers) -> Mask:
    return (year >= _LIKELY_YEARS[0]) & (year <= _LIKELY_YEARS[1])


def _clock(us: Numbers, offset: int) -> Clock:
    return Clock(us, np.full(len(us), offset), np.ones(len(us), bool), bool(us.any()) or offset != NO_OFFSET)
