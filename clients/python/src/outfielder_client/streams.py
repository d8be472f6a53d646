"""Frames as Arrow streams: a frame goes to POST /forecast as it is, and a table of forecasts comes back.

Nothing is kept by the service, and nothing is written as text. It takes pyarrow, which also writes frames of pandas for
uploads; without it, frames travel as uploads.
"""

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import narwhals as nw

from outfielder_client.connection import leave_out_none
from outfielder_client.errors import RequestRefused, UnusableInput
from outfielder_client.frames import LongFrame
from outfielder_client.series import to_json_values

ARROW = "application/vnd.apache.arrow.stream"
# Refusals of what an upload may still hold: it may be larger than the body of a request.
TOO_LARGE = {"body_too_large", "too_many_points", "too_many_series", "too_many_batches", "out_of_bounds"}
UNKNOWN_TYPE = 415
# Of the columns beside `forecast` that hold numbers.
PREFIXES = ("lo-", "hi-", "q-0", "q-1")


def can_stream(frame: LongFrame) -> bool:
    """Whether a frame can travel as a stream: pyarrow is there, and its times are of a type that means itself."""
    return find_spec("pyarrow") is not None and (has_typed_times(frame) or frame.time_dtype() == nw.String)


def has_typed_times(frame: LongFrame) -> bool:
    """Whether times are dates or moments. They come back as such, and texts as texts."""
    dtype = frame.time_dtype()
    return bool(dtype == nw.Date or dtype == nw.Datetime)


def needs_upload(error: RequestRefused) -> bool:
    """Whether a stream was refused for a reason that does not hold for uploads."""
    return error.status == UNKNOWN_TYPE or (error.code in TOO_LARGE and error.pointer not in ("/horizon", "/level"))


def make_parameters(frame: LongFrame, body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The fields of a request in its address, where the body is a table."""
    columns = {name: value for name, value in frame.file_options().items() if name != "format"}
    return [(name, _to_text(value)) for name, value in {**leave_out_none(**body), **columns}.items()]


def _to_text(given: Any) -> str:
    value = to_json_values(given)
    if isinstance(value, list):
        return ",".join(map(_to_text, value))
    return value if isinstance(value, str) else json.dumps(value)


def write_stream(frame: LongFrame) -> bytes:
    """The frame as an Arrow IPC stream. Raises UnusableInput where a column holds values of several kinds."""
    import pyarrow as pa

    columns = frame.columns
    try:
        table = frame.frame.to_arrow().replace_schema_metadata(None)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UnusableInput(f"A column of the frame holds values of several kinds: {error}.") from error
    if pa.types.is_null(table.schema.field(columns.target).type):
        place = table.column_names.index(columns.target)
        table = table.set_column(place, columns.target, table.column(place).cast(pa.float64()))
    if frame.has_ids:
        table = table.set_column(table.column_names.index(columns.id), columns.id, _encode_ids(frame, table))
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4" if pa.Codec.is_available("lz4") else None)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _encode_ids(frame: LongFrame, table: Any) -> Any:
    """Ids as texts, each of which stands in the stream once."""
    import pyarrow as pa

    column = table.column(frame.columns.id)
    if frame.frame[frame.columns.id].dtype.is_integer():
        return column
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        # As they come back: of categories, dates or objects their texts.
        column = pa.chunked_array([[str(name) for name in frame.frame[frame.columns.id].to_list()]], pa.large_string())
    return pa.chunked_array([column.combine_chunks().dictionary_encode()])


def read_stream(content: bytes, frame: LongFrame) -> dict[str, Any]:
    """A table of forecasts as the API's answer; each series has `times`, None where they are not known.

    Args:
        frame: what was sent, whose times say of which type those of the answer are.
    """
    import pyarrow as pa

    with pa.ipc.open_stream(content) as reader:
        table = reader.read_all()
    answer: dict[str, Any] = json.loads(table.schema.metadata[b"forecast"])
    return {**answer, "forecasts": list(_read_series(table, answer["horizon"], frame))}


def _read_series(table: Any, horizon: int, frame: LongFrame) -> Iterator[dict[str, Any]]:
    names = table.column_names
    times = _read_times(table.column("ds"), frame) if "ds" in names else [None] * len(table)
    errors: list[Any] = table.column("error").to_pylist() if "error" in names else [None] * len(table)
    numbers = {name: table.column(name).to_pylist() for name in names if name == "forecast" or name[:3] in PREFIXES}
    levels = [name.removeprefix("lo-") for name in numbers if name.startswith("lo-")]
    quantiles = [name.removeprefix("q-") for name in numbers if name.startswith("q-")]
    begins = []
    begin = 0
    while begin < len(table):
        begins.append(begin)
        # A series without a forecast has one row.
        begin += horizon if errors[begin] is None else 1
    ids = table.column("unique_id").take(begins).to_pylist()
    for place, (name, begin) in enumerate(zip(ids, begins, strict=True)):
        if errors[begin] is not None:
            code, _, message = errors[begin].partition(": ")
            yield {"id": name, "error": {"pointer": f"/series/{place}", "code": code, "message": message}}
            continue
        rows = slice(begin, begin + horizon)
        series = {
            "id": name,
            "values": numbers["forecast"][rows],
            "times": None if times[begin] is None else times[rows],
        }
        if levels:
            series["intervals"] = {
                level: {"lower": numbers[f"lo-{level}"][rows], "upper": numbers[f"hi-{level}"][rows]}
                for level in levels
            }
        if quantiles:
            series["quantiles"] = {quantile: numbers[f"q-{quantile}"][rows] for quantile in quantiles}
        yield series


def _read_times(column: Any, frame: LongFrame) -> list[Any]:
    """Times as `LongFrame.build` takes them: dates, wall times, or, where the frame has a zone, times in UTC."""
    import pyarrow as pa

    # Series have most times in common, and each is made a Python object once.
    encoded = column.combine_chunks().dictionary_encode()
    distinct = encoded.dictionary
    if not pa.types.is_timestamp(column.type):
        # Offsets of fractions of a minute have no type.
        times = frame.read_stamps(distinct.to_pylist())
    elif frame.time_dtype() == nw.Date:
        times = distinct.cast(pa.date32()).to_pylist()
    else:
        # Microseconds since 1970, with which their zone goes.
        times = distinct.cast(pa.int64()).cast(pa.timestamp("us")).to_pylist()
    return [None if code is None else times[code] for code in encoded.indices.to_pylist()]
