"""The names of frequencies: pandas offset aliases, each with a count and an anchor."""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from service.errors import InvalidRequest

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Edge = Literal["start", "end", "any", "business_start", "business_end", "weekday"]

EVEN_US = {
    "us": 1, "U": 1, "ms": 1000, "L": 1000, "s": 10**6, "S": 10**6, "min": 60 * 10**6, "T": 60 * 10**6,
    "h": 3600 * 10**6, "H": 3600 * 10**6, "D": 86_400 * 10**6, "W": 7 * 86_400 * 10**6,
}  # fmt: skip
# Months of a step, and where in its month a stamp stands. `any` is an alias that pandas gave up: there it was the end,
# and people write it for whatever comes once a month.
MONTHLY: dict[str, tuple[int, Edge]] = {
    "MS": (1, "start"), "ME": (1, "end"), "M": (1, "any"),
    "QS": (3, "start"), "QE": (3, "end"), "Q": (3, "any"),
    "YS": (12, "start"), "AS": (12, "start"), "YE": (12, "end"), "Y": (12, "any"), "A": (12, "any"),
    "BMS": (1, "business_start"), "BME": (1, "business_end"), "BM": (1, "business_end"),
    "BQS": (3, "business_start"), "BQE": (3, "business_end"), "BQ": (3, "business_end"),
    "BYS": (12, "business_start"), "BAS": (12, "business_start"),
    "BYE": (12, "business_end"), "BY": (12, "business_end"), "BA": (12, "business_end"),
    "WOM": (1, "weekday"), "LWOM": (1, "weekday"),
}  # fmt: skip
ALIASES = (*EVEN_US, "B", "C", *MONTHLY)

# What people call frequencies, and the alias that they may mean.
WORDS = {
    "second": "s", "seconds": "s", "secondly": "s", "sec": "s", "minute": "min", "minutes": "min", "minutely": "min",
    "hour": "h", "hours": "h", "hourly": "h", "hr": "h", "day": "D", "days": "D", "daily": "D", "business": "B",
    "week": "W", "weeks": "W", "weekly": "W", "month": "MS", "months": "MS", "monthly": "MS", "mo": "MS",
    "quarter": "QS", "quarters": "QS", "quarterly": "QS", "year": "YS", "years": "YS", "yearly": "YS", "annual": "YS",
    "annually": "YS", "d": "D", "w": "W", "y": "YS",
}  # fmt: skip

_NAME = re.compile(r"(?P<count>[1-9][0-9]{0,5})?(?P<unit>[A-Za-z]{1,4})(?:-(?P<anchor>[0-9A-Z]{3,7}))?")
_OPEN_DAYS = re.compile(r"(?!0{7})[01]{7}")
_NTH_WEEKDAY = re.compile(rf"[1-4](?:{'|'.join(WEEKDAYS)})")
# Aliases without an anchor that have none, and those that can't be without one.
_MUST_HAVE_ANCHOR = ("C", "WOM", "LWOM")


@dataclass(frozen=True, slots=True)
class Frequency:
    """`count` times `unit`; `anchor` is a weekday, a month, the open days of a week, or None."""

    count: int
    unit: str
    anchor: str | None

    @property
    def is_even(self) -> bool:
        """Whether its steps are of one length."""
        return self.unit in EVEN_US

    @property
    def is_shorter_than_a_day(self) -> bool:
        return EVEN_US.get(self.unit, EVEN_US["D"]) < EVEN_US["D"]

    @property
    def open_days(self) -> str | None:
        """Of business days, seven digits from Monday on: 1 where a day is open."""
        return "1111100" if self.unit == "B" else self.anchor if self.unit == "C" else None

    @property
    def months(self) -> int:
        """Months of a step, 0 where it is none of whole months."""
        return self.count * MONTHLY[self.unit][0] if self.unit in MONTHLY else 0

    @property
    def edge(self) -> Edge | None:
        return MONTHLY[self.unit][1] if self.unit in MONTHLY else None


def parse(name: str) -> Frequency:
    """Reads a pandas offset alias, such as `D`, `15min`, `2W-MON`, `MS`, `QE-DEC`, `WOM-3FRI`.

    Raises:
        InvalidRequest: it is none that is known here.
    """
    match = _NAME.fullmatch(name)
    if match is not None:
        unit, anchor = match["unit"], match["anchor"]
        if unit in ALIASES and _fits_unit(unit, anchor):
            return Frequency(int(match["count"] or 1), unit, anchor)
    word = name.strip().lstrip("-0123456789 ").lower()
    near = [WORDS[word]] if word in WORDS else [alias for alias in ALIASES if alias.lower() == word.partition("-")[0]]
    near = near or difflib.get_close_matches(name.lstrip("0123456789"), ALIASES, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(repr(alias) for alias in near)}? " if near else ""
    raise InvalidRequest.at(
        "/freq",
        "unknown_frequency",
        f"{name[:100]!r} is no frequency known here. {hint}Use a pandas offset alias: {', '.join(ALIASES)}, with a "
        "count before it (15min) or an anchor behind it (W-MON, QE-MAR, YS-APR, WOM-3FRI, LWOM-FRI; C-1111110 for a "
        "week of your own open days, Monday first).",
    )


def check_frequency(name: str) -> None:
    """Raises InvalidRequest where a text is no pandas offset alias known here."""
    parse(name)


def check_same(asked: str, own: str) -> None:
    """Raises InvalidRequest where a request names another frequency than a data set's own."""
    if not same(asked, own):
        raise InvalidRequest.at(
            "/freq",
            "frequency_mismatch",
            f"The data set is of frequency {own!r}, got {asked!r}. Leave `freq` out, or send {own!r}.",
        )


def same(name: str, other: str) -> bool:
    """Whether two frequencies are one, spelled differently: `W` and `W-MON`, `M` and `ME`, `60min` and `h`."""
    if name == other:
        return True
    a, b = parse(name), parse(other)
    if a.is_even and b.is_even:
        return a.count * EVEN_US[a.unit] == b.count * EVEN_US[b.unit] and _agree(a.anchor, b.anchor)
    if a.open_days is not None and b.open_days is not None:
        return (a.count, a.open_days) == (b.count, b.open_days)
    return (
        a.months == b.months > 0
        and (a.edge == b.edge or {a.edge, b.edge} in ({"any", "start"}, {"any", "end"}))
        and (a.edge != "weekday" or a.unit == b.unit)
        and _agree(_phase(a), _phase(b))
    )


def family(name: str) -> str:
    """A frequency without the weekday or month that its stamps are anchored on: `W` of `W-MON`."""
    frequency = parse(name)
    if frequency.unit in _MUST_HAVE_ANCHOR:
        return name
    return name.partition("-")[0]


def _phase(frequency: Frequency) -> str | None:
    """Its anchor; of quarters, which begin in January as well as in April, the first month that they begin in."""
    anchor = frequency.anchor
    return MONTHS[MONTHS.index(anchor) % 3] if anchor in MONTHS and frequency.months == 3 else anchor


def _agree(anchor: str | None, other: str | None) -> bool:
    return anchor is None or other is None or anchor == other


def _fits_unit(unit: str, anchor: str | None) -> bool:
    if anchor is None:
        return unit not in _MUST_HAVE_ANCHOR
    if unit in ("W", "LWOM"):
        return anchor in WEEKDAYS
    if unit == "C":
        return _OPEN_DAYS.fullmatch(anchor) is not None
    if unit == "WOM":
        return _NTH_WEEKDAY.fullmatch(anchor) is not None
    return unit in MONTHLY and MONTHLY[unit][0] > 1 and anchor in MONTHS
