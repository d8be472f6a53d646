"""Parses numbers from text: the whole column decides which sign is the decimal point and which groups digits."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.datasets.arrow_columns import quote
from service.datasets.dataset import Finding
from service.datasets.number_cells import Locate, match, show, strip_signs
from service.domain.missing_words import MISSING_WORDS

_STANDARD = r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$"
# A separator that may be either: one to three digits, no zero before, and exactly three after it.
_EITHER = {sign: rf"^[-+]?[1-9]\d{{0,2}}\{sign}\d{{3}}$" for sign in ".,"}
_INFINITE = r"(?i)^[-+]?inf(?:inity)?$"
# Spaces of all kinds, and apostrophes: never decimal points.
_SPACES = " \u00a0\u2009\u202f\u2007"
_CERTAIN_GROUPS = f"[{_SPACES}'\u2019_]"


@dataclass(frozen=True, slots=True)
class Signs:
    """The decimal point and what groups digits: one sign each, "" for none."""

    decimal: str
    thousands: str


def read_digits(
    column: Any,
    locate: Locate,
    *,
    delimiter: str | None,
    decimal: str | None,
    thousands: str | None,
    n_rows: int | None = None,
) -> tuple[NDArray[np.float64], list[Finding]]:
    """Text as numbers, NaN where it is missing.

    Args:
        column: a chunked array of text, all cells that are written in one way: of a wide file all columns.
        locate: the place of an index of `column`.
        delimiter: what parts the cells of the file, which hints at the decimal point; None where nothing does.
        decimal, thousands: what the sender says; None leaves it to the column.
        n_rows: of several columns one behind the other, how many rows each has.

    Raises:
        InvalidRequest: a cell isn't a number, or could be either of two.
    """
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    text = pc.if_else(pc.is_in(pc.utf8_lower(text), pa.array(MISSING_WORDS)), pa.scalar(None, pa.string()), text)
    findings: list[Finding] = []
    is_standard = match(text, _STANDARD)
    if decimal is None and thousands is None and is_standard.all() and not match(text, _EITHER["."], null=False).any():
        return _cast(text), findings
    text, sign_findings = strip_signs(text, locate)
    findings += sign_findings
    signs = _decide(text, locate, delimiter, decimal, thousands, findings, n_rows or len(text))
    return _parse(text, signs, column, locate), findings


def _decide(
    text: Any,
    locate: Locate,
    delimiter: str | None,
    decimal: str | None,
    thousands: str | None,
    findings: list[Finding],
    n_rows: int,
) -> Signs:
    """Which sign is what: as the sender says, else as some rows can only be read, else by digits and delimiter."""
    if decimal is not None:
        return Signs(decimal, thousands if thousands is not None else ("," if decimal == "." else "."))
    evidence = _Evidence(text)
    if thousands is not None:
        return Signs(
            "," if thousands == "." else "." if thousands == "," else evidence.decimal_or(delimiter), thousands
        )
    for sign in ".,":
        if sign in evidence.decimal and sign in evidence.groups:
            first, second = evidence.decimal[sign], evidence.groups[sign]
            raise locate(second).refuse(
                "not_a_number",
                f"In row {locate(first).row} the sign {sign!r} can only be the decimal point ({show(text, first)}), "
                f"in row {locate(second).row} it can only group digits ({show(text, second)}). Write all rows one "
                "way, without grouping.",
            )
    if len(evidence.decimal) == 2:
        first, second = evidence.decimal["."], evidence.decimal[","]
        raise locate(max(first, second)).refuse(
            "not_a_number",
            f"In row {locate(first).row} a point is the decimal point ({show(text, first)}), in row "
            f"{locate(second).row} a comma ({show(text, second)}). Write all rows one way.",
        )
    if evidence.decimal:
        [sign] = evidence.decimal
        return Signs(sign, "," if sign == "." else ".")
    if evidence.groups.keys() >= {".", ","}:
        first, second = evidence.groups["."], evidence.groups[","]
        raise locate(max(first, second)).refuse(
            "not_a_number",
            f"In row {locate(first).row} points group digits ({show(text, first)}), in row {locate(second).row} "
            f"commas ({show(text, second)}). Write all rows one way, without grouping.",
        )
    if evidence.groups:
        [sign] = evidence.groups
        return Signs("," if sign == "." else ".", sign)
    if len(evidence.either) == 2:
        first, second = evidence.either["."], evidence.either[","]
        raise locate(max(first, second)).refuse(
            "not_a_number",
            f"Row {locate(first).row} holds {show(text, first)} and row {locate(second).row} {show(text, second)}: "
            "one of both signs is the decimal point, and the file does not say which. Say decimal '.' or decimal ','.",
        )
    if evidence.either:
        [(sign, index)] = evidence.either.items()
        if match(text, rf"{_CERTAIN_GROUPS}\d{{3}}", null=False).any():
            # Digits are grouped by another sign.
            return Signs(sign, "," if sign == "." else ".")
        return _weigh(text, sign, index, locate, delimiter, findings, n_rows)
    return Signs(".", ",")


def _weigh(
    text: Any,
    sign: str,
    index: int,
    locate: Locate,
    delimiter: str | None,
    findings: list[Finding],
    n_rows: int,
) -> Signs:
    """No row decides what `sign` is, and three digits follow it everywhere."""
    other = "," if sign == "." else "."
    as_point, as_group = Signs(sign, other), Signs(other, sign)
    # Not -999 and the like, which stand for a missing value in files of any form.
    is_plain = match(text, r"^[-+]?[1-9]\d*$", null=False) & ~match(text, r"^-9+$", null=False)
    # Of other columns whole numbers say nothing: prices and pieces stand side by side.
    has_either = match(text, _EITHER[sign], null=False).reshape(-1, n_rows).any(axis=1)
    is_beside = is_plain & np.repeat(has_either, n_rows)
    plain = pc.filter(text, pa.array(is_plain))
    lengths = pc.utf8_length(pc.utf8_ltrim(plain, "+-")).to_numpy() if len(plain) else np.zeros(0, np.int64)
    has_short_group = match(text, rf"^[-+]?[1-9]\{sign}\d{{3}}$", null=False).any()
    if (lengths >= 5).any() or ((lengths == 4).any() and has_short_group):
        # Whoever groups the digits of one number groups those of a longer one.
        return as_point
    usual = {",": ".", ";": ","}.get(delimiter or "")
    is_point = _is_point(sign, usual, lengths[is_beside[is_plain]])
    place, shown = locate(index), show(text, index)
    grouped, pointed = text[index].as_py().replace(sign, ""), text[index].as_py().replace(sign, ".")
    if is_point is None:
        raise place.refuse(
            "not_a_number",
            f"Row {place.row} holds {shown} in {quote(place.column)}: is it {grouped} or {pointed}? No row of the "
            f"column decides whether {sign!r} groups digits or is the decimal point. Say decimal {sign!r} or "
            f"thousands {sign!r}, or write the numbers without grouping.",
        )
    taken, left, remedy = (pointed, grouped, "thousands") if is_point else (grouped, pointed, "decimal")
    message = (
        f"Row {place.row} holds {shown} in {quote(place.column)}, and three digits follow {sign!r} in all rows: it "
        f"was read as {taken}, and could be {left}. Say {remedy} {sign!r} if that is meant."
    )
    findings.append(Finding("digits_assumed", None, message))
    return as_point if is_point else as_group


def _is_point(sign: str, usual: str | None, lengths: NDArray[np.int64]) -> bool | None:
    """Whether a sign is more likely the decimal point; None where that is open.

    Args:
        usual: the decimal point that goes with the file's delimiter; None where either does.
        lengths: how many digits whole numbers beside it have, none of them more than four.
    """
    if (lengths == 4).any():
        # Ungrouped; but some, as in Spanish, group no four digits.
        return True if usual == sign or (usual is None and sign == ".") else None
    if len(lengths):
        # Decimals to three places seldom stand beside whole numbers: those of less than a thousand have no groups.
        return False if usual is not None and usual != sign else None
    if usual is None:
        return True if sign == "." else None
    if usual == sign:
        return True
    # Points beside semicolons come from programs as often as from people.
    return False if sign == "," else None


class _Evidence:
    """For each of point and comma, the index of a row in which it can only be the decimal point, can only group
    digits, or can be either."""

    def __init__(self, text: Any) -> None:
        self.decimal: dict[str, int] = {}
        self.groups: dict[str, int] = {}
        self.either: dict[str, int] = {}
        certain = _CERTAIN_GROUPS
        for sign, other in ((".", ","), (",", ".")):
            s, o = re.escape(sign), re.escape(other)
            only_decimal = (
                rf"^[-+]?(?:\d*{s}\d{{0,2}}|\d*{s}\d{{4,}}|0*{s}\d{{3}}|0\d+{s}\d{{3}}|\d{{4,}}{s}\d{{3}}|"
                rf"\d*{s}\d*[eE][-+]?\d+|\d{{1,3}}(?:{certain}\d{{3}})+{s}\d*|"
                rf"\d{{1,3}}(?:{o}\d{{2,3}})*{o}\d{{3}}{s}\d*)$"
            )
            only_group = (
                rf"^[-+]?(?:\d{{1,3}}(?:{s}\d{{3}}){{2,}}|\d{{1,2}}(?:{s}\d{{2}})+{s}\d{{3}}|"
                rf"\d{{1,3}}(?:{s}\d{{2,3}})*{s}\d{{3}}{o}\d*)$"
            )
            for first_rows, pattern in (
                (self.decimal, only_decimal), (self.groups, only_group), (self.either, _EITHER[sign]),
            ):  # fmt: skip
                rows = np.flatnonzero(match(text, pattern, null=False))
                if len(rows):
                    first_rows[sign] = int(rows[0])

    def decimal_or(self, delimiter: str | None) -> str:
        return next(iter(self.decimal), "," if delimiter == ";" else ".")


def _parse(text: Any, signs: Signs, column: Any, locate: Locate) -> NDArray[np.float64]:
    """The numbers of one way of writing. Raises InvalidRequest for the first cell that is written otherwise."""
    d = re.escape(signs.decimal)
    groups = rf"{_CERTAIN_GROUPS}|{re.escape(signs.thousands)}" if signs.thousands else _CERTAIN_GROUPS
    whole = rf"(?:\d+|\d{{1,3}}(?:(?:{groups})\d{{3}})+|\d{{1,2}}(?:(?:{groups})\d{{2}})+(?:{groups})\d{{3}})"
    pattern = rf"^[-+]?(?:{whole}{d}?\d*|{d}\d+)(?:[eE][-+]?\d+)?$"
    is_number = match(text, pattern)
    if not is_number.all():
        index = int(np.flatnonzero(~is_number)[0])
        place = locate(index)
        if pc.match_substring_regex(text[index], _INFINITE).as_py():
            raise place.refuse(
                "out_of_range",
                f"Row {place.row} holds {show(column, index)} in {quote(place.column)}: expected a finite number, or "
                "nothing where it is missing.",
            )
        raise place.refuse(
            "not_a_number",
            f"Row {place.row} holds {show(column, index)} in {quote(place.column)}: expected a number, or nothing "
            f"where it is missing.{_hint(text[index].as_py(), signs)}",
        )
    if signs.decimal == ",":
        text = pc.replace_substring(text, ".", "")
        text = pc.replace_substring_regex(text, _CERTAIN_GROUPS, "")
        return _cast(pc.replace_substring(text, ",", "."))
    return _cast(pc.replace_substring_regex(text, rf"{_CERTAIN_GROUPS}|,", ""))


def _hint(text: str, signs: Signs) -> str:
    if "\n" in text or '"' in text:
        return " Is a quote not closed?"
    other = "," if signs.decimal == "." else "."
    if re.fullmatch(rf"[-+]?\d+\{other}\d+", text):
        return f" If {other!r} is the decimal point, say decimal {other!r}."
    return ""


def _cast(text: Any) -> NDArray[np.float64]:
    return np.array(text.cast(pa.float64()).to_numpy(), np.float64)
