"""Cells of text that become numbers: their place, their pattern, and the signs around their digits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.datasets.arrow_columns import quote
from service.datasets.cell_patterns import CURRENCY
from service.datasets.dataset import Finding
from service.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class CellPlace:
    """Where a cell is: for messages, and for what they point to."""

    column: str
    row: int

    def refuse(self, code: str, message: str) -> InvalidRequest:
        return InvalidRequest.at(f"/{self.column}/{self.row - 1}", code, message)


Locate = Callable[[int], CellPlace]


def strip_signs(text: Any, locate: Locate) -> tuple[Any, list[Finding]]:
    """Text without the signs around digits: other minus signs, brackets, percent and currency signs."""
    findings: list[Finding] = []
    written = text
    text = pc.replace_substring(text, "\u2212", "-")
    for name, pattern, repair in (
        ("brackets were read as a minus", r"^\(\s*(.*\d.*?)\s*\)$", r"-\1"),
        # As in 5,- euros and 5.- francs.
        (
            "a dash for no cents was left out",
            rf"^(.*\d[.,])\s?[-\x{{2013}}\x{{2014}}]{{1,2}}(\s*{CURRENCY})?$",
            r"\1\2",
        ),
        ("a minus at its end was read as one before it", r"^([^-]*\d[^-]*?)\s*-$", r"-\1"),
    ):
        rows = np.flatnonzero(match(text, pattern, null=False))
        if len(rows):
            place = locate(int(rows[0]))
            others = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
            message = (
                f"In row {place.row} of {quote(place.column)} stands {show(written, int(rows[0]))}{others}: {name}."
            )
            findings.append(Finding("digits_assumed", None, message))
            text = pc.replace_substring_regex(text, pattern, repair)
    text, in_percent = _strip(text, written, "%", locate)
    text, in_currency = _strip(text, written, CURRENCY, locate)
    return text, [*findings, *in_percent, *in_currency]


def _strip(text: Any, written: Any, sign: str, locate: Locate) -> tuple[Any, list[Finding]]:
    """Text without one kind of sign, "%" or `CURRENCY`. Raises InvalidRequest where the unit is not one."""
    has = match(text, sign, null=False)
    if not has.any():
        return text, []
    index = int(np.flatnonzero(has)[0])
    place, shown = locate(index), show(written, index)
    if sign == "%":
        bare = np.flatnonzero(~has & np.asarray(pc.is_valid(text)) & ~match(text, r"^[-+]?0$", null=False))
        if len(bare):
            raise place.refuse(
                "not_a_number",
                f"Row {place.row} holds {shown} in {quote(place.column)}, row {locate(int(bare[0])).row} "
                f"{show(written, int(bare[0]))}: some values are in percent and others not. Write all in one unit.",
            )
        what = "in percent, as it is written, without '%'"
    else:
        signed = pc.filter(text, pa.array(has))
        distinct = pc.unique(pc.struct_field(pc.extract_regex(signed, f"(?P<sign>{CURRENCY})"), "sign")).to_pylist()
        if len(distinct) > 1:
            raise place.refuse(
                "not_a_number",
                f"The column {quote(place.column)} holds several currencies ({', '.join(sorted(distinct))}; row "
                f"{place.row} holds {shown}): values of one series need one unit.",
            )
        what = "without the sign of its currency"
    message = f"In row {place.row} of {quote(place.column)} stands {shown}: it was read {what}."
    text = pc.replace_substring_regex(text, rf"^([-+]?)\s*{sign}\s*", r"\1")
    text = pc.replace_substring_regex(text, rf"\s*{sign}$", "")
    return text, [Finding("digits_assumed", None, message)]


def match(text: Any, pattern: str, *, null: bool = True) -> NDArray[np.bool_]:
    """Whether each cell is of a pattern; `null` is what a missing one counts as."""
    return np.asarray(pc.fill_null(pc.match_substring_regex(text, pattern), null).to_numpy(), np.bool_)


def show(column: Any, index: int) -> str:
    """A cell in a message."""
    return quote(column[index].as_py())
