"""Reads CSV in long format, batch by batch."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from service.datasets.limits import Limits
from service.datasets.table import Table, check_columns, gather
from service.errors import InvalidRequest

BLOCK_BYTES = 4 * 2**20
LONGEST_HEADER_BYTES = 10_000
DELIMITERS = ",;\t|"
# What stands for a missing value; of ids it may be a name, such as Namibia's.
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "none", "-"]


def read_csv(path: Path, limits: Limits) -> Table:
    """Reads a file with a header; the delimiter is told from it, and with `;` a comma is the decimal point.

    Raises:
        InvalidRequest: another encoding than UTF-8, columns that are not known, rows that don't fit, or what
            `service.datasets.table.gather` refuses.
    """
    names, delimiter = _read_header(path)
    try:
        return gather(_read(path, names, delimiter, pa.float64()), limits)
    except pa.ArrowInvalid as error:
        if "CSV conversion error" not in str(error):
            raise _unreadable(error) from error
    try:
        # Once more as text, so that the row at fault can be named.
        return gather(_read_values_as_text(path, names, delimiter), limits)
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


def _read(path: Path, names: list[str], delimiter: str, values: pa.DataType) -> Iterator[pa.RecordBatch]:
    with pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(column_names=names, skip_rows=1, block_size=BLOCK_BYTES, use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter),
        convert_options=pa_csv.ConvertOptions(
            column_types={"unique_id": pa.string(), "ds": pa.string(), "y": values},
            null_values=MISSING,
            strings_can_be_null=False,
            decimal_point=_decimal_point(delimiter),
        ),
    ) as reader:
        yield from reader


def _read_values_as_text(path: Path, names: list[str], delimiter: str) -> Iterator[pa.RecordBatch]:
    position = names.index("y")
    for batch in _read(path, names, delimiter, pa.string()):
        text = pc.utf8_trim_whitespace(batch.column(position))
        text = pc.replace_substring(text, _decimal_point(delimiter), ".")
        text = pc.if_else(pc.is_in(text, pa.array(MISSING)), None, text)
        yield batch.set_column(position, "y", text)


def _decimal_point(delimiter: str) -> str:
    return "," if delimiter == ";" else "."


def _unreadable(error: pa.ArrowInvalid) -> InvalidRequest:
    if "Empty CSV" in str(error):
        return InvalidRequest.at("", "empty", "The file holds no rows: expected at least one.")
    message = str(error).partition("\n")[0][:200]
    return InvalidRequest.at("", "unreadable_file", f"The file can't be read as CSV: {message}")
