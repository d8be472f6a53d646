"""The layout of a CSV file: what precedes its header, its delimiter, its columns."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.datasets.arrow_columns import quote, shorten
from service.datasets.cell_patterns import is_number_like
from service.datasets.encoding import Text
from service.domain.timestamps import is_time_like
from service.errors import InvalidRequest

SAMPLE_BYTES = 2**20
LONGEST_NAME = 1000
STANDARD = ("unique_id", "ds", "y")
# Of two that fit alike, the first: commas also stand inside numbers.
DELIMITERS = "\t;|,"
# No text has it, so that a row is one cell.
UNUSED = "\x1f"
_MOST_ROWS = 200
# Lines of a title before a header.
_MOST_TITLES = 10
_NOTHING = re.compile(r'[\s,;|"]*')
_DECLARED = re.compile(r'"?sep=(.)"?[,;\t|]*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """`start` is the byte at which the rows begin, `first_line` that line's number, from 1.

    `names` are as they stand in the header, or "column 1" and so on where there is none; blank ones at its end are
    left away. `n_cells` is how many cells the rows have, `delimiter` None where a row is one cell. `skipped` are lines
    before the header that hold something.
    """

    start: int
    first_line: int
    names: tuple[str, ...]
    n_cells: int
    delimiter: str | None
    has_header: bool
    skipped: tuple[tuple[int, str], ...] = ()


def find_layout(text: Text, comma_in_numbers: bool = False) -> Layout:
    """Looks at the beginning of a file.

    Args:
        comma_in_numbers: whether the sender says that commas stand inside numbers.

    Raises:
        InvalidRequest: no header and no numbers, a header that never ends, line breaks that were lost.
    """
    with text.path.open("rb") as file:
        file.seek(text.start)
        sample = file.read(SAMPLE_BYTES)
        is_whole = not file.read(1)
    lines = sample.splitlines(keepends=True)
    if not is_whole:
        # The last line, and the last letter, may have been cut.
        lines = lines[:-1]
        if not lines:
            raise _refuse(
                f"The header, which is the first line, has more than {SAMPLE_BYTES} bytes: expected the names of the "
                "columns, then one line for each row. If line breaks were lost on the way, send the file with curl's "
                "--data-binary."
            )
    texts = [line.decode("utf-8") for line in lines]
    declared, skipped = None, []
    top = 0
    while top < len(texts):
        line = texts[top].strip()
        mark = _DECLARED.fullmatch(texts[top].strip("\r\n "))
        if mark and declared is None:
            declared = mark[1]
        elif line.startswith("#") and top + 1 < len(texts):
            skipped.append((top + 1, line))
        elif not _NOTHING.fullmatch(line):
            break
        elif line:
            skipped.append((top + 1, line))
        top += 1
    top += _count_titles(texts[top:], skipped, top)
    if top == len(texts):
        raise InvalidRequest.at("", "empty", "The file has neither a header nor rows: expected both.")
    delimiter = declared if declared is not None else _find_delimiter(texts[top : top + _MOST_ROWS], comma_in_numbers)
    header, n_lines = _first_record(texts[top:], delimiter)
    cells = [cell.strip() for cell in header]
    if is_whole and len(texts) == top + 1 and not lines[top].endswith((b"\n", b"\r")):
        _check_line_breaks(texts[top], cells)
    has_header = not _is_data(cells)
    body = top + n_lines if has_header else top
    names = (
        _strip_blank_end(cells) if has_header else [f"column {i}" for i in range(1, len(_strip_blank_end(cells)) + 1)]
    )
    _check_names(names, texts[top])
    rows = list(_records(texts[body : body + _MOST_ROWS], delimiter))
    if has_header and _counts_rows_without_a_name(names, rows):
        names = ["", *names]
    n_cells = _count_cells(names, len(cells), rows)
    return Layout(
        text.start + sum(map(len, lines[:body])),
        body + 1,
        tuple(names),
        n_cells,
        delimiter,
        has_header,
        tuple(skipped),
    )


def _count_titles(texts: list[str], skipped: list[tuple[int, str]], top: int) -> int:
    """How many lines precede the header as a title does, of one cell; those that hold something are `skipped`."""
    if any(_is_of_several_cells(texts[:_MOST_ROWS], delimiter) for delimiter in DELIMITERS):
        return 0
    for delimiter in DELIMITERS:
        seen: list[tuple[int, str]] = []
        for number, line in enumerate(texts[:_MOST_TITLES]):
            cells = [cell.strip() for cell in _first_record([line], delimiter)[0]]
            filled = [cell for cell in cells if cell]
            are_words = not any(is_number_like(cell) or is_time_like(cell) for cell in filled)
            if len(filled) > 1 and are_words and seen:
                skipped += seen
                return number
            if len(filled) > 1 or not are_words:
                break
            if filled:
                seen.append((top + number + 1, line.strip()))
    return 0


def _is_of_several_cells(texts: list[str], delimiter: str) -> bool:
    """Whether the first line has several cells, and most of those below as many."""
    rows = list(_records(texts, delimiter))
    counts = [len(row) for row in rows]
    return (
        bool(rows) and sum(bool(cell.strip()) for cell in rows[0]) > 1 and counts.count(counts[0]) > 0.8 * len(counts)
    )


def _counts_rows_without_a_name(names: list[str], rows: list[list[str]]) -> bool:
    """Whether each row has one cell more than the header, which counts, as R writes the names of rows."""
    if len(names) < 2 or not rows or any(len(row) != len(names) + 1 for row in rows):
        return False
    counts = [row[0].strip() for row in rows]
    has_times = any(is_time_like(cell) for cell in rows[0][1:])
    return has_times and any(counts == [f"{i}" for i in range(first, first + len(rows))] for first in (0, 1))


def _find_delimiter(texts: list[str], comma_in_numbers: bool) -> str | None:
    """The delimiter by which the header has several cells and most rows as many.

    Where there is none a comma, so that a row of two cells is found; None where it may stand inside numbers.
    """
    scores = []
    for delimiter in DELIMITERS:
        header, n_lines = _first_record(texts, delimiter)
        n = len(_strip_blank_end([cell.strip() for cell in header]))
        if n < 2 and len(header) < 2:
            continue
        if delimiter == "," and comma_in_numbers and all(map(is_number_like, header)):
            continue
        rows = list(_records(texts[n_lines:], delimiter))
        share = sum(n <= len(row) <= n + 1 or not any(row[n:]) for row in rows) / len(rows) if rows else 1.0
        is_known = any(cell.strip().lower() in STANDARD for cell in header)
        scores.append(((is_known, share), delimiter))
    if not scores:
        return None if comma_in_numbers else ","
    # `max` takes the first of equal ones.
    return max(scores, key=lambda entry: entry[0])[1]


def _count_cells(names: list[str], n_header: int, rows: list[list[str]]) -> int:
    """How many cells most rows have: blank ones beyond the header's names are what a delimiter at each end leaves."""
    n = len(names)
    longer = [row for row in rows if len(row) > n]
    if rows and len(longer) > len(rows) / 2 and all(not "".join(row[n:]).strip() for row in longer):
        counts = [len(row) for row in longer]
        return max(set(counts), key=counts.count)
    return n if rows else max(n, n_header)


