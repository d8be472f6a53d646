"""Reads local files for the command line, like uploads, into the fields of a request."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from service.datasets.arrow_columns import quote, shorten
from service.datasets.dataset import Finding
from service.datasets.file_options import FileOptions
from service.datasets.reader import CSV, PARQUET, UPLOAD, read_file
from service.datasets.table import ONLY_ID, Table
from service.datasets.upload_limits import UploadLimits
from service.domain.forecast_columns import USUAL_NAMES, RowNames
from service.errors import InvalidRequest

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class FileRequest:
    """The `fields` of a request in a file, among them `series`, and the findings of its reading.

    `columns` are the names under which answers about a table tell ids and times.
    """

    fields: dict[str, Any]
    findings: tuple[Finding, ...] = ()
    columns: RowNames = USUAL_NAMES


def find_media_type(content: bytes) -> str:
    """What a file is, by how it begins: its name says too little, and standard input has none."""
    if content.startswith(b"PAR1"):
        return PARQUET
    # Byte-order marks, and the zeros of UTF-16.
    begin = content[:4000].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
    return JSON if begin.startswith((b"[", b"{")) else CSV


def read_request(content: bytes, limits: UploadLimits, options: FileOptions, freq: str | None = None) -> FileRequest:
    """The request that a file's content is: JSON as it stands, of a table the series as records.

    Args:
        content: JSON, CSV or Parquet.
        options: what is said of a table.
        freq: a frequency that was given beside the file: of a table it has to be that of the time stamps.

    Raises:
        InvalidRequest: the file can't be read; the message names the line. Its time stamps contradict `freq`.
    """
    media_type = find_media_type(content)
    if media_type == JSON:
        if options.to_dict():
            named = ", ".join(options.to_dict())
            raise _refuse(f"{named}: for CSV and Parquet alone, but the file is JSON, which says itself what it holds.")
        return FileRequest(read_json(content))
    with TemporaryDirectory() as folder:
        path = Path(folder) / UPLOAD
        path.write_bytes(content)
        panel, findings, table = read_file(path, media_type, limits, options, freq)
    starts, findings = list(panel.starts), list(findings)
    asked = panel.freq if panel.freq is not None else freq
    if asked is not None and None in starts and any(start is not None for start in starts):
        message = "Not all series have times of one frequency: the forecasts come without time stamps."
        findings.append(Finding("mixed_frequency", None, message))
        starts = [None] * len(starts)
    records = [
        {"id": name, "values": _to_json(values), **({} if start is None or asked is None else {"start": start})}
        for name, values, start in zip(panel.ids, panel.values, starts, strict=True)
    ]
    has_times = any("start" in record for record in records)
    fields: dict[str, Any] = {"series": records, **({"freq": asked} if has_times or freq is not None else {})}
    return FileRequest(fields, tuple(findings), _name_rows(table))


def _name_rows(table: Table) -> RowNames:
    """The file's own names of ids and times; a file of one series without a name has no column of ids."""
    is_unnamed = table.id_column is None and table.ids == [ONLY_ID]
    return RowNames(
        None if is_unnamed else table.id_column or USUAL_NAMES.id,
        table.time_column or USUAL_NAMES.time,
    )


def read_json(content: bytes) -> dict[str, Any]:
    """The fields of a JSON file: a whole request, or the value of its `series` alone.

    Raises:
        InvalidRequest: no JSON, and the line at which it ends to be.
    """
    try:
        value = json.loads(
            content, parse_float=_read_float, parse_constant=_refuse_constant, object_pairs_hook=_check_members
        )
    except json.JSONDecodeError as error:
        raise _refuse(f"line {error.lineno}: this is not JSON: {error.msg}.") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _refuse(f"line {line}: the text is neither UTF-8 nor UTF-16: save it as UTF-8.") from error
    except RecursionError as error:
        raise _refuse("the JSON is nested too deep.") from error
    return value if isinstance(value, dict) and "series" in value else {"series": value}


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _refuse(f"the file holds {shorten(text)}: expected a finite number. Send the values in a larger unit.")
    return number


def _refuse_constant(name: str) -> Any:
    raise _refuse(f"the file holds {name}, which is not JSON: write null where a value is missing.")


def _check_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for i, name in enumerate(names) if name in names[:i])
        raise _refuse(f"an object has the member {quote(double)} twice: names must differ.")
    return members


def _to_json(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    return [None if missing else value for value, missing in zip(values.tolist(), np.isnan(values), strict=True)]


def _refuse(message: str) -> InvalidRequest:
    return InvalidRequest.at("", "unreadable_file", message)
