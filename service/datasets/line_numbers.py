"""Adds line numbers to messages about rows of a CSV file, since people look for lines."""

import csv
import re
from collections.abc import Iterable
from dataclasses import replace

from service.datasets.csv_layout import UNUSED, Layout
from service.datasets.encoding import Text
from service.errors import InvalidRequest

_ROW = re.compile(r"[Rr]ow (\d+)")


def find_lines(text: Text, layout: Layout, rows: Iterable[int]) -> dict[int, int]:
    """The line at which each of some rows begins; rows count from 1, and blank lines are none unless rows are one cell.

    Reads the file up to the last of the rows, which takes a while: only for messages.
    """
    wanted = set(rows)
    lines_by_row: dict[int, int] = {}
    last = max(wanted, default=0)
    with text.path.open("rb") as raw:
        raw.seek(layout.start)
        lines = (part for line in raw for part in line.decode("utf-8", "replace").splitlines(keepends=True))
        reader = csv.reader(lines, delimiter=layout.delimiter or UNUSED)
        row, line = 0, layout.first_line
        try:
            for cells in reader:
                if cells or layout.n_cells == 1:
                    row += 1
                    if row in wanted:
                        lines_by_row[row] = line
                if row >= last:
                    break
                line = layout.first_line + reader.line_num
        except csv.Error:
            pass
    return lines_by_row


def name_lines(error: InvalidRequest, text: Text, layout: Layout) -> InvalidRequest:
    """The error with the lines of the rows that its messages name."""
    rows = {int(row) for flaw in error.flaws for row in _ROW.findall(flaw.message)}
    if not rows:
        return error
    lines = find_lines(text, layout, rows)
    return InvalidRequest([replace(flaw, message=_add(flaw.message, lines)) for flaw in error.flaws])


def _add(message: str, lines: dict[int, int]) -> str:
    named = list(dict.fromkeys(int(row) for row in _ROW.findall(message) if int(row) in lines))
    if not named:
        return message
    if len(named) == 1:
        return f"{message} It is line {lines[named[0]]} of the file."
    return f"{message} They are lines {', '.join(str(lines[row]) for row in named)} of the file."
