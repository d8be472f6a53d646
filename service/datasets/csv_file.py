"""Reads CSV in long format, batch by batch."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from service.datasets.table import Limits, Table, check_columns, gather
from service.errors import InvalidRequest

BLOCK_BYTES = 4 * 2**20
LONGEST_HEADER_BYTES = 10_000
DELIMITERS = ",;\t|"
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "none", "-"]


def read_csv(path: Path, limits: Limits) -> Table:
    """Reads a file with a header; the delimiter is told from it, and with `;` a comma is the decimal point.

    Raises:
        InvalidRequest: another encoding than UTF-8, columns that are not known, rows that don't fit, or what
            `service.datasets.table.gather` refuses.
    """
    names, delimiter = _read_header(path)
    text = dict.fromkeys(("unique_id", "ds"), pa.string())
    try:
        # As text where it is not all numbers, so that the row at fault can be named.
        return gather(_batches(path, names, delimiter, {**text, "y": pa.float64()}), limits)
    except pa.ArrowInvalid as error:
        if "CSV conversion error" not in str(error):
            raise _unreadable(error) from error
    try:
        return gather(_batches(path, names, delimiter, {**text, "y": pa.string()}), limits)
    except pa.ArrowInvalid as error:
        raise _unreadable(error) from error


def _read_header(path: Path) -> tuple[list[str], str]:
    with path.open("rb") as file:
        line = file.readline(LONGEST_HEADER_BYTES)
    try:
        header = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InvalidRequest.at("", "unreadable_file", "The file is not UTF-8 text: save it as UTF-8.") from error
    if not header:
        raise InvalidRequest.at("", "empty", "The file is empty, or begins with an empty line: expected a header.")
    delimiter = max(DELIMITERS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
    return check_columns(names), delimiter


def _batches(path: Path, names: list[str], delimiter: str, types: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    with pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(column_names=names, skip_rows=1, block_size=BLOCK_BYTES, use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter),
        convert_options=pa_csv.ConvertOptions(
            column_types=types,
            null_values=MISSING,
            # Of ids and times an empty field is one, so that its row can be named.
            strings_can_be_null=True,
            decimal_point="," if delimiter == ";" else ".",
        ),
    ) as reader:
        yield from reader


def _unreadable(error: pa.ArrowInvalid) -> InvalidRequest:
    if "Empty CSV" in str(error):
        return InvalidRequest.at("", "empty", "The file holds no rows: expected at least one.")
    message = str(error).partition("\n")[0][:200]
    return InvalidRequest.at("", "unreadable_file", f"The file can't be read as CSV: {message}")
