"""POST /forecast with tables for bodies and answers: an Arrow stream, Parquet, CSV, and JSON by lines."""

import io
import json
import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.store.pretrained import publish_pretrained
from tests.api.server import assert_problem, client
from tests.serving.models import add_kinds

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
CSV = "text/csv"
NDJSON = "application/x-ndjson"
JSON = "application/json"
Series = dict[str, list[float | None]]
SERIES: Series = {
    "north": [12.0, 15.5, None, 18.0, 20.0, 17.25, 9.0],
    "south": [3.0, 4.0, 4.0, 5.0, 7.0, 6.0, 2.0],
}
START = datetime(2026, 1, 5)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def http(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("models_store")
    add_kinds(root)
    publish_pretrained(root)
    limits: dict[str, Any] = {"max_body_bytes": 2**20, "max_body_values": 20_000, "max_body_series": 1000}
    with client(root, state, **limits) as http:
        yield http


@pytest.fixture(autouse=True)
def _nothing_is_kept(http: httpx.Client, state: Path) -> Iterator[None]:
    yield
    assert http.get("/healthz").status_code == 200
    assert http.get("/datasets").json()["datasets"] == []
    assert not list((state / "datasets").glob(".staging/*"))


def long_table(series: Series, *, times: bool = True) -> pa.Table:
    """One row a point; days from 5 January 2026 on."""
    columns: dict[str, Any] = {"unique_id": [name for name, values in series.items() for _ in values]}
    if times:
        first = np.datetime64(START, "us")
        days = [first + np.timedelta64(i, "D") for values in series.values() for i in range(len(values))]
        columns["ds"] = pa.array(days, pa.timestamp("us"))
    columns["y"] = pa.array([value for values in series.values() for value in values], pa.float64())
    return pa.table(columns)


def write_stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def write(table: pa.Table, media_type: str) -> bytes:
    if media_type == ARROW:
        return write_stream(table)
    sink = io.BytesIO()
    if media_type == PARQUET:
        pq.write_table(table, sink)
    else:
        pa.csv.write_csv(table, sink)
    return sink.getvalue()


def read(response: httpx.Response) -> pa.Table:
    assert response.status_code == 200, response.text
    media_type = response.headers["content-type"].partition(";")[0]
    if media_type == ARROW:
        return pa.ipc.open_stream(response.content).read_all()
    if media_type == PARQUET:
        return pq.read_table(io.BytesIO(response.content))
    assert media_type == CSV
    return pa.csv.read_csv(io.BytesIO(response.content))


def post(http: httpx.Client, content: bytes, media_type: str, accept: str = JSON, **options: Any) -> httpx.Response:
    options.setdefault("model", "lstm")
    return http.post(
        "/forecast", content=content, params=options, headers={"Content-Type": media_type, "Accept": accept}
    )


def native(http: httpx.Client, series: Series, **fields: Any) -> list[dict[str, Any]]:
    """The forecasts of the same series posted as JSON."""
    body = {"model": "lstm", "series": series, "freq": "D", "start": "2026-01-05", **fields}
    forecasts: list[dict[str, Any]] = http.post("/forecast", json=body).json()["forecasts"]
    return forecasts


def seldom(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.exhaustive)


@pytest.mark.parametrize(
    ("media_type", "accept"),
    [
        (ARROW, ARROW),
        (ARROW, PARQUET),
        (ARROW, CSV),
        (PARQUET, PARQUET),
        (CSV, CSV),
        # How a table is answered does not depend on how it came, and each file takes a process to read.
        seldom(PARQUET, ARROW),
        seldom(PARQUET, CSV),
        seldom(CSV, ARROW),
        seldom(CSV, PARQUET),
    ],
)
def test_each_table_is_answered_in_each_form_with_the_numbers_of_json(
    http: httpx.Client, media_type: str, accept: str
) -> None:
    response = post(http, write(long_table(SERIES), media_type), media_type, accept, horizon=4)
    table = read(response)
    assert table.column_names == ["unique_id", "ds", "forecast"]
    expected = native(http, SERIES, horizon=4)
    assert table["unique_id"].to_pylist() == ["north"] * 4 + ["south"] * 4
    stamps = [str(stamp)[:10] for stamp in table["ds"].to_pylist()]
    assert stamps == [stamp for forecast in expected for stamp in forecast["timestamps"]]
    values = [value for forecast in expected for value in forecast["values"]]
    np.testing.assert_allclose(table["forecast"].to_numpy(), values, rtol=1e-6, atol=1e-6)
    head = json.loads(response.headers["x-forecast-head"])
    assert (head["model"], head["version"], head["mode"], head["horizon"]) == ("lstm", 1, "sequence", 4)


@pytest.mark.parametrize("media_type", [ARROW, PARQUET, CSV])
def test_a_table_may_be_answered_as_json(http: httpx.Client, media_type: str) -> None:
    answer = post(http, write(long_table(SERIES), media_type), media_type, horizon=3).json()
    expected = native(http, SERIES, horizon=3)
    assert [forecast["id"] for forecast in answer["forecasts"]] == ["north", "south"]
    for forecast, other in zip(answer["forecasts"], expected, strict=True):
        assert forecast["timestamps"] == other["timestamps"]
        np.testing.assert_allclose(forecast["values"], other["values"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("accept", [ARROW, PARQUET, CSV])
def test_json_may_be_answered_as_a_table(http: httpx.Client, accept: str) -> None:
    body = {"model": "lstm", "series": SERIES, "horizon": 2}
    table = read(http.post("/forecast", json=body, headers={"Accept": accept}))
    assert table.column_names == ["unique_id", "step", "forecast"]
    assert table["step"].to_pylist() == [1, 2, 1, 2]


def test_levels_and_quantiles_are_columns_of_their_own(http: httpx.Client) -> None:
    asked = {"model": "zero-shot", "horizon": 2, "level": [80.0, 95.0], "quantiles": [0.1, 0.5]}
    expected = native(http, SERIES, **asked)
    for level in ([80, 95], "80,95"):
        options = {**asked, "level": level, "quantiles": "0.1,0.5"}
        table = read(post(http, write_stream(long_table(SERIES)), ARROW, ARROW, **options))
        bounds = ["lo-80", "hi-80", "lo-95", "hi-95", "q-0.1", "q-0.5"]
        assert table.column_names == ["unique_id", "ds", "forecast", *bounds]
        for name in bounds:
            kind, _, key = name.partition("-")
            side = {"lo": "lower", "hi": "upper"}.get(kind)
            wanted = [
                value
                for of_one in expected
                for value in (of_one["quantiles"][key] if side is None else of_one["intervals"][key][side])
            ]
            np.testing.assert_allclose(table[name].to_numpy(), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("accept", [ARROW, PARQUET, CSV])
def test_a_series_that_cannot_be_forecast_has_a_row_with_its_error(http: httpx.Client, accept: str) -> None:
    series: Series = {"short": [1.0], **SERIES, "empty": [None, None]}
    table = read(post(http, write_stream(long_table(series)), ARROW, accept, model="whole", horizon=2))
    rows = table.to_pylist()
    assert [row["unique_id"] for row in rows] == ["short", "north", "north", "south", "south", "empty"]
    assert rows[0]["error"].startswith("too_short: ")
    assert rows[5]["error"].startswith("all_null: ")
    assert rows[0]["forecast"] is None
    assert rows[0]["ds"] is None
    assert all(row["forecast"] is not None and not row["error"] for row in rows[1:5])


def test_lines_of_json_are_the_head_and_each_series(http: httpx.Client) -> None:
    for n_series in (2, 900):
        series: Series = {f"s{i}": [float(i), 2.0, 3.0] for i in range(n_series)}
        response = post(http, write_stream(long_table(series)), ARROW, NDJSON, horizon=20)
        assert response.headers["content-type"] == NDJSON
        head, *lines = [json.loads(line) for line in response.text.splitlines()]
        assert head.keys() == {"model", "version", "mode", "horizon", "rolled_out", "timing_ms"}
        assert lines == native(http, series, horizon=20)


def test_a_list_of_values_makes_a_row_a_series(http: httpx.Client) -> None:
    expected = native(http, SERIES, horizon=2)
    starts = pa.array([START, START], pa.timestamp("ns"))
    for kind in (pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float64(), 7)):
        values = pa.array(list(SERIES.values()), kind)
        table = pa.table({"unique_id": list(SERIES), "y": values, "start": starts})
        answer = post(http, write_stream(table), ARROW, horizon=2, freq="D").json()["forecasts"]
        assert [forecast["timestamps"] for forecast in answer] == [forecast["timestamps"] for forecast in expected]
        for forecast, other in zip(answer, expected, strict=True):
            np.testing.assert_allclose(forecast["values"], other["values"], rtol=1e-6)
    bare = post(http, write_stream(pa.table({"y": [[1, 2, 3], None, [4]]})), ARROW).json()["forecasts"]
    assert [forecast["id"] for forecast in bare] == ["0", "1", "2"]
    assert (bare[1]["error"]["code"], bare[1]["error"]["pointer"]) == ("empty", "/series/1")


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.uint32(), pa.int64(), pa.float16(), pa.float32(), pa.decimal128(10, 2), pa.decimal256(40, 5)],
    ids=str,
)
def test_values_may_be_of_any_numeric_type(http: httpx.Client, kind: Any) -> None:
    values: list[float | None] = [12, 15, None, 18, 20, 17, 9]
    y = pa.array(values, pa.float64()).cast(kind)
    answer = post(http, write_stream(pa.table({"y": y})), ARROW, horizon=2).json()["forecasts"]
    np.testing.assert_allclose(answer[0]["values"], native(http, {"0": values}, horizon=2)[0]["values"])


@pytest.mark.parametrize(
    "kind",
    [
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.large_string()),
    ],
    ids=str,
)
def test_ids_may_be_of_any_textual_type_and_rows_in_any_order(http: httpx.Client, kind: Any) -> None:
    table = long_table(SERIES)
    mixed = table.take(pa.array([i for pair in zip(range(7), range(7, 14), strict=True) for i in pair]))
    for some in (table, mixed, mixed.drop_columns("ds")):
        typed = some.set_column(0, "unique_id", some["unique_id"].cast(kind))
        answer = post(http, write_stream(typed), ARROW, horizon=2).json()["forecasts"]
        assert [forecast["values"] for forecast in answer] == [
            forecast["values"] for forecast in native(http, SERIES, horizon=2)
        ]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.none() | st.floats(-1e6, 1e6, width=32), min_size=3, max_size=12).filter(
            lambda values: any(value is not None for value in values)
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["none", "zstd", "lz4"]),
    st.booleans(),
)
def test_any_values_give_the_numbers_of_json(
    http: httpx.Client, rows: list[list[float | None]], compression: str, as_lists: bool
) -> None:
    series = {f"s{i}": values for i, values in enumerate(rows)}
    table = long_table(series, times=False)
    if as_lists:
        table = pa.table({"unique_id": list(series), "y": pa.array(rows, pa.list_(pa.float64()))})
    body = write_stream(table, compression=None if compression == "none" else compression)
    response = post(http, body, ARROW, ARROW, horizon=2)
    expected = http.post("/forecast", json={"model": "lstm", "series": series, "horizon": 2})
    if expected.status_code != 200:
        # Magnitudes below those of 32-bit floats.
        assert response.status_code == expected.status_code
        return
    given_rows = read(response).to_pylist()
    for forecast in expected.json()["forecasts"]:
        own = [row["forecast"] for row in given_rows if row["unique_id"] == forecast["id"]]
        wanted = forecast.get("values", [None])
        assert [value is None for value in own] == [value is None for value in wanted]
        if "values" in forecast:
            np.testing.assert_allclose(own, wanted, rtol=1e-6, atol=1e-6)