def _is_data(cells: list[str]) -> bool:
    """Whether the first line is a row already: a number alone, or a time and a number."""
    known = [cell for cell in cells if cell]
    n_times = sum(is_time_like(cell) for cell in known)
    n_numbers = sum(is_number_like(cell) and not is_time_like(cell) for cell in known)
    n_words = len(known) - n_times - n_numbers
    if n_times > 1 or (n_numbers > 1 and n_words and all(re.fullmatch(r"(1[6-9]|2[01])\d\d", c) for c in known[1:])):
        raise InvalidRequest.at(
            "/columns",
            "unknown_column",
            f"The header holds several times ({quote(known[1])}, ..): the file seems to have its times side by side. "
            "Expected one row for each time: transpose the table.",
        )
    if not cells[0]:
        # Nameless is the index of a frame, whose columns may be numbers.
        return False
    if n_numbers == len(known) > 1:
        raise InvalidRequest.at(
            "/columns",
            "unknown_column",
            f"The first line holds numbers alone ({', '.join(map(shorten, known[:3]))}, ..): expected a header with "
            "the names of the columns. Add one, such as 'ds,y'.",
        )
    return n_numbers == len(known) == 1 or (n_times == 1 and n_numbers > 0)


def _check_line_breaks(line: str, cells: list[str]) -> None:
    """A file of one line: a header or a number, or what curl -d made of many lines."""
    glued = re.search(r"[A-Za-z]\d{2,}[-/.]\d|[A-Za-z][\d.]{6,}", line) if len(cells) < 3 else None
    n_values = sum(is_number_like(cell) or is_time_like(cell) or bool(re.search(r"\d\D*$", cell)) for cell in cells)
    if glued or (len(cells) > 3 and n_values > 1):
        raise _refuse(
            f"The file is one line ({quote(line)}): its line breaks were lost on the way, as with curl -d. Send it "
            "with --data-binary @FILE."
        )


def _check_names(names: list[str], line: str) -> None:
    longest = max(names, key=len, default="")
    if len(longest) > LONGEST_NAME:
        raise _refuse(
            f"The header has {len(line.encode())} bytes, and a column name of {len(longest)} characters "
            f"({quote(longest)}): expected at most {LONGEST_NAME}. Is a quote not closed, or a line break lost?"
        )


def _first_record(texts: list[str], delimiter: str | None) -> tuple[list[str], int]:
    """The cells of the first record, and how many lines it takes."""
    reader = csv.reader(iter(texts), delimiter=delimiter or UNUSED)
    try:
        return next(reader), reader.line_num
    except csv.Error as error:
        raise _refuse("The header can't be read: a cell of it is too long. Is a quote not closed?") from error


def _records(texts: list[str], delimiter: str | None) -> Iterator[list[str]]:
    reader = csv.reader(iter(texts), delimiter=delimiter or UNUSED)
    try:
        yield from (row for row in reader if row and any(map(str.strip, row)))
    except csv.Error:
        return


def _strip_blank_end(cells: list[str]) -> list[str]:
    while len(cells) > 1 and not cells[-1]:
        cells = cells[:-1]
    return cells


def _refuse(message: str) -> InvalidRequest:
    return InvalidRequest.at("", "unreadable_file", message)
