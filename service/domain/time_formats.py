"""The forms in which people write times, as patterns that Python's and Arrow's regular expressions read alike."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

# How the text of a field becomes a number: -1 where it is absent, else its digits; `micros` and `billionths` are
# fractions, `month` a month's name, and of the rest the place of the first letter among these.
FieldKind = Literal["digits", "micros", "billionths", "month", "text"]
FIELD_KINDS: dict[str, FieldKind] = {
    **dict.fromkeys(
        (
            *("year", "short_year", "month", "day", "week", "weekday", "ordinal", "quarter", "left", "middle", "right"),
            *("whole", "hour", "minute", "second", "zone_hour", "zone_minute", "zone_second"),
        ),
        "digits",
    ),
    "fraction": "micros",
    "rest": "billionths",
    "month_name": "month",
    "zone": "text",
}
LETTERS = {"half": "ap", "zulu": "zug", "sign": "+-\u2212"}

# What the fields of a shape still need: nothing, the order of day and month, or the meaning of a plain number.
Open = Literal["nothing", "order", "number"]


@dataclass(frozen=True)
class TimeFormat:
    """One form. `pattern` has named groups of `FIELD_KINDS` and `LETTERS`."""

    pattern: str
    open: Open
    is_dotted: bool = False

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """Compiled when it is first tried: all of them take longer than most processes live."""
        return re.compile(self.pattern, re.ASCII)

    @property
    def fields(self) -> tuple[str, ...]:
        """The named groups, in order."""
        return tuple(self.compiled.groupindex)


_ZONE_NAME = r"(?:\s*\[(?P<zone>[A-Za-z0-9_+\-/]{1,60})\])?"
_ZULU = r"\s*(?P<zulu>[Zz]|UTC|utc|GMT|gmt)"
_ZONE = (
    rf"(?:{_ZULU}|\s*(?:UTC|GMT)?(?P<sign>[-+\x{{2212}}])(?P<zone_hour>[0-9]{{2}})"
    r"(?::?(?P<zone_minute>[0-9]{2})(?::?(?P<zone_second>[0-9]{2}))?)?(?:\s*(?:UTC|GMT))?)?" + _ZONE_NAME
).replace(r"\x{2212}", "\u2212")
_FRACTION = r"(?:[.,](?P<fraction>[0-9]+))?"
_CLOCK = (
    r"(?:,?\s*[Tt]\s*|,?\s+)(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})"
    + _FRACTION
    + r")?)?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
    + _ZONE
)
_COMPACT_CLOCK = r"[Tt](?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?:(?P<second>[0-9]{2})" + _FRACTION + ")?" + _ZONE
# A date alone has an offset only where a colon tells it from a date's own hyphens.
_DATE_ZONE = rf"(?:{_ZULU}|\s*(?P<sign>[-+])(?P<zone_hour>[0-9]{{2}}):(?P<zone_minute>[0-9]{{2}}))?" + _ZONE_NAME

_YEAR, _MONTH, _DAY = r"(?P<year>[0-9]{4})", r"(?P<month>[0-9]{1,2})", r"(?P<day>[0-9]{1,2})"
_SHORT_YEAR = r"'?(?P<short_year>[0-9]{2})"
_NAME = (
    r"(?P<month_name>(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?))"
)
_WEEKDAY = r"(?i:(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?)"
_NAMED_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?"
_GAP = r"\.?,?[-/ ]\s*"

_ISO_DATES = [rf"{_YEAR}{sep}{_MONTH}{sep}{_DAY}" for sep in ("-", "/", r"\.")]
_COMPACT_DATES = [r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"]
_WEEKS = [r"(?P<year>[0-9]{4})-?[Ww](?P<week>[0-9]{2})-?(?P<weekday>[1-7])"]
_ORDINALS = [r"(?P<year>[0-9]{4})-(?P<ordinal>[0-9]{3})"]
_NAMED_DATES = [
    rf"{_WEEKDAY}{_NAMED_DAY}{_GAP}{_NAME}{_GAP}{_YEAR}",
    rf"{_WEEKDAY}{_NAME}{_GAP}{_NAMED_DAY}{_GAP}{_YEAR}",
    rf"{_YEAR}{_GAP}{_NAME}{_GAP}{_NAMED_DAY}",
    rf"{_NAMED_DAY}[-/ ]{_NAME}[-/ ]{_SHORT_YEAR}",
    rf"(?P<day>[0-9]{{1,2}}){_NAME}{_YEAR}",
]
_PARTS = [
    rf"{_WEEKDAY}(?P<left>[0-9]{{1,2}}){sep}(?P<middle>[0-9]{{1,2}}){sep}(?P<{last}>[0-9]{{{n}}})"
    for last, n in (("year", 4), ("right", 2))
    for sep in ("-", "/", r"\. ?")
]
_PERIODS = [
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})",
    r"(?P<year>[0-9]{4})/(?P<month>[0-9]{1,2})",
    r"(?P<month>[0-9]{1,2})[-/](?P<year>[0-9]{4})",
    r"(?P<year>[0-9]{4})[Mm](?P<month>[0-9]{1,2})",
    r"(?P<year>[0-9]{4})-?[Ww](?P<week>[0-9]{2})",
    r"(?P<year>[0-9]{4})[-/ .]?[Qq](?P<quarter>[1-4])",
    r"[Qq](?P<quarter>[1-4])[-/ .]?(?P<year>[0-9]{4})",
    r"(?P<quarter>[1-4])[Qq][-/ .]?(?P<year>[0-9]{4})",
    rf"{_NAME}(?:{_GAP})?{_YEAR}",
    rf"{_YEAR}(?:{_GAP})?{_NAME}",
    rf"{_NAME}(?:[-/]|\s?'){_SHORT_YEAR}",
]
# A zone's name takes up to 60 characters, and nobody writes more beside it.
_LONGEST = 150
# At most what 64 bits hold, without leading zeros.
NUMBER = r"(?P<whole>[1-8][0-9]{0,18}|9[0-9]{0,17})(?:[.,](?P<rest>[0-9]+))?"


def find_format(text: str) -> TimeFormat | None:
    """The form of a text without blanks around it."""
    if len(text) > _LONGEST:
        return None
    return next((shape for shape in SHAPES if shape.compiled.fullmatch(text)), None)


def _make() -> Iterator[TimeFormat]:
    whole_days = [*_ISO_DATES, *_COMPACT_DATES, *_WEEKS, *_ORDINALS]
    for tail in (_CLOCK, _DATE_ZONE, _COMPACT_CLOCK):
        for date in whole_days:
            # A compact date alone is a plain number, which may be something else.
            if date not in _COMPACT_DATES or tail != _DATE_ZONE:
                yield TimeFormat(date + tail, "nothing")
    # 2024.02 would be a number as well, of which a month has two digits.
    yield TimeFormat(r"(?P<year>[0-9]{4})\.(?P<month>[0-9]{2})", "nothing")
    yield TimeFormat(NUMBER, "number")
    yield TimeFormat(_COMPACT_DATES[0] + _ZULU, "nothing")
    for pattern in _PERIODS:
        yield TimeFormat(pattern, "nothing")
    for tail in (_DATE_ZONE, _CLOCK):
        for date in _PARTS:
            yield TimeFormat(date + tail, "order", is_dotted=r"\. ?" in date)
        for date in _NAMED_DATES:
            yield TimeFormat(date + tail, "nothing")


SHAPES = tuple(_make())