def test_times_with_a_zone_come_back_in_it(http: httpx.Client) -> None:
    hours = [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in range(6)]
    for zone in ("Europe/Berlin", "UTC", "+05:30"):
        table = pa.table({"ds": pa.array(hours, pa.timestamp("us", tz=zone)), "y": [1.0, 2, 3, 4, 5, 6]})
        found = read(post(http, write_stream(table), ARROW, ARROW, horizon=2))
        assert found.schema.field("ds").type.tz == (zone if zone == "Europe/Berlin" else "UTC")
        assert found["ds"].to_pylist() == [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (6, 7)]
        text = post(http, write_stream(table), ARROW, CSV, horizon=1).text.splitlines()
        expected = {"UTC": "06:00:00Z", "+05:30": "11:30:00+05:30"}.get(zone, "07:00:00+01:00[Europe/Berlin]")
        assert text[1].startswith(f'"0","2026-01-05T{expected}",')


def test_starts_of_lists_may_have_zones_or_be_unknown(http: httpx.Client) -> None:
    starts = pa.array([datetime(2026, 1, 5, 11, tzinfo=UTC), None], pa.timestamp("ns", tz="Europe/Berlin"))
    table = pa.table({"unique_id": ["a", "b"], "y": [[1.0, 2, 3], [4.0, 5]], "start": starts})
    answer = post(http, write_stream(table), ARROW, horizon=1, freq="h").json()["forecasts"]
    assert answer[0]["timestamps"] == ["2026-01-05T15:00:00+01:00[Europe/Berlin]"]
    assert "timestamps" not in answer[1]
    found = read(post(http, write_stream(table), ARROW, ARROW, horizon=1, freq="h"))
    assert found.column_names == ["unique_id", "ds", "step", "forecast"]
    assert found["ds"].to_pylist() == [datetime(2026, 1, 5, 14, tzinfo=UTC), None]
    assert found["step"].to_pylist() == [1, 1]


