"""The one reader of times: of uploads, of `start`, of the command line. NumPy and the standard library only.

ISO 8601 and RFC 9557, quarters, dates with slashes, dots and names of months, and plain numbers. A month, a quarter, a
week or a year is its first day. What can be read in two ways is settled by all texts of a column together, or refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.day_month_order import settle_order, settle_short
from service.domain.numeric_times import FIRST_YEAR, KIND_NAMES, LAST_YEAR, read_numbers
from service.domain.time_errors import Assumed, BadTime, show
from service.domain.time_fields import NO_OFFSET, Fields, join, read_clock, read_days
from service.domain.time_formats import FIELD_KINDS, LETTERS, MONTH_NAMES, TimeFormat, find_format
from service.domain.time_grids import DAY_US

EXPECTED = "expected ISO 8601, such as 2024-01-31 or 2024-01-31T06:00:00+01:00"


class Texts(Protocol):
    """Texts without blanks around them, of which some have been taken."""

    def first(self) -> tuple[int, str] | None:
        """The first one that was not taken, and its index."""

    def take(self, shape: TimeFormat) -> tuple[NDArray[np.intp], Fields]:
        """Takes all of a shape: their indices, and their fields as `service.domain.time_formats` describes them."""

    def __len__(self) -> int: ...


@dataclass(eq=False)
class Reading:
    """What texts say: `wall` [texts] in microseconds since 1970, `offset` [texts] in seconds ahead of UTC or NO_OFFSET.

    `zone` [texts] is the zone's name or ""; `is_date` [texts] that no time of day was written.
    """

    wall: NDArray[np.int64]
    offset: NDArray[np.int64]
    zone: NDArray[Any]
    is_date: NDArray[np.bool_]
    is_zulu: NDArray[np.bool_]
    assumed: list[Assumed] = field(default_factory=list)


def read_texts(texts: Texts) -> Reading:
    """Reads all texts.

    Raises:
        BadTime: one that is no time, or that can be read in two ways.
    """
    n = len(texts)
    reading = Reading(
        np.zeros(n, np.int64), np.full(n, NO_OFFSET), np.full(n, "", object), np.zeros(n, bool), np.zeros(n, bool)
    )
    still_open: dict[str, list[tuple[NDArray[np.intp], Fields, TimeFormat]]] = {"order": [], "number": []}
    n_certain = 0
    while (untaken := texts.first()) is not None:
        index, text = untaken
        shape = find_format(text)
        taken, fields = texts.take(shape) if shape is not None else (np.zeros(0, np.intp), {})
        if shape is None or index not in taken:
            raise BadTime(index, EXPECTED)
        if shape.open == "nothing":
            n_certain += len(taken)
            _check_short_names(taken, fields, reading)
            _check_years_in_pairs(taken, fields)
            _keep(reading, taken, fields, *read_days(fields))
        else:
            still_open[shape.open].append((taken, fields, shape))
    _settle_orders(reading, still_open["order"])
    for taken, fields, _ in still_open["number"]:
        _settle_numbers(reading, taken, fields, len(taken) == n)
    return reading


def is_written_time(text: str) -> bool:
    """Whether a text is of a form that times have, plain numbers among them; there may be no such day."""
    return find_format(clean(text)) is not None


def is_time_like(text: str) -> bool:
    """Whether a text is written as a time of the years 1500 to 2199; a plain number, which may be anything, is none."""
    plain = clean(text)
    shape = find_format(plain)
    if shape is None or shape.open == "number" or plain.replace(".", "", 1).isdecimal():
        return False
    try:
        reading = read_texts(ListTexts([plain]))
    except BadTime as error:
        # Of one that could be read in two ways, a person should hear as of a time.
        return error.code != "bad_timestamp"
    year = int(reading.wall[:1].astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64)[0]) + 1970
    return FIRST_YEAR <= year <= LAST_YEAR


def clean(text: str) -> str:
    """A text without blanks around it, and with common ones within."""
    return text.replace("\u00a0", " ").replace("\u202f", " ").strip()


class ListTexts:
    """Texts in a list."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [clean(text) for text in texts]
        self._left = list(range(len(texts)))

    def __len__(self) -> int:
        return len(self._texts)

    def first(self) -> tuple[int, str] | None:
        return (self._left[0], self._texts[self._left[0]]) if self._left else None

    def take(self, shape: TimeFormat) -> tuple[NDArray[np.intp], Fields]:
        matches = [(index, shape.compiled.fullmatch(self._texts[index])) for index in self._left]
        taken = [(index, match) for index, match in matches if match is not None]
        self._left = [index for index, match in matches if match is None]
        fields = {name: _convert(name, [match[name] or "" for _, match in taken]) for name in shape.fields}
        return np.array([index for index, _ in taken], np.intp), fields


