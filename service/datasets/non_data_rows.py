"""Rows that are not data, such as totals and notes of a spreadsheet."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.datasets.arrow_columns import is_text, quote
from service.datasets.column_roles import Roles
from service.datasets.dataset import Finding
from service.datasets.time_texts import lack_times
from service.domain.timestamps import is_written_time

# A column whose cells are mostly something else is none of times: whoever reads it says what is wrong.
_FEWEST = 0.5
_MOST_SHOWN = 5
_TOTAL = re.compile(
    r"\b(?:(?:grand|sub|over|gesamt|zwischen|teil)?(?:total|totals|totale|totaal|totaux|totalt|summe|sum|gesamt|insgesamt|"
    r"ergebnis|soma|suma|somme|somma))\b|^\W*(?:average|avg|mean|median|min|minimum|max|maximum|std|stdev|stddev|mittelwert|"
    r"durchschnitt|promedio|moyenne|media|count|anzahl)\W*$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class NonDataRows:
    """Rows that were left out, by their number in the file, and what they hold."""

    rows: dict[int, str] = field(default_factory=dict)
    blank: list[int] = field(default_factory=list)

    def add(self, row: int, cells: Sequence[str | None]) -> None:
        text = ",".join("" if cell is None else cell for cell in cells)
        if text.strip(", \t"):
            self.rows[row] = text
        else:
            self.blank.append(row)

    def tell(self, lines: dict[int, int]) -> tuple[Finding, ...]:
        """Findings; `lines` are those of the rows, where a file has lines."""
        findings = []
        if self.rows:
            shown = ", ".join(f"{_at(row, lines)}: {quote(text)}" for row, text in [*self.rows.items()][:_MOST_SHOWN])
            rest = f", and {len(self.rows) - _MOST_SHOWN} more" if len(self.rows) > _MOST_SHOWN else ""
            message = f"{_count(len(self.rows))} left out, since no time of a series stands there ({shown}{rest})."
            findings.append(Finding("leftover_rows", None, message))
        if self.blank:
            message = (
                f"{_count(len(self.blank))} left out, since all cells are blank (the first: "
                f"{_at(self.blank[0], lines)})."
            )
            findings.append(Finding("leftover_rows", None, message))
        return tuple(findings)

    @property
    def shown(self) -> list[int]:
        """The rows that `tell` names."""
        return [*[*self.rows][:_MOST_SHOWN], *self.blank[:1]]


def is_non_data(cells: Sequence[str | None], header: Sequence[str], time: int | None, id_: int | None) -> bool:
    """Whether a row can be left out: blank, the header again, a total or a note. `time` and `id_` are positions.

    A row with a time is data, whatever else it lacks; so is one in a file without times, unless it is blank.
    """
    texts = [(cell or "").strip() for cell in cells]
    if not any(texts) or [text.lower() for text in texts] == [name.strip().lower() for name in header]:
        return True
    if texts[0].startswith("#") and (time is None or not _is_time(texts, time)):
        return True
    if time is None or _is_time(texts, time):
        return False
    when = texts[time] if time < len(texts) else ""
    labels = [when, *(texts[i] for i in {0, id_} - {None} if i is not None and i < len(texts))]
    if any(_TOTAL.search(label) for label in labels):
        return True
    filled = [text for text in texts if text]
    # A note: words in the first cell or in the place of a time, and nothing else.
    return len(filled) == 1 and bool(re.search(r"[^\W\d_]{2}", filled[0])) and (texts[0] == filled[0] or when != "")


def drop_non_data(
    table: pa.Table, roles: Roles, rows: NDArray[np.int64], non_data_rows: NonDataRows
) -> NDArray[np.bool_] | None:
    """Which rows are data; None where all are. What isn't is added to `non_data_rows`, by its number in `rows`."""
    columns = list(dict.fromkeys(i for i in (roles.time, roles.id, *roles.targets) if i is not None))
    suspects = _find_suspects(table, roles, columns)
    drop = np.zeros(table.num_rows, np.bool_)
    names = table.column_names
    for index in suspects:
        cells = [_text_of(table.column(i)[int(index)]) for i in range(table.num_columns)]
        if is_non_data(cells, names, roles.time, roles.id):
            drop[index] = True
            non_data_rows.add(int(rows[index]), cells)
    return ~drop if drop.any() else None


def _find_suspects(table: pa.Table, roles: Roles, columns: list[int]) -> NDArray[np.intp]:
    """Rows that may be left out: without a time where others have one; without any cell where none has one."""
    if roles.time is not None:
        column = table.column(roles.time)
        lacking = lack_times(column) if is_text(column.type) else np.asarray(column.is_null().to_numpy(), np.bool_)
    else:
        lacking = np.ones(table.num_rows, np.bool_)
        for i in columns:
            lacking &= _are_blank(table.column(i))
        if len(columns) == 1:
            # In a file of values alone, nothing is a missing value.
            lacking[:] = False
    if roles.time is not None:
        blank = np.logical_and.reduce([_are_blank(table.column(i)) for i in columns])
        if (lacking & ~blank).sum() > _FEWEST * (~blank).sum():
            lacking = blank
    return np.flatnonzero(lacking)


def _are_blank(column: Any) -> NDArray[np.bool_]:
    if not is_text(column.type):
        return np.asarray(column.is_null().to_numpy(), np.bool_)
    return np.asarray(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True).to_numpy(), np.bool_)


def _is_time(texts: Sequence[str], time: int) -> bool:
    return time < len(texts) and is_written_time(texts[time])


def _text_of(value: Any) -> str | None:
    plain = value.as_py()
    return None if plain is None else str(plain)


def _at(row: int, lines: dict[int, int]) -> str:
    return f"row {row}, line {lines[row]}" if row in lines else f"row {row}"


def _count(n: int) -> str:
    return "1 row was" if n == 1 else f"{n} rows were"