def test_a_frequency_may_be_said_for_a_file_and_must_be_that_of_its_times(http: httpx.Client) -> None:
    content = b"unique_id,ds,y\na,2026-01-05,1\nb,2026-01-05,5\n"
    for media_type, body in ((CSV, content), (ARROW, write_stream(pa.csv.read_csv(io.BytesIO(content))))):
        answer = post(http, body, media_type, horizon=2, freq="W-MON").json()["forecasts"]
        assert answer[0]["timestamps"] == ["2026-01-12", "2026-01-19"]
    daily = write(long_table(SERIES), CSV)
    for freq in ("h", "\0", "--help"):
        assert_problem(
            post(http, daily, CSV, freq=freq), 422, "frequency_mismatch" if freq == "h" else "unknown_frequency"
        )


def test_columns_may_be_named_and_what_was_assumed_is_told(http: httpx.Client) -> None:
    content = b"shop;day;sales;note\nnorth;05.01.2026;1,5;x\nnorth;06.01.2026;2,5;y\nnorth;13.01.2026;3,5;\n"
    options: dict[str, Any] = {
        "id_column": "shop",
        "time_column": "day",
        "target_column": "sales",
        "decimal": ",",
        "horizon": 1,
    }
    answer = post(http, content, CSV, **options).json()
    assert answer["forecasts"][0]["id"] == "north"
    assert {finding["code"] for finding in answer["audit"]} >= {"columns_assumed"}
    response = post(http, content, CSV, CSV, **options)
    assert json.loads(response.headers["x-forecast-head"])["audit"] == answer["audit"]
    table = pa.table({"shop": ["a", "a"], "sales": [1.0, 2.0], "price": [3.0, 4.0]})
    named: dict[str, Any] = {"id_column": "shop", "target_column": "sales"}
    assert post(http, write_stream(table), ARROW, **named).json()["forecasts"][0]["id"] == "a"
    assert_problem(post(http, write_stream(table), ARROW), 422, "missing_column")
    extra = pa.table({"y": [1.0, 2.0], "price": [3.0, 4.0]})
    assert_problem(post(http, write_stream(extra), ARROW), 422, "unknown_column")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", JSON),
        ("application/xml", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("text/csv, */*;q=0.1", CSV),
        ("text/csv;q=0.2, application/vnd.apache.parquet;q=0.9", PARQUET),
        ("application/json;q=0, */*", NDJSON),
        ("TEXT/CSV", CSV),
        ("*/*, text/csv", CSV),
        (";;q=,=", JSON),
    ],
)
def test_the_answer_is_what_the_client_likes_best(http: httpx.Client, accept: str, expected: str) -> None:
    response = http.post("/forecast", json={"model": "lstm", "series": [1, 2, 3]}, headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == expected


@pytest.mark.parametrize(
    ("query", "code", "pointer"),
    [
        ("horizn=3", "unknown_field", "/horizn"),
        ("horizon=three", "wrong_type", "/horizon"),
        ("horizon=1e1", "wrong_type", "/horizon"),
        ("horizon=3&horizon=4", "conflicting_fields", "/horizon"),
        ("level=high", "wrong_type", "/level/0"),
        ("level=inf", "wrong_type", "/level/0"),
        ("quantiles=0.5,2", "out_of_bounds", "/quantiles/1"),
        ("mode=fast", "unknown_choice", "/mode"),
        ("non_negative=maybe", "wrong_type", "/non_negative"),
        ("series=1", "unknown_field", "/series"),
        ("decimal=,", "option_not_applicable", "/decimal"),
        ("fitted=true", "option_not_applicable", "/fitted"),
        ("freq=sometimes", "unknown_frequency", "/freq"),
    ],
)
def test_a_wrong_option_is_named(http: httpx.Client, query: str, code: str, pointer: str) -> None:
    headers = {"Content-Type": ARROW, "Accept": ARROW}
    response = http.post(f"/forecast?{query}", content=write_stream(long_table(SERIES)), headers=headers)
    assert_problem(response, 422, code, pointer)


NO_TABLES = {"empty": b"", "zeros": b"\x00" * 100, "ones": b"\xff" * 100, "JSON": b'{"series": [1, 2]}'}


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        *((ARROW, name) for name in (*NO_TABLES, "a third")),
        # Each takes a process to read; tests/datasets reads more of the kind without a server.
        *((media_type, name) for media_type in (PARQUET, CSV) for name in ("empty", "JSON")),
        (PARQUET, "a third"),
        *(seldom(media_type, name) for media_type in (PARQUET, CSV) for name in ("zeros", "ones")),
    ],
)
def test_what_is_no_table_of_its_type_is_refused(http: httpx.Client, media_type: str, name: str) -> None:
    whole = write(long_table(SERIES), media_type)
    content = NO_TABLES.get(name, whole[: len(whole) // 3])
    response = post(http, content, media_type)
    assert response.status_code in (400, 422), (content, response.text)
    assert_problem(response, response.status_code, response.json()["errors"][0]["code"])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_stream_is_refused_or_read_and_never_breaks_the_server(
    http: httpx.Client, data: st.DataObject
) -> None:
    as_lists = pa.table({"unique_id": list(SERIES), "y": list(SERIES.values())})
    body = bytearray(
        data.draw(
            st.sampled_from(
                [
                    write_stream(long_table(SERIES)),
                    write_stream(as_lists),
                    write_stream(as_lists, compression="zstd"),
                    write_stream(
                        long_table(SERIES).set_column(0, "unique_id", pa.array(["a"] * 14).dictionary_encode())
                    ),
                ]
            )
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 4))
        body[place : place + 4] = data.draw(
            st.binary(min_size=4, max_size=4) | st.sampled_from([b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff\xff\xff\xff"])
        )
    response = post(http, bytes(body), ARROW)
    assert response.status_code in (200, 413, 422), response.text


def test_a_column_that_takes_no_bytes_is_limited_by_its_length(http: httpx.Client) -> None:
    for n in (20_001, 2**40):
        body = write_stream(pa.table({"y": pa.nulls(10)}))
        long = body.replace(struct.pack("<q", 10), struct.pack("<q", n))
        assert_problem(post(http, long, ARROW), 422, "too_many_points")


def test_what_a_compressed_buffer_becomes_is_limited(http: httpx.Client) -> None:
    body = write_stream(pa.table({"y": np.zeros(2**17 + 1)}), compression="zstd")
    assert len(body) < 10_000
    assert post(http, body, ARROW).status_code in (413, 422)
    wide = write_stream(pa.table({f"c{i}": np.zeros(10_000) for i in range(20)}), compression="zstd")
    assert_problem(post(http, wide, ARROW), 413, "body_too_large")


def test_the_limits_of_bodies_hold_for_tables(http: httpx.Client) -> None:
    many_series: Series = {f"s{i}": [1.0, 2.0] for i in range(1001)}
    many_values: Series = {"a": [1.0] * 20_001}
    for media_type in (ARROW, PARQUET, CSV):
        assert_problem(post(http, write(long_table(many_series), media_type), media_type), 422, "too_many_series")
        long = post(http, write(long_table(many_values, times=False), media_type), media_type)
        assert long.json()["errors"][0]["code"] == "too_many_points"
        assert post(http, b"a" * (2**20 + 1), media_type).status_code == 413


@pytest.mark.parametrize(
    ("column", "code"),
    [
        (pa.array(["1", "2"]), "not_a_number"),
        (pa.array([True, False]), "not_a_number"),
        (pa.array([{"a": 1}, {"a": 2}]), "not_a_number"),
        (pa.array([1.0, math.inf]), "out_of_range"),
        (pa.array([1.0, 1e300]), "out_of_range"),
        (pa.array([["a"], ["b"]]), "not_a_number"),
        (pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([1.0])), "not_a_number"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_values_of_another_kind_are_refused(http: httpx.Client, column: Any, code: str) -> None:
    assert_problem(post(http, write_stream(pa.table({"y": column})), ARROW), 422, code)


def test_a_row_of_lists_needs_an_id_of_its_own(http: httpx.Client) -> None:
    table = pa.table({"unique_id": ["a", "b", "a"], "y": [[1.0, 2], [3.0, 4], [5.0, 6]]})
    document = assert_problem(post(http, write_stream(table), ARROW), 422, "duplicate_id", "/unique_id/2")
    assert document["errors"][0]["message"].startswith("Rows 1 and 3 have the same unique_id.")
    table = pa.table({"unique_id": ["a"], "y": [[1.0, 2]], "start": ["2026-01-05"]})
    assert_problem(post(http, write_stream(table), ARROW), 422, "missing_field", "/freq")
    dated = post(http, write_stream(table), ARROW, freq="D", horizon=1).json()["forecasts"]
    assert dated[0]["timestamps"] == ["2026-01-07"]


def test_a_table_needs_a_key_where_there_are_keys(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path, api_keys="secret") as http:
        body = write_stream(long_table(SERIES))
        assert post(http, body, ARROW, ARROW).status_code == 401
        http.headers["Authorization"] = "Bearer secret"
        assert read(post(http, body, ARROW, ARROW)).num_rows == 20


@pytest.mark.parametrize("model", ["lstm", "whole", "stepwise", "vector"])
@pytest.mark.parametrize("flawed", [None, math.nan, 1e-42])
def test_many_series_of_one_calendar_have_the_numbers_that_each_has_alone(
    http: httpx.Client, model: str, flawed: float | None
) -> None:
    values = np.random.default_rng(1).normal(5, 10, (600, 12))
    if flawed is not None:
        values[300] = flawed
    series: Series = {f"s{i}": [None if math.isnan(v) else v for v in row] for i, row in enumerate(values.tolist())}
    asked: list[dict[str, Any]] = [{"horizon": 7}, {"horizon": 7, "non_negative": True}]
    for options in asked:
        body = write_stream(long_table(series))
        table = read(post(http, body, ARROW, ARROW, model=model, **options))
        answer = post(http, body, ARROW, model=model, **options).json()["forecasts"]
        expected = native(http, series, model=model, **options)
        if flawed is not None:
            # By its number here, by its id there.
            assert expected[300]["error"].pop("pointer") == "/series/s300"
            assert answer[300]["error"].pop("pointer") == "/series/300"
        assert answer == expected
        rows = table.to_pylist()
        assert [row["unique_id"] for row in rows if row["forecast"] is not None] == [
            forecast["id"] for forecast in expected for _ in forecast.get("values", ())
        ]
        assert [str(row["ds"])[:10] for row in rows if row["ds"] is not None] == [
            stamp for forecast in expected for stamp in forecast.get("timestamps", ())
        ]
        wanted = [value for forecast in expected for value in forecast.get("values", [None])]
        np.testing.assert_allclose(
            np.array([row["forecast"] for row in rows], float), np.array(wanted, float), rtol=1e-6, atol=1e-6
        )
        lines = post(http, body, ARROW, NDJSON, model=model, **options).text.splitlines()
        assert [json.loads(line) for line in lines[1:]][301:] == expected[301:]
