"""What a column of a file can be, by how its values repeat."""

import pyarrow as pa
import pyarrow.compute as pc

from service.datasets.arrow_columns import decode


def count_distinct(column: pa.ChunkedArray) -> int:
    """How many different values a column has, null aside."""
    count: int = pc.count_distinct(decode(column)).as_py()
    return count


def repeats(column: pa.ChunkedArray) -> bool:
    """Whether a value stands in two rows; nulls aside."""
    known = pc.drop_null(decode(column))
    return bool(len(known) > pc.count_distinct(known).as_py())


def identifies(values: pa.ChunkedArray, times: pa.ChunkedArray) -> bool:
    """Whether a column of few different whole numbers and the times name each row once."""
    column = decode(values)
    n_rows = len(column)
    pairs = pa.table({"value": column, "time": decode(times)})
    n_pairs = pairs.group_by(["value", "time"]).aggregate([]).num_rows
    return bool(n_pairs == n_rows and 2 * pc.count_distinct(column).as_py() <= n_rows)
