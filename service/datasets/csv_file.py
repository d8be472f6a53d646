"""Reads CSV files with any delimiter, encoding and header into columns of text."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from service.datasets.arrow_columns import quote
from service.datasets.column_roles import assign, assign_by_name
from service.datasets.csv_layout import UNUSED, Layout, find_layout
from service.datasets.dataset import Finding
from service.datasets.encoding import Text, open_text
from service.datasets.file_options import FileOptions
from service.datasets.line_numbers import find_lines, name_lines
from service.datasets.non_data_rows import NonDataRows, is_non_data
from service.datasets.table import Columns, Table, build
from service.datasets.upload_limits import UploadLimits
from service.errors import InvalidRequest

BLOCK_BYTES = 4 * 2**20
EVENED = "evened.csv"
# Of rows with too many or too few cells; whoever has more has no table.
MOST_RAGGED = 1000
# Columns whose roles are not known yet are kept whole: so many cells for each point that may be.
CELLS_A_POINT = 4
FEWEST_PARTED = 3


def read_csv(path: Path, limits: UploadLimits, options: FileOptions | None = None) -> Table:
    """Reads a file; assumptions that neither its form nor `options` settle become findings of the table.

    Raises:
        InvalidRequest: another encoding, columns of which several readings are possible, rows that don't fit, or what
            `service.datasets.table.build` refuses.
    """
    with TemporaryDirectory(dir=path.parent) as scratch:
        return _read_all(path, Path(scratch), limits, options or FileOptions())


def _read_all(path: Path, scratch: Path, limits: UploadLimits, options: FileOptions) -> Table:
    text = open_text(path, scratch)
    layout = find_layout(text, "," in (options.decimal, options.thousands))
    ragged = _Ragged(layout)
    columns = _read(text, layout, limits, options, ragged)
    if ragged.has_blank_ends:
        # Some rows end with a delimiter more than others: once more, without them.
        text = _even_out(text, layout, scratch)
        layout = replace(layout, start=0, n_cells=len(layout.names))
        ragged = _Ragged(layout)
        columns = _read(text, layout, limits, options, ragged)
    try:
        columns = ragged.leave_out(columns, options)
        if layout.n_cells == 1:
            columns = _strip_end(columns)
        table = build(columns, limits, options, delimiter=layout.delimiter)
    except InvalidRequest as error:
        raise name_lines(error, text, layout) from error
    lines = find_lines(text, layout, table.non_data_rows.shown)
    findings = (*text.findings, *_tell(layout), *table.findings, *table.non_data_rows.tell(lines))
    if not layout.has_header:
        table = replace(table, id_column=None, time_column=None)
    return replace(table, findings=findings)


@dataclass(slots=True)
class _Ragged:
    """Rows with more or fewer cells than the header."""

    layout: Layout
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    has_blank_ends: bool = False

    def take(self, row: pa_csv.InvalidRow) -> str:
        """Called by the parser for each of them; `number` counts rows from 1, without blank lines."""
        try:
            cells = next(csv.reader([row.text], delimiter=self.layout.delimiter or UNUSED), [])
        except csv.Error:
            cells = [row.text]
        n = len(self.layout.names)
        if not "".join(cells).strip():
            self.blank.append(row.number)
        elif len(cells) >= n and not "".join(cells[n:]).strip():
            self.has_blank_ends = True
            return "error"
        else:
            self.rows.append((row.number, cells))
        return "skip" if len(self.rows) < MOST_RAGGED else "error"

    def leave_out(self, columns: Columns, options: FileOptions) -> Columns:
        """The columns, with the numbers that their rows have in the file.

        Raises:
            InvalidRequest: one of these rows is data.
        """
        left_out = sorted([*self.blank, *(row for row, _ in self.rows)])
        numbers = np.arange(1, columns.table.num_rows + len(left_out) + 1, dtype=np.int64)
        numbers = np.delete(numbers, np.array(left_out, np.int64) - 1)
        time = self._find_time(columns, options)
        non_data_rows = NonDataRows(blank=[*self.blank])
        for row, cells in self.rows:
            if len(cells) > len(self.layout.names) or not is_non_data(cells, self.layout.names, time, None):
                raise self.refuse(row, cells)
            non_data_rows.add(row, cells)
        return replace(columns, rows=numbers, non_data_rows=non_data_rows)

    def _find_time(self, columns: Columns, options: FileOptions) -> int | None:
        """The position of the column of times in a row of the file."""
        names = columns.table.column_names
        if not (self.rows and columns.table.num_rows):
            return None
        time = (assign_by_name(names, options) or assign(names, columns.table, options)).time
        return None if time is None else self.layout.names.index(names[time])

    def refuse(self, row: int, cells: list[str]) -> InvalidRequest:
        n, delimiter = len(self.layout.names), self.layout.delimiter or ","
        head = f"Row {row} has {_count(len(cells))} where the header has {n}: {quote(delimiter.join(cells))}."
        if len(cells) > n and delimiter == ",":
            why = "If a comma of it is a decimal comma or stands inside a text, put that cell in quotes"
            why += ", or say decimal ','." if n == 1 else ", or write decimal points."
        elif len(cells) > n:
            why = "If a delimiter stands inside a text, put that cell in quotes."
        else:
            why = "Add what is missing, or delete the line if it isn't a row of the table."
        return InvalidRequest.at("", "unreadable_file", f"{head} {why}")


def _read(text: Text, layout: Layout, limits: UploadLimits, options: FileOptions, ragged: _Ragged) -> Columns:
    names = [name if name.strip() else "" for name in layout.names]
    extra = [f"\x00{i}" for i in range(layout.n_cells - len(names))]
    roles = assign_by_name(names, options)
    wanted = (
        sorted({i for i in (roles.id, roles.time, *roles.targets) if i is not None}) if roles else range(len(names))
    )
    keys = [f"{i}" for i in range(len(names))] + extra
    batches: list[pa.RecordBatch] = []
    n_rows = 0
    try:
        for batch in _stream(text, layout, keys, [*(keys[i] for i in wanted), *extra], ragged):
            limits.check_points(n_rows + batch.num_rows)
            if roles is None:
                limits.check_points((n_rows + batch.num_rows) * len(names) // CELLS_A_POINT)
            _check_ends(batch, extra, n_rows, ragged)
            batches.append(batch.select([keys[i] for i in wanted]))
            n_rows += batch.num_rows
    except pa.ArrowInvalid as error:
        if len(ragged.rows) >= MOST_RAGGED:
            raise name_lines(ragged.refuse(*ragged.rows[0]), text, layout) from error
        if not (ragged.has_blank_ends or "Empty CSV" in str(error)):
            raise _unreadable(text, layout, n_rows) from error
    schema = pa.schema([(keys[i], pa.string()) for i in wanted])
    table = pa.Table.from_batches(batches, schema).rename_columns([names[i] for i in wanted])
    return Columns(table, findings=roles.findings if roles else ())


def _stream(
    text: Text, layout: Layout, keys: list[str], wanted: list[str], ragged: _Ragged
) -> Iterator[pa.RecordBatch]:
    with text.path.open("rb") as file:
        file.seek(layout.start)
        with pa_csv.open_csv(
            file,
            read_options=pa_csv.ReadOptions(column_names=keys, block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pa_csv.ParseOptions(
                delimiter=layout.delimiter or UNUSED,
                newlines_in_values=text.has_quotes,
                ignore_empty_lines=layout.n_cells > 1,
                invalid_row_handler=ragged.take,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()), include_columns=wanted, strings_can_be_null=False
            ),
        ) as reader:
            yield from reader


def _check_ends(batch: pa.RecordBatch, extra: list[str], n_rows: int, ragged: _Ragged) -> None:
    """Cells beyond the header's names have to be blank."""
    for key in extra:
        held = pc.not_equal(pc.utf8_trim_whitespace(batch.column(key)), "")
        if pc.any(held).as_py():
            index = int(np.flatnonzero(held.to_numpy(zero_copy_only=False))[0])
            n_skipped = len(ragged.rows) + len(ragged.blank)
            ragged.rows.append(
                (n_rows + index + 1 + n_skipped, [*([""] * len(ragged.layout.names)), str(batch.column(key)[index])])
            )
            raise ragged.refuse(*ragged.rows[-1])


