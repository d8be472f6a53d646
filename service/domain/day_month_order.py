"""Whether the day comes first or the month, told from all dates of a column: one that can only be one way decides."""

import numpy as np

from service.domain.time_errors import Assumed, BadTime, show
from service.domain.time_fields import Mask, Numbers, date, expand_year
from service.domain.time_grids import DAY_US

# Where one reading of so many dates stretches over so many times the days of another, it is not meant.
_FEWEST, _STRETCH = 8, 10
_NAMES = {"day": "where the day comes first", "month": "where the month does", "year": "where the year does"}


def settle_order(left: Numbers, middle: Numbers, year: Numbers, is_dotted: Mask) -> tuple[Numbers, list[Assumed]]:
    """Days since 1970 of dates such as 31/01/2024.

    Dates with dots have the day first unless one can't: no country writes them the other way.

    Raises:
        BadTime: a day that is none, days and months in both orders, or nothing that decides.
    """
    readings = {"day": date(year, middle, left), "month": date(year, left, middle)}
    return _settle(readings, is_dotted)


def settle_short(left: Numbers, middle: Numbers, right: Numbers, is_dotted: Mask) -> tuple[Numbers, list[Assumed]]:
    """As `settle_order`, of dates such as 31/01/24, of which the year may come first as well."""
    years_last, years_first = expand_year(right), expand_year(left)
    readings = {
        "day": date(years_last, middle, left),
        "month": date(years_last, left, middle),
        "year": date(years_first, middle, right),
    }
    spans = {name: int(np.ptp(days)) for name, (days, ok) in readings.items() if ok.all()}
    others = [span for name, span in spans.items() if name != "year"]
    if "year" in spans and others and len(left) >= _FEWEST:
        if spans["year"] >= _STRETCH * max(1, *others):
            del readings["year"]
        elif _STRETCH * max(1, spans["year"]) <= min(others):
            readings = {"year": readings["year"]}
    days, assumed = _settle(readings, is_dotted)
    message = f"Years of two digits are read as those from 1969 to 2068: {{other}} is {show(days[0] * DAY_US)}."
    return days, [*assumed, Assumed("times_assumed", message, 0, is_guess=True)]


def _settle(readings: dict[str, tuple[Numbers, Mask]], is_dotted: Mask) -> tuple[Numbers, list[Assumed]]:
    possible = np.array([ok for _, ok in readings.values()])  # [readings, dates]
    nowhere = np.flatnonzero(~possible.any(axis=0))
    if len(nowhere):
        raise BadTime(int(nowhere[0]), "there is no such day")
    fits = [name for name, (_, ok) in readings.items() if ok.all()]
    if not fits:
        raise _contradiction(list(readings), possible)
    chosen, assumed = readings[fits[0]][0], []
    unlike = np.flatnonzero(np.any([readings[name][0] != chosen for name in fits], axis=0))
    if len(unlike):
        if not (is_dotted.all() and fits[0] == "day"):
            raise _ambiguity(int(unlike[0]), {name: readings[name][0] for name in fits})
        message = f"Dates with dots are read with the day first: {{other}} is {show(chosen[unlike[0]] * DAY_US)}."
        assumed.append(Assumed("times_assumed", message, int(unlike[0]), is_guess=True))
    elif np.any([ok & (days != chosen) for days, ok in readings.values()]):
        # Some could be read in another way as well, but not all.
        deciding = int(np.argmin(possible.sum(axis=0)))
        message = (
            f"Dates are read with the {fits[0]} first, as {{other}} shows: it is {show(chosen[deciding] * DAY_US)}."
        )
        assumed.append(Assumed("times_assumed", message, deciding))
    return chosen, assumed


def _contradiction(names: list[str], possible: Mask) -> BadTime:
    """The first date that can't be as the one before it that decided."""
    alone = np.flatnonzero(possible.sum(axis=0) == 1)
    first = int(alone[0])
    order = int(np.flatnonzero(possible[:, first])[0])
    other = int(np.flatnonzero(~possible[order])[0])
    there = int(np.flatnonzero(possible[:, other])[0])
    problem = f"the {names[there]} comes first there, but the {names[order]} in {{other}}"
    return BadTime(other, problem, first, "mixed_timestamps")


def _ambiguity(index: int, readings: dict[str, Numbers]) -> BadTime:
    shown = " or ".join(f"{show(days[index] * DAY_US)} {_NAMES[name]}" for name, days in readings.items())
    return BadTime(index, f"that is {shown}, and nothing decides which", code="ambiguous_timestamp")
