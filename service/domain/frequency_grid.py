"""From the name of a frequency and the first stamp of a series to its grid, and back to the name."""

import numpy as np

from service.domain.frequency import EVEN_US, MONTHS, WEEKDAY_NAMES, WEEKDAYS, Frequency, parse
from service.domain.time_grids import (
    BUSINESS_DAYS,
    DAY_US,
    BusinessEdge,
    EvenGrid,
    Grid,
    MonthDay,
    MonthGrid,
    NthWeekday,
    OpenDayGrid,
    first_day,
    month_of,
    to_us,
    weekday,
)
from service.errors import InvalidRequest

_UNITS = (("D", DAY_US), *((unit, EVEN_US[unit]) for unit in ("h", "min", "s", "ms", "us")))
_ENDS = MonthDay(31)


def anchor(freq: str, first: np.datetime64) -> Grid:
    """The grid of a frequency whose place 0 is `first`.

    What a name leaves open, `first` settles: `W` on a Monday is `W-MON`, `MS` on the 14th comes on the 14th of each
    month (or on its last day where it is shorter), `QE` at the end of January is `QE-JAN`.

    Raises:
        InvalidRequest: an unknown frequency, or one that has no stamp at `first`; the message names one that has.
    """
    frequency = parse(freq)
    us = int(to_us(np.array([first]))[0])
    day, time_us = divmod(us, DAY_US)
    if frequency.is_even:
        if frequency.anchor not in (None, WEEKDAYS[_weekday(day)]):
            raise _mismatch(freq, first, _count(frequency) + f"W-{WEEKDAYS[_weekday(day)]}")
        return EvenGrid(us, frequency.count * EVEN_US[frequency.unit])
    open_days = frequency.open_days
    if open_days is not None:
        if open_days[_weekday(day)] == "0":
            raise _mismatch(freq, first, "D")
        return OpenDayGrid(day, time_us, open_days, frequency.count)
    grid = _anchor_month(frequency, day, time_us)
    if grid is None:
        raise _mismatch(freq, first, name(_fitting(frequency, day, time_us)))
    return grid


def name(grid: Grid) -> str:
    """The pandas offset alias of a grid. A day of the month that has no alias is told as `MS`, `QS-FEB`, `YS-JUL`."""
    if isinstance(grid, EvenGrid):
        if grid.step_us % (7 * DAY_US) == 0:
            return f"{_number(grid.step_us // (7 * DAY_US))}W-{WEEKDAYS[_weekday(grid.origin_us // DAY_US)]}"
        unit, size = next((unit, size) for unit, size in _UNITS if grid.step_us % size == 0)
        return f"{_number(grid.step_us // size)}{unit}"
    if isinstance(grid, OpenDayGrid):
        return _number(grid.count) + ("B" if grid.open_days == BUSINESS_DAYS else f"C-{grid.open_days}")
    assert isinstance(grid, MonthGrid)
    rule = grid.rule
    if isinstance(rule, NthWeekday):
        day = WEEKDAYS[rule.weekday]
        return _number(grid.step) + (f"WOM-{rule.n}{day}" if rule.n else f"LWOM-{day}")
    is_end = rule.is_last if isinstance(rule, BusinessEdge) else rule == _ENDS
    prefix, edge = "B" if isinstance(rule, BusinessEdge) else "", "E" if is_end else "S"
    month = grid.origin_month % 12
    if grid.step % 12 == 0:
        return f"{_number(grid.step // 12)}{prefix}Y{edge}-{MONTHS[month]}"
    if grid.step % 3 == 0:
        # Quarters that begin in January also begin in April: the anchor is the first month, at ends the last one.
        return f"{_number(grid.step // 3)}{prefix}Q{edge}-{MONTHS[month % 3 + (9 if is_end else 0)]}"
    return f"{_number(grid.step)}{prefix}M{edge}"


def _anchor_month(frequency: Frequency, day: int, time_us: int) -> MonthGrid | None:
    """The grid of months, None where the day or its month contradicts the frequency."""
    month, edge, anchored = _month(day), frequency.edge, frequency.anchor
    is_at_end = _falls_on(_ENDS, day)
    rule: MonthDay | BusinessEdge | NthWeekday
    if edge == "weekday":
        assert anchored is not None
        n = int(anchored[0]) if frequency.unit == "WOM" else 0
        rule, anchored = NthWeekday(WEEKDAYS.index(anchored[-3:]), n), None
    elif edge in ("business_start", "business_end"):
        rule = BusinessEdge(edge == "business_end")
    elif edge == "end" or (edge == "any" and is_at_end):
        rule = _ENDS
    else:
        rule = MonthDay(_day_of_month(day))
        if edge == "any" and anchored is not None:
            # `Q-DEC` names the month in which a quarter ends: it begins two months before, a year eleven.
            anchored = MONTHS[(MONTHS.index(anchored) + 1) % 12]
    cycle = 12 if frequency.months % 12 == 0 else 3
    is_in_month = anchored is None or (month - MONTHS.index(anchored)) % cycle == 0
    return MonthGrid(month, time_us, rule, frequency.months) if is_in_month and _falls_on(rule, day) else None


def _fitting(frequency: Frequency, day: int, time_us: int) -> MonthGrid:
    """A grid of the same months on which the day lies."""
    rule: MonthDay | BusinessEdge | NthWeekday = MonthDay(_day_of_month(day))
    if frequency.edge == "weekday":
        n = (_day_of_month(day) + 6) // 7
        rule = NthWeekday(_weekday(day), n if n < 5 else 0)
    elif frequency.edge in ("business_start", "business_end"):
        edge = BusinessEdge(frequency.edge == "business_end")
        rule = edge if _falls_on(edge, day) else rule
    elif frequency.edge != "start" and _falls_on(_ENDS, day):
        rule = _ENDS
    return MonthGrid(_month(day), time_us, rule, frequency.months)


def _mismatch(freq: str, first: np.datetime64, fits: str) -> InvalidRequest:
    day = int(to_us(np.array([first]))[0]) // DAY_US
    return InvalidRequest.at(
        "/freq",
        "frequency_mismatch",
        f"The series begins at {_show(first)}, a {WEEKDAY_NAMES[_weekday(day)]}, which is no stamp of frequency "
        f"{freq!r}. Did you mean {fits!r}? Send a frequency that the series' own stamps have, or the start that goes "
        "with it.",
    )


def _show(stamp: np.datetime64) -> str:
    return str(stamp.astype("datetime64[s]")).removesuffix("T00:00:00")


def _falls_on(rule: MonthDay | BusinessEdge | NthWeekday, day: int) -> bool:
    return int(rule.days(np.array([_month(day)]))[0]) == day


def _month(day: int) -> int:
    return int(month_of(np.array([day]))[0])


def _day_of_month(day: int) -> int:
    return day - int(first_day(np.array([_month(day)]))[0]) + 1


def _weekday(day: int) -> int:
    return int(weekday(np.array([day]))[0])


def _count(frequency: Frequency) -> str:
    return _number(frequency.count)


def _number(count: int) -> str:
    return str(count) if count > 1 else ""
