"""Series from a file of the command line's user: CSV in long format, a column of numbers, or JSON."""

import csv
import io
import json
from typing import Any

from service.errors import InvalidRequest

ID, TIME, VALUE = "unique_id", "ds", "y"


def read_series_file(content: str, *, with_start: bool = False) -> Any:
    """What a file holds, in a form that POST /forecast takes for `series`.

    Args:
        content: CSV with a header (`y`, optionally `unique_id` and `ds`), numbers one a line, or JSON.
        with_start: also tell each series' first `ds`.

    Raises:
        InvalidRequest: the file is none of these, or a value is no number; the flaw names the line.
    """
    text = content.strip()
    if text[:1] in ("[", "{"):
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise _refuse(error.lineno, f"this is no JSON: {error.msg}") from error
        return value.get("series", value) if isinstance(value, dict) else value
    rows = list(csv.reader(io.StringIO(text), delimiter=";" if ";" in text.partition("\n")[0] else ","))
    if not rows:
        raise _refuse(1, "the file is empty")
    header = [cell.strip().lower() for cell in rows[0]]
    if VALUE not in header:
        if len(header) > 1:
            raise _refuse(1, f"expected the columns {ID},{TIME},{VALUE} or {VALUE} alone, got {','.join(header)}")
        begin = 0 if _is_number(header[0]) else 1
        return [_number(row, 0, line) for line, row in enumerate(rows[begin:], begin + 1)]
    return _read_long(header, rows[1:], with_start)


def _read_long(header: list[str], rows: list[list[str]], with_start: bool) -> list[dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    for line, row in enumerate(rows, 2):
        if not row:
            continue
        name = _cell(row, header, ID) or "0"
        record = records.setdefault(name, {"id": name, "values": []})
        if with_start and "start" not in record and _cell(row, header, TIME):
            record["start"] = _cell(row, header, TIME)
        record["values"].append(_number(row, header.index(VALUE), line))
    return list(records.values())


def _cell(row: list[str], header: list[str], column: str) -> str:
    index = header.index(column) if column in header else len(row)
    return row[index].strip() if index < len(row) else ""


def _number(row: list[str], index: int, line: int) -> float | None:
    text = row[index].strip() if index < len(row) else ""
    if text == "" or text.lower() in ("null", "nan", "na"):
        return None
    if not _is_number(text):
        raise _refuse(line, f"expected a number, got {text!r}")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse(line: int, message: str) -> InvalidRequest:
    return InvalidRequest.at(f"/line/{line}", "bad_file", f"line {line}: {message}.")