def _convert(name: str, texts: list[str]) -> NDArray[Any]:
    kind = FIELD_KINDS.get(name)
    if kind == "text":
        return np.array(texts, object)
    if kind == "digits":
        numbers = [int(text) if text else -1 for text in texts]
    elif kind == "month":
        numbers = [MONTH_NAMES.index(text[:3].lower()) + 1 for text in texts]
    elif kind is None:
        numbers = [LETTERS[name].index(text[0].lower()) if text else -1 for text in texts]
    else:
        width = 6 if kind == "micros" else 9
        numbers = [int(text[:width].ljust(width, "0")) if text else -1 for text in texts]
    return np.array(numbers, np.int64)


def _keep(reading: Reading, taken: NDArray[np.intp], fields: Fields, days: Any, ok: Any) -> None:
    clock = read_clock(fields, len(taken))
    reading.wall[taken], ok = join(days, clock, ok)
    reading.offset[taken] = clock.offset
    reading.is_date[taken] = not clock.has_hour
    reading.is_zulu[taken] = fields["zulu"] >= 0 if "zulu" in fields else False
    if "zone" in fields:
        reading.zone[taken] = fields["zone"]
    _check(taken, ok)


def _check(taken: NDArray[np.intp], ok: NDArray[np.bool_]) -> None:
    if not ok.all():
        raise BadTime(int(taken[np.flatnonzero(~ok)[0]]), "there is no such day or time in the years 1 to 9999")


def _check_short_names(taken: NDArray[np.intp], fields: Fields, reading: Reading) -> None:
    """Years of two digits behind a month's name, which may be days."""
    if "short_year" not in fields:
        return
    first, year = int(taken[0]), fields["short_year"]
    if "day" not in fields and len(taken) > 1 and len(np.unique(fields["month_name"])) == 1 and (year <= 31).all():
        raise BadTime(first, "its number may be a year or a day, and nothing decides which", code="ambiguous_timestamp")
    days, _ = read_days({name: values[:1] for name, values in fields.items()})
    message = f"Years of two digits are read as those from 1969 to 2068: {{other}} is {show(days[0] * DAY_US)}."
    reading.assumed.append(Assumed("times_assumed", message, first))


def _check_years_in_pairs(taken: NDArray[np.intp], fields: Fields) -> None:
    """2001-02 and 2002-03, which are seasons of two years rather than months."""
    if "month" not in fields or "day" in fields or len(taken) < 2:
        return
    if ((fields["year"] + 1) % 100 == fields["month"]).all():
        problem = "that may be a month or a season of two years, as of all others, and nothing decides which"
        raise BadTime(int(taken[0]), problem, code="ambiguous_timestamp")


def _settle_orders(reading: Reading, parts: list[tuple[NDArray[np.intp], Fields, TimeFormat]]) -> None:
    for last, settle in (("year", settle_order), ("right", settle_short)):
        mine = [part for part in parts if last in part[1]]
        if not mine:
            continue
        taken = np.concatenate([places for places, _, _ in mine])
        by_place = np.argsort(taken, kind="stable")
        left, middle, right = (
            np.concatenate([fields[name] for _, fields, _ in mine])[by_place] for name in ("left", "middle", last)
        )
        is_dotted = np.concatenate([np.full(len(places), shape.is_dotted) for places, _, shape in mine])[by_place]
        try:
            days, assumed = settle(left, middle, right, is_dotted)
        except BadTime as error:
            other = None if error.other is None else int(taken[by_place][error.other])
            raise BadTime(int(taken[by_place][error.index]), error.problem, other, error.code) from None
        reading.assumed += [
            Assumed(assumption.code, assumption.message, int(taken[by_place][assumption.index]), assumption.is_guess)
            for assumption in assumed
        ]
        back = np.argsort(by_place)
        begin = 0
        for places, fields, _ in mine:
            own = days[back[begin : begin + len(places)]]
            begin += len(places)
            _keep(reading, places, fields, own, np.ones(len(places), bool))


def _settle_numbers(reading: Reading, taken: NDArray[np.intp], fields: Fields, is_alone: bool) -> None:
    try:
        numbered = read_numbers(fields["whole"], fields["rest"])
    except BadTime as error:
        other = None if error.other is None else int(taken[error.other])
        raise BadTime(int(taken[error.index]), f"{error.problem}; {EXPECTED}", other, error.code) from None
    if not is_alone and numbered.kind in ("serial", "hour", "minute"):
        # Half of a column that a spreadsheet has turned into dates: the other half may have lost day and month.
        problem = (
            f"it may be {KIND_NAMES[numbered.kind]}, but other times are written out: write all of them in one way"
        )
        raise BadTime(int(taken[0]), problem, None, "mixed_timestamps")
    reading.wall[taken], ok = join(numbered.days, numbered.clock, numbered.ok)
    reading.offset[taken] = numbered.clock.offset
    reading.is_zulu[taken] = numbered.clock.offset == 0
    reading.is_date[taken] = not numbered.clock.has_hour
    reading.assumed += [
        Assumed(assumption.code, assumption.message, int(taken[assumption.index]), assumption.is_guess)
        for assumption in numbered.assumed
    ]
    _check(taken, ok)
