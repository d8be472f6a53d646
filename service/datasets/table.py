"""An upload in long format, as columns: what every reader makes of its file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.datasets.columns import read_ids, read_numbers
from service.datasets.limits import Limits
from service.datasets.times import Times, read_times
from service.errors import InvalidRequest

COLUMNS = ("unique_id", "ds", "y")
# The id of a file without ids.
ONLY_ID = "0"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """All rows in the order of the file.

    `series` [rows] counts `ids`; `times` is None without a column of times; `values` [rows] have NaN for null.
    """

    ids: list[str]
    series: NDArray[np.int32]
    times: Times | None
    values: NDArray[np.float64]


def check_columns(names: Sequence[str]) -> list[str]:
    """The columns to read, in the file's order.

    Raises:
        InvalidRequest: one that is not known, one twice, or no `y`.
    """
    for name in names:
        if name not in COLUMNS:
            shown = name if len(name) <= 40 else name[:40] + "..."
            raise InvalidRequest.at(
                "/columns",
                "unknown_column",
                f"There is a column {shown!r}: expected {', '.join(COLUMNS)}.{_hint(name)}",
            )
    if len(set(names)) != len(names):
        raise InvalidRequest.at("/columns", "duplicate_column", "Two columns have the same name: names must differ.")
    if "y" not in names:
        raise InvalidRequest.at("/columns", "missing_column", "There is no column 'y', which holds the values: add it.")
    return list(names)


def gather(batches: Iterator[pa.RecordBatch], limits: Limits) -> Table:
    """Joins batches of the columns, refusing more than the limits as soon as they are passed.

    Raises:
        InvalidRequest: too many points or series, a value that is no number, stamps that are no times, mixed zones.
    """
    codes: dict[str, int] = {}
    series: list[NDArray[np.int32]] = []
    times: list[pa.Array] = []
    values: list[NDArray[np.float64]] = []
    n_rows = 0
    for batch in batches:
        limits.check_points(n_rows + batch.num_rows)
        names = batch.schema.names
        values.append(read_numbers(batch.column(names.index("y")), n_rows))
        if "unique_id" in names:
            series.append(read_ids(batch.column(names.index("unique_id")), codes, n_rows))
            limits.check_series(len(codes))
        if "ds" in names:
            times.append(batch.column(names.index("ds")))
        n_rows += batch.num_rows
    if not n_rows:
        raise InvalidRequest.at("", "empty", "The file holds no rows: expected at least one.")
    return Table(
        list(codes) or [ONLY_ID],
        np.concatenate(series) if series else np.zeros(n_rows, np.int32),
        read_times(pa.chunked_array(times)) if times else None,
        np.concatenate(values),
    )


def _hint(name: str) -> str:
    if not name or name.startswith("__index_level_"):
        return " It looks like the index of a data frame: write the file with index=False."
    close = get_close_matches(name.lower(), COLUMNS, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