def _even_out(text: Text, layout: Layout, scratch: Path) -> Text:
    """The rows in a file of their own, without blank cells beyond the header's."""
    n, evened = len(layout.names), scratch / EVENED
    delimiter = layout.delimiter or UNUSED
    with text.path.open("rb") as raw, evened.open("w", newline="", encoding="utf-8") as target:
        raw.seek(layout.start)
        lines = (part for line in raw for part in line.decode("utf-8").splitlines(keepends=True))
        writer = csv.writer(target, delimiter=delimiter)
        try:
            for cells in csv.reader(lines, delimiter=delimiter):
                writer.writerow(cells if "".join(cells[n:]).strip() else cells[:n])
        except csv.Error as error:
            raise _unreadable(text, layout, 0) from error
    return replace(text, path=evened, start=0, has_quotes=True)


def _strip_end(columns: Columns) -> Columns:
    """A column of cells without the blank lines at its end, and without those that part all others."""
    table, rows = columns.table, columns.rows
    blank = np.asarray(pc.equal(pc.utf8_trim_whitespace(table.column(0)), "").to_numpy(), np.bool_)
    held = np.flatnonzero(~blank)
    keep = np.arange(len(blank)) <= (held[-1] if len(held) else -1)
    findings = columns.findings
    # As where each line ends with two carriage returns: one gap in a short column is a missing value.
    if len(held) >= FEWEST_PARTED and len(blank) in (2 * len(held), 2 * len(held) + 1) and (np.diff(held) == 2).all():
        message = "Every second line of the file is blank: those lines were left out."
        findings, keep = (*findings, Finding("leftover_rows", None, message)), ~blank
    return replace(
        columns, table=table.filter(pa.array(keep)), rows=None if rows is None else rows[keep], findings=findings
    )


def _tell(layout: Layout) -> tuple[Finding, ...]:
    findings = []
    if layout.skipped:
        shown = ", ".join(f"line {line}: {quote(content)}" for line, content in layout.skipped[:5])
        message = f"Lines before the header were left out ({shown})."
        findings.append(Finding("leftover_rows", None, message))
    if not layout.has_header:
        message = "The file has no header: its first line was read as a row."
        findings.append(Finding("columns_assumed", None, message))
    return tuple(findings)


def _unreadable(text: Text, layout: Layout, n_rows: int) -> InvalidRequest:
    where = find_lines(text, layout, [n_rows + 1]).get(n_rows + 1, layout.first_line)
    return InvalidRequest.at(
        "",
        "unreadable_file",
        f"The file can't be taken apart into cells from line {where} on: a cell of it is longer than "
        f'{BLOCK_BYTES // 2**20} MiB, or a quote (") of it is not closed. Close the quote, or double it where it '
        "belongs to the text.",
    )


def _count(n: int) -> str:
    return "1 cell" if n == 1 else f"{n} cells"
