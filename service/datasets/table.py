"""The table of rows that every reader turns its file into."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.datasets.arrow_columns import decode, is_text
from service.datasets.column_roles import assign, assign_by_name
from service.datasets.columns import read_ids, read_numbers
from service.datasets.dataset import Finding
from service.datasets.file_options import FileOptions
from service.datasets.non_data_rows import NonDataRows, drop_non_data
from service.datasets.number_cells import CellPlace
from service.datasets.time_column import Times, read_times
from service.datasets.upload_limits import UploadLimits
from service.errors import InvalidRequest

Rows = NDArray[np.intp] | slice

# The id of a file without ids.
ONLY_ID = "0"


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of a file as they stand in it, under the names of its header.

    `rows` [rows] are their numbers in the file, from 1, where some were left out; None is all of them.
    """

    table: pa.Table
    rows: NDArray[np.int64] | None = None
    non_data_rows: NonDataRows = field(default_factory=NonDataRows)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """All rows in the order of the file; those of a wide file series after series.

    `series` [rows] counts `ids`; `times` is None without a column of times; `values` [rows] have NaN for null; `rows`
    [rows] are the numbers of rows in the file, from 1, None where they count up. `id_column` and `time_column` are the
    names of the columns that ids and times were read from, None without such a column or without a header. With
    `bounds` [series + 1] the rows of each series stand together, from one bound to the next, and `series` is not asked
    for; the arrays are then mapped from files.
    """

    ids: list[str]
    series: NDArray[np.int32]
    times: Times | None
    values: NDArray[np.float64]
    rows: NDArray[np.int64] | None = None
    findings: tuple[Finding, ...] = ()
    non_data_rows: NonDataRows = field(default_factory=NonDataRows)
    id_column: str | None = None
    time_column: str | None = None
    bounds: NDArray[np.int64] | None = None

    def number_of(self, row: int) -> int:
        """The number of a row in the file, from 1."""
        return row + 1 if self.rows is None else int(self.rows[row])

    def rows_by_series(self) -> "Sequence[Rows]":
        """The rows of each series, in the order of the file."""
        if self.bounds is not None:
            return [slice(start, stop) for start, stop in pairwise(self.bounds.tolist())]
        by_series = np.argsort(self.series, kind="stable")
        return np.split(by_series, np.cumsum(np.bincount(self.series, minlength=len(self.ids)))[:-1])


def build(columns: Columns, limits: UploadLimits, options: FileOptions, *, delimiter: str | None = None) -> Table:
    """Makes a table of columns: finds their roles, leaves out rows without data, reads ids, times and values.

    Args:
        delimiter: what parts the cells of a file of text.

    Raises:
        InvalidRequest: columns of which several readings are possible, too many points or series, a value that is no
            number or may be two, stamps that are no times, mixed zones.
    """
    table, names = columns.table, columns.table.column_names
    if not table.num_rows:
        raise InvalidRequest.at("", "empty", "The file has no rows: expected at least one.")
    roles = assign_by_name(names, options) or assign(names, table, options)
    for i in {roles.time, *roles.targets} - {None}:
        # Ids alone stay categories: of millions of rows their texts would be many.
        table = table.set_column(i, names[i], decode(table.column(i)))
    rows = columns.rows if columns.rows is not None else np.arange(1, table.num_rows + 1, dtype=np.int64)
    keep = drop_non_data(table, roles, rows, columns.non_data_rows)
    if keep is not None:
        table, rows = table.filter(pa.array(keep)), rows[keep]
    if not table.num_rows:
        raise InvalidRequest.at("", "empty", "The file has no rows of data: expected at least one.")
    n, n_series = table.num_rows, len(roles.targets)
    limits.check_points(n * n_series)

    def locate(index: int) -> CellPlace:
        return CellPlace(names[roles.targets[index // n]], int(rows[index % n]))

    values = _join([table.column(i) for i in roles.targets])
    numbers, assumed = read_numbers(values, names[roles.targets[0]], locate, options, delimiter, n)
    times = None if roles.time is None else read_times(table.column(roles.time), name=names[roles.time], rows=rows)
    if roles.is_wide:
        ids, series = [names[i] for i in roles.targets], np.repeat(np.arange(n_series, dtype=np.int32), n)
        limits.check_series(n_series)
        times, rows = None if times is None else _repeat(times, n_series), np.tile(rows, n_series)
    elif roles.id is not None:
        ids, series = read_ids(table.column(roles.id), names[roles.id], locate, limits)
    else:
        ids, series = [ONLY_ID], np.zeros(n, np.int32)
    findings = (*columns.findings, *roles.findings, *assumed)
    id_column, time_column = (None if i is None else names[i] for i in (roles.id, roles.time))
    return Table(ids, series, times, numbers, rows, findings, columns.non_data_rows, id_column, time_column)


def _join(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Columns of values one behind the other, in one type."""
    if len(columns) > 1:
        are_text = any(is_text(column.type) for column in columns)
        if len({column.type for column in columns}) > 1:
            columns = [column.cast(pa.string() if are_text else pa.float64(), safe=False) for column in columns]
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)


def _repeat(times: Times, n: int) -> Times:
    """The times of a wide file, once for each series."""
    offsets = None if times.offsets is None else np.tile(times.offsets, n)
    return replace(times, wall=np.tile(times.wall, n), offsets=offsets)
