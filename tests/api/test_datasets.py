"""Uploads on a real server: good files, bad files, forecasts from them, and what is left of each on disk."""

import gzip
import io
import json
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.datasets.dataset_ids import name_inline
from service.datasets.store import DatasetStore
from service.domain.panel import Panel
from service.errors import DatasetNotFound
from tests.api.server import assert_problem, client, wait_until

CSV = "text/csv"
READER = b"service.datasets.reader"
PARQUET = "application/vnd.apache.parquet"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def http(stored_kinds: Path, state: Path) -> Iterator[httpx.Client]:
    limits = {"max_upload_bytes": 60 * 2**20, "max_dataset_points": 2_000_000, "max_dataset_series": 1000}
    with client(stored_kinds, state, **limits) as http:
        http.timeout = httpx.Timeout(120)
        yield http


@pytest.fixture(autouse=True)
def _nothing_is_left_of_what_was_refused(http: httpx.Client, state: Path) -> Iterator[None]:
    yield
    assert http.get("/healthz").status_code == 200
    folder = state / "datasets"
    kept = {path.name for path in folder.glob("[0-9a-f]*")} if folder.exists() else set()
    assert kept == {one["id"] for one in http.get("/datasets", params={"limit": 1000}).json()["datasets"]}
    assert not list((folder / ".staging").glob("*"))


def post(http: httpx.Client, content: bytes, media_type: str = CSV, **headers: str) -> httpx.Response:
    return http.post("/datasets", content=content, headers={"Content-Type": media_type, **headers})


def kept(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/datasets/{answer['id']}"
    return answer


def keep(http: httpx.Client, series: str, values: list[float]) -> dict[str, Any]:
    """Daily values as an upload of JSON, for which no process needs to be started."""
    return kept(http.post("/datasets", json=daily(series, values)))


def daily(series: str, values: list[float]) -> dict[str, Any]:
    return {"series": {series: values}, "freq": "D", "start": "2024-01-01"}


def codes(answer: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {(finding["code"], finding["id"]) for finding in answer["audit"]}


def to_csv(rows: list[tuple[Any, ...]], header: str = "unique_id,ds,y") -> bytes:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]).encode()


def to_parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def days(n: int, start: str = "2024-01-01") -> list[str]:
    return [str(day) for day in np.arange(start, np.datetime64(start) + n, dtype="datetime64[D]")]


def test_an_upload_is_kept_listed_shown_and_deleted(http: httpx.Client) -> None:
    answer = kept(post(http, to_csv([("a", day, i) for i, day in enumerate(days(10))])))
    assert (answer["n_series"], answer["n_points"], answer["freq"], answer["audit"]) == (1, 10, "D", [])
    assert http.get(f"/datasets/{answer['id']}").json() == answer
    listed = http.get("/datasets").json()["datasets"]
    assert listed[0] == {**{key: answer[key] for key in answer if key != "audit"}, "n_findings": 0}
    second = keep(http, "b", [0, 1, 2, 3])
    first_page = http.get("/datasets", params={"limit": 1}).json()
    assert [one["id"] for one in first_page["datasets"]] == [second["id"]]
    next_page = http.get("/datasets", params={"limit": 1, "cursor": first_page["next_cursor"]}).json()
    assert [one["id"] for one in next_page["datasets"]] == [answer["id"]]
    for dataset in (answer, second):
        assert http.delete(f"/datasets/{dataset['id']}").status_code == 204
        assert_problem(http.get(f"/datasets/{dataset['id']}"), 404, "dataset_not_found")
        assert_problem(http.delete(f"/datasets/{dataset['id']}"), 404, "dataset_not_found")


@pytest.mark.parametrize("name", ["x", "inline-" + 32 * "0", "..%2f..", 32 * "0"])
def test_ids_that_are_none_are_not_found(http: httpx.Client, name: str) -> None:
    assert http.get(f"/datasets/{name}").status_code == 404
    assert_problem(http.get("/datasets", params={"cursor": name}), 422, "bad_cursor")
    assert_problem(http.post("/forecast", json={"model": "lstm", "dataset": name}), 404, "dataset_not_found")


def test_csv_parquet_json_and_gzip_of_the_same_series_give_the_same_forecasts(http: httpx.Client) -> None:
    values = [3.5, 1.25, 4.0, 1.5, 5.0, 9.0]
    rows = [("a", day, value) for day, value in zip(days(6), values, strict=True)]
    german = ["\ufeffds;y;unique_id", *(f"{day};{value};a".replace(".", ",") for _, day, value in rows)]
    files = [
        post(http, to_csv(rows)),
        post(http, gzip.compress(to_csv(rows)), **{"Content-Encoding": "gzip"}),
        post(http, "\r\n".join(german).encode()),
        post(http, to_parquet(unique_id=6 * ["a"], ds=np.array(days(6), "datetime64[us]"), y=values), PARQUET),
        http.post("/datasets", json={"series": {"a": values}, "freq": "D", "start": "2024-01-01"}),
    ]  # fmt: skip
    answers = []
    for response in files:
        dataset = kept(response)
        assert dataset["freq"] == "D"
        answers.append(http.post("/forecast", json={"model": "lstm", "dataset": dataset["id"]}).json()["forecasts"])
    assert all(answer == answers[0] for answer in answers)
    posted = {"model": "lstm", "series": {"a": values}, "freq": "D", "start": "2024-01-01"}
    assert http.post("/forecast", json=posted).json()["forecasts"] == answers[0]
    assert answers[0][0]["timestamps"][0] == "2024-01-07"


def test_gaps_nulls_doubles_and_disorder_are_mended_and_told(http: httpx.Client) -> None:
    day = days(8)
    rows: list[tuple[Any, ...]] = [
        ("a", day[0], 1),
        ("a", day[3], 4),
        ("a", day[1], 9),
        ("a", day[1], 2),
        ("a", day[5], ""),
    ]
    rows += [("b", one, 7) for one in day]
    answer = kept(post(http, to_csv([*rows, ("a", day[4], 5), ("a", day[6], 7)])))
    assert codes(answer) == {
        ("not_sorted", "a"), ("duplicate_stamps", "a"), ("gaps", "a"), ("missing_values", "a"), ("constant", "b"),
    }  # fmt: skip
    request = {"model": "lstm", "dataset": answer["id"], "missing": "interpolate"}
    forecasts = http.post("/forecast", json=request).json()["forecasts"]
    posted = {"model": "lstm", "series": [[1, 2, None, 4, 5, None, 7], 8 * [7]], "freq": "D", "start": day[0]}
    expected = http.post("/forecast", json=posted).json()["forecasts"]
    assert [one["values"] for one in forecasts] == [one["values"] for one in expected]
    assert [one["timestamps"] for one in forecasts] == [one["timestamps"] for one in expected]


def test_months_and_wall_times_over_a_clock_change_stay_regular(http: httpx.Client) -> None:
    ends = ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31", "2024-07-31"]
    answer = kept(post(http, to_csv([("a", end, i) for i, end in enumerate(ends)])))
    assert (answer["freq"], answer["n_points"], codes(answer)) == ("ME", 7, {("gaps", "a")})
    spring = [f"2024-03-{day}T00:00:00+{'01' if day < 32 else '02'}:00" for day in range(28, 32)]
    spring += [f"2024-04-0{day}T00:00:00+02:00" for day in range(1, 5)]
    answer = kept(post(http, to_csv([("a", stamp, i) for i, stamp in enumerate(spring)])))
    assert (answer["freq"], answer["n_points"], codes(answer)) == ("D", 8, {("mixed_offsets", "a")})
    forecast = http.post("/forecast", json={"model": "lstm", "dataset": answer["id"], "horizon": 1}).json()
    assert forecast["forecasts"][0]["timestamps"] == ["2024-04-05T00:00:00"]


def test_series_without_a_place_in_time_are_forecast_without_time_stamps(http: httpx.Client) -> None:
    odd = [("odd", f"2024-01-0{i}T0{i * i % 7}:00", i) for i in range(1, 9)]
    alone = kept(post(http, to_csv(odd)))
    request = {"model": "lstm", "horizon": 2}
    [forecast] = http.post("/forecast", json={**request, "dataset": alone["id"]}).json()["forecasts"]
    assert "timestamps" not in forecast
    refused = http.post("/forecast", json={**request, "dataset": alone["id"], "freq": "D"})
    assert_problem(refused, 422, "missing_field", "/start")
    mixed = kept(post(http, to_csv([*odd, *(("a", day, i) for i, day in enumerate(days(6)))])))
    forecasts = http.post("/forecast", json={**request, "dataset": mixed["id"]}).json()["forecasts"]
    assert [one.get("timestamps") for one in forecasts] == [None, ["2024-01-07", "2024-01-08"]]
    assert forecasts[0]["values"] == forecast["values"]


def test_a_zone_by_name_goes_on_over_its_clock_changes(http: httpx.Client) -> None:
    first = np.datetime64("2024-03-29T23:00")
    stamps = pa.array(
        np.arange(first, first + np.timedelta64(20, "h"), np.timedelta64(1, "h")).astype("datetime64[us]")
    )
    zoned = stamps.cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us", tz="Europe/Berlin"))
    answer = kept(post(http, to_parquet(ds=zoned, y=list(range(20))), PARQUET))
    assert (answer["freq"], answer["audit"]) == ("h", [])
    forecast = http.post("/forecast", json={"model": "lstm", "dataset": answer["id"], "horizon": 10}).json()
    stamps_ahead = forecast["forecasts"][0]["timestamps"]
    assert stamps_ahead[5:7] == [
        "2024-03-31T01:00:00+01:00[Europe/Berlin]",
        "2024-03-31T03:00:00+02:00[Europe/Berlin]",
    ]


BAD: dict[str, tuple[bytes, str, str, str | None]] = {
    "empty": (b"", CSV, "empty", ""),
    "header alone": (b"unique_id,ds,y\n", CSV, "empty", ""),
    "not numeric": (to_csv([("a", "2024-01-01", 1), ("a", "2024-01-02", "twelve")]), CSV, "not_a_number", "/y/1"),
    "true and false": (to_csv([("a", "2024-01-01", "true")]), CSV, "not_a_number", "/y/0"),
    "infinite": (to_csv([("a", "2024-01-01", "inf")]), CSV, "out_of_range", "/y/0"),
    "beyond 32 bits": (to_csv([("a", "2024-01-01", 1e300)]), CSV, "out_of_range", "/y/0"),
    "another column": (b"unique_id,ds,y,price\na,2024-01-01,1,2\n", CSV, "unknown_column", "/columns"),
    "a column twice": (b"y,y\n1,2\n", CSV, "duplicate_column", "/columns"),
    "no values": (b"unique_id,ds\na,2024-01-01\n", CSV, "missing_column", "/columns"),
    "too many cells": (b"unique_id,ds,y\na,2024-01-01,1,2\n", CSV, "unreadable_file", ""),
    "no id": (to_csv([("", "2024-01-01", 1)]), CSV, "missing_value", "/unique_id/0"),
    "no time": (to_csv([("a", "", 1)]), CSV, "bad_timestamp", "/ds/0"),
    "no such day": (to_csv([("a", "2024-02-30", 1)]), CSV, "bad_timestamp", "/ds/0"),
    "words for time": (to_csv([("a", "yesterday", 1)]), CSV, "bad_timestamp", "/ds/0"),
    "mixed zones": (to_csv([("a", "2024-01-01T00Z", 1), ("a", "2024-01-02T00:00", 2)]), CSV, "mixed_zones", "/ds/1"),
    "Russian in an old encoding": ("unique_id,y\nМосква,1\n".encode("cp1251"), CSV, "unreadable_file", ""),
    "rubbish": (bytes(range(255, 10, -1)) * 100, CSV, "unreadable_file", ""),
    "rubbish as Parquet": (bytes(range(256)) * 100, PARQUET, "unreadable_file", ""),
    "CSV as Parquet": (to_csv([("a", "2024-01-01", 1)]), PARQUET, "unreadable_file", ""),
    "Parquet as CSV": (to_parquet(y=[1.0, 2.0]), CSV, "unreadable_file", ""),
    "half a Parquet file": (to_parquet(y=list(range(1000)))[:-100], PARQUET, "unreadable_file", ""),
    "a comma that is no point": (b"unique_id;ds;y\na;2024-01-01;1,5\na;2024-01-02;much\n", CSV, "not_a_number", "/y/1"),
    "nested Parquet": (to_parquet(y=[[1.0], [2.0]]), PARQUET, "not_a_number", "/y"),
    "text in Parquet": (to_parquet(y=["1", "two"]), PARQUET, "not_a_number", "/y/1"),
    "numbers for time": (to_parquet(y=[1.0], ds=[5]), PARQUET, "bad_timestamp", "/ds/0"),
    "too many rows": (b"y\n" + b"1\n" * 2_000_001, CSV, "too_many_points", ""),
    "too many series": (to_csv([(i, "2024-01-01", 1) for i in range(1001)]), CSV, "too_many_series", ""),
}  # fmt: skip


# One of each reader and of each way to be refused; each case is tested without a server in tests/datasets.
BAD_QUICKLY = {"empty", "not numeric", "another column", "mixed zones", "rubbish", "CSV as Parquet", "too many rows"}


def seldom(names: Iterable[str], quick: set[str]) -> list[Any]:
    return [pytest.param(name, marks=() if name in quick else pytest.mark.exhaustive) for name in names]


@pytest.mark.parametrize("name", seldom(BAD, BAD_QUICKLY))
def test_a_bad_file_is_refused_by_name(http: httpx.Client, name: str) -> None:
    content, media_type, code, pointer = BAD[name]
    assert_problem(post(http, content, media_type), 422, code, pointer)


def test_a_parquet_bomb_is_refused_before_it_unfolds(http: httpx.Client) -> None:
    many = to_parquet(y=pa.array(np.zeros(5_000_000)))
    assert len(many) < 2**20
    assert_problem(post(http, many, PARQUET), 422, "too_many_points", "")
    # Few rows, of which each names a text of 100 MB once it is no longer a dictionary's.
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200, np.int32)), pa.array([100 * 2**20 * "x"]))
    sink = io.BytesIO()
    pq.write_table(pa.table({"unique_id": text, "y": np.zeros(200)}), sink, compression="zstd")
    assert len(sink.getvalue()) < 2**20
    response = post(http, sink.getvalue(), PARQUET)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["code"] in ("unreadable_file", "out_of_bounds", "too_many_points")


AUDITED: dict[str, tuple[bytes, set[tuple[str, str | None]]]] = {
    "all null": (to_csv([("a", day, "") for day in days(9)]), {("all_null", "a")}),
    "all constant": (to_csv([("a", day, 5) for day in days(9)]), {("constant", "a")}),
    "one point": (to_csv([("a", "2024-01-01", 5)]), {("short", "a")}),
    "no times": (b"y\n1\n2\n3\n4\n", {("no_times", None)}),
    "irregular": (
        to_csv([("a", f"2024-01-{at}:07:00", 1.5 * i) for i, at in enumerate(("01T03", "02T09", "05T01", "06T02"))]),
        {("irregular", "a")},
    ),
    "mixed frequency": (
        to_csv([("a", day, i) for i, day in enumerate(days(9))] + [("b", f"2024-0{i}-01", i) for i in range(1, 8)]),
        {("mixed_frequency", None)},
    ),
    "a stamp a century off": (
        to_csv([("a", day, i) for i, day in enumerate([*days(30), "2199-01-01"])]),
        {("gaps", "a")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", seldom(AUDITED, {"no times", "mixed frequency"}))
def test_odd_series_are_kept_and_told(http: httpx.Client, name: str) -> None:
    content, expected = AUDITED[name]
    answer = kept(post(http, content))
    assert codes(answer) == expected
    assert all(finding["message"].endswith(".") for finding in answer["audit"])


def test_very_many_findings_are_cut_with_a_count(http: httpx.Client) -> None:
    rows = [(i, day, value) for i in range(900) for day, value in zip(days(9)[::2], (5, "", 5, 5, 5), strict=True)]
    answer = kept(post(http, to_csv([*rows, *((i, days(12)[-1], 5) for i in range(900))])))
    assert len(answer["audit"]) == 1000
    assert answer["audit"][-1]["code"] == "more"


def test_an_upload_over_the_limit_is_refused_also_where_gzip_hides_it(http: httpx.Client) -> None:
    large = b"y\n" + b"1\n" * (31 * 2**20)
    assert_problem(post(http, large), 413, "upload_too_large")
    assert_problem(post(http, gzip.compress(large), **{"Content-Encoding": "gzip"}), 413, "upload_too_large")


def test_posted_series_are_counted_as_well(http: httpx.Client) -> None:
    assert_problem(http.post("/datasets", json={"series": 1001 * [[1]]}), 422, "too_many_series")


def test_other_media_types_and_broken_gzip_are_refused(http: httpx.Client) -> None:
    assert_problem(post(http, b"y\n1\n", "application/xml"), 415, "unsupported_media_type")
    assert_problem(post(http, b"y\n1\n", **{"Content-Encoding": "br"}), 415, "unsupported_media_type")
    assert_problem(post(http, b"no gzip", **{"Content-Encoding": "gzip"}), 400, "malformed_body")
    assert_problem(http.post("/datasets", json={"series": []}), 422, "empty", "/series")
    assert_problem(http.post("/datasets", json={"series": [1, "2"]}), 422, "wrong_type")
    assert_problem(
        http.post("/datasets", json={"series": [1], "freq": "X", "start": "2024-01-01"}), 422, "unknown_frequency"
    )


def test_options_of_a_file_decide_and_are_checked(http: httpx.Client) -> None:
    content = b"day,store,price,sold\n" + b"".join(
        b"%s,%d,3,1.025\n" % (day.encode(), store) for day in days(5) for store in (1, 2)
    )
    columns = {"id_column": "store", "time_column": "day", "target_column": "sold"}

    def send(**options: str | list[str]) -> httpx.Response:
        return http.post("/datasets", content=content, headers={"Content-Type": CSV}, params=options)

    assert_problem(send(), 422, "unknown_column", "/columns")
    answer = kept(send(**columns, thousands="point"))
    assert (answer["n_series"], answer["freq"]) == (2, "D")
    assert codes(answer) == {("columns_assumed", None), ("constant", "1"), ("constant", "2")}
    forecast = http.post("/forecast", json={"model": "lstm", "dataset": answer["id"]}).json()["forecasts"][0]
    assert forecast["timestamps"][0] == "2024-01-06"
    assert "1.025" in json.dumps(kept(send(**columns, decimal="."))["audit"])
    assert_problem(send(target_column="sale"), 422, "unknown_column", "/target_column")
    assert_problem(send(decimal="x"), 422, "unknown_choice", "/decimal")
    assert_problem(send(format="broad"), 422, "unknown_choice", "/format")
    assert_problem(send(decimal=[".", ","]), 422, "conflicting_fields", "/decimal")
    misspelt = assert_problem(send(decimel=","), 422, "unknown_field", "/decimel")
    assert "'decimal'" in misspelt["errors"][0]["message"]
    refused = http.post("/datasets", json={"series": [1]}, params={"decimal": ","})
    assert_problem(refused, 422, "option_not_applicable", "/decimal")


def test_uncertain_digits_are_refused_with_both_readings_over_the_wire(http: httpx.Client) -> None:
    problem = assert_problem(post(http, b"y\n975\n1.000\n1.025\n"), 422, "not_a_number", "/y/1")
    message = problem["errors"][0]["message"]
    assert "is it 1000 or 1.000?" in message
    assert "line 3" in message
    answer = kept(post(http, b'y\n975\n"1,000"\n"1,025"\n'))
    assert ("digits_assumed", None) in codes(answer)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ny\n1\r\n--x--'),
        ("application/x-www-form-urlencoded", b"y1"),
    ],
)
def test_a_form_is_told_how_a_file_is_sent(http: httpx.Client, media_type: str, body: bytes) -> None:
    message = assert_problem(post(http, body, media_type), 415, "unsupported_media_type")["detail"]
    assert "--data-binary @FILE" in message
    assert "Content-Type: text/csv" in message
    forecast = http.post("/forecast", content=body, headers={"Content-Type": media_type})
    assert "--data-binary @FILE" in assert_problem(forecast, 415, "unsupported_media_type")["detail"]


def test_a_body_that_lost_its_line_breaks_is_told_how_a_file_is_sent(http: httpx.Client) -> None:
    rows = "".join(f"a,{day},{i}" for i, day in enumerate(days(20)))
    problem = assert_problem(post(http, f"unique_id,ds,y{rows}".encode()), 422, "unreadable_file", "")
    assert "--data-binary" in problem["detail"]


def test_a_lone_surrogate_is_refused_in_words(http: httpx.Client) -> None:
    content = b'{"series": {"\\ud800": [1, 2]}}'
    response = http.post("/datasets", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert "surrogates not allowed" not in response.text
    assert_problem(post(http, b"unique_id,y\n\xed\xa0\x80,1\n"), 422, "unreadable_file", "")


def test_a_forecast_names_either_series_or_an_upload(http: httpx.Client) -> None:
    assert_problem(http.post("/forecast", json={"series": [1], "dataset": "x"}), 422, "conflicting_fields", "/dataset")


def test_an_upload_that_a_job_reads_is_not_deleted(http: httpx.Client) -> None:
    rng = np.random.default_rng(0)
    dataset = keep(http, "a", rng.random(80).round(3).tolist())
    job = http.post("/train", json={"architecture": "gru", "data": {"kind": "dataset", "id": dataset["id"]}}).json()
    assert job["request"]["data"]["id"] == dataset["id"]
    assert_problem(http.delete(f"/datasets/{dataset['id']}"), 409, "dataset_in_use")
    assert http.post(f"/jobs/{job['id']}/cancel").status_code == 202
    assert http.delete(f"/datasets/{dataset['id']}").status_code == 204


def test_a_client_that_goes_away_half_way_leaves_nothing(http: httpx.Client, state: Path) -> None:
    with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as connection:
        connection.sendall(
            b"POST /datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
            b"Content-Length: 5000000\r\n\r\ny\n" + 10_000 * b"1\n"
        )
        wait_until(lambda: staged(state) > 0)
    wait_until(lambda: staged(state) == 0)


def test_a_client_that_does_not_wait_for_the_reader_leaves_nothing(http: httpx.Client, state: Path) -> None:
    body = b"y\n" + 1_000_000 * b"1\n"
    n_before = len(http.get("/datasets").json()["datasets"])
    with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as connection:
        head = b"POST /datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: written(state) == len(body))
    wait_until(lambda: staged(state) == 0)
    assert len(http.get("/datasets").json()["datasets"]) == n_before


def staged(state: Path) -> int:
    return len(list((state / "datasets" / ".staging").glob("*")))


def written(state: Path) -> int:
    """Bytes of the only upload in progress."""
    return sum(path.stat().st_size for path in (state / "datasets" / ".staging").glob("*/upload"))


def reading_processes() -> list[int]:
    """Processes that read an upload, of the server in this process."""
    children = (path.read_text().split() for path in Path("/proc/self/task").glob("*/children"))
    return [
        int(child) for some in children for child in some if READER in (Path("/proc") / child / "cmdline").read_bytes()
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_server_answers_others_while_it_reads_an_upload(http: httpx.Client) -> None:
    content = b"unique_id,y\n" + b"".join(b"%d,%d\n" % (i % 900, i % 7) for i in range(500_000))
    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(post, http, content)
        wait_until(reading_processes)
        (reader,) = reading_processes()
        # Nothing is read before the others have their answers.
        os.kill(reader, signal.SIGSTOP)
        try:
            assert [http.get("/healthz").status_code for _ in range(10)] == [200] * 10
            assert http.post("/forecast", json={"model": "lstm", "series": [1, 2, 3]}).status_code == 200
            assert not uploading.done()
        finally:
            os.kill(reader, signal.SIGCONT)
        assert kept(uploading.result())["n_points"] == 500_000


def test_uploads_expire_when_the_server_starts(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path) as http:
        dataset = kept(post(http, b"y\n1\n"))
    folder = tmp_path / "datasets" / dataset["id"]
    day_ago = time.time() - 86_400
    os.utime(folder, (day_ago, day_ago))
    with client(stored_kinds, tmp_path, dataset_days=2) as http:
        assert http.get(f"/datasets/{dataset['id']}").status_code == 200
    with client(stored_kinds, tmp_path, dataset_days=0.5) as http:
        wait_until(lambda: not folder.exists())
        assert_problem(http.get(f"/datasets/{dataset['id']}"), 404, "dataset_not_found")


@pytest.mark.exhaustive
def test_ten_million_points_are_kept_where_the_limit_allows(stored_kinds: Path, tmp_path: Path) -> None:
    n = 10_000_000
    file = to_parquet(
        y=np.random.default_rng(0).random(n, np.float32),
        unique_id=pa.array(["a", "b"]).take(pa.array(np.arange(n) % 2)),
    )
    with client(stored_kinds, tmp_path) as http:
        http.timeout = httpx.Timeout(120)
        answer = kept(post(http, file, PARQUET))
    assert (answer["n_series"], answer["n_points"], json.dumps(answer["audit"]).count("no_times")) == (2, n, 1)


@pytest.mark.parametrize("media_type", [CSV, "application/json"])
def test_an_upload_that_is_sent_again_with_its_key_is_kept_once(http: httpx.Client, media_type: str) -> None:
    def body(last: int) -> bytes:
        table = f"ds,y\n2026-01-01,1\n2026-01-02,2\n2026-01-03,{last}\n2026-01-04,4\n"
        series = {"series": [1, 2, 3, 4][:last], "freq": "D", "start": "2026-01-01"}
        return table.encode() if media_type == CSV else json.dumps(series).encode()

    headers = {"Idempotency-Key": f"once {media_type}"}
    first = kept(post(http, body(3), media_type, **headers))
    before = len(http.get("/datasets", params={"limit": 1000}).json()["datasets"])
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(lambda _: kept(post(http, body(3), media_type, **headers)), range(2)))
    assert again == [first] * 2
    assert len(http.get("/datasets", params={"limit": 1000}).json()["datasets"]) == before
    assert kept(post(http, body(3), media_type))["id"] != first["id"]


def test_the_key_of_an_upload_is_not_for_another_one(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "one upload"}
    kept(post(http, b"y\n1\n2\n3\n", **headers))
    assert_problem(post(http, b"y\n1\n2\n3\n4\n", **headers), 409, "idempotency_key_reused")
    # Of as many points, with the same findings.
    assert_problem(post(http, b"y\n1\n2\n4\n", **headers), 409, "idempotency_key_reused")
    assert_problem(post(http, b"y\n1\n", **{"Idempotency-Key": "k" * 256}), 422, "bad_header", "/Idempotency-Key")


def test_uploads_with_one_key_that_arrive_together_are_one(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "together"}
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: kept(post(http, b"y\n1\n2\n3\n5\n", **headers)), range(2)))
    assert len({answer["id"] for answer in answers}) == 1


def put(http: httpx.Client, dataset: str, content: bytes, media_type: str = CSV, **headers: str) -> httpx.Response:
    return http.put(f"/datasets/{dataset}", content=content, headers={"Content-Type": media_type, **headers})


def replaced(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("media_type", [CSV, PARQUET, "application/json"])
def test_an_upload_gets_other_content_under_its_id(http: httpx.Client, media_type: str) -> None:
    older = keep(http, "z", [1, 1, 1])
    first = keep(http, "a", [*range(9)])
    newer = keep(http, "z", [2, 2, 2])
    content = {
        CSV: to_csv([("b", day, i) for i, day in enumerate(days(12))]),
        PARQUET: to_parquet(unique_id=["b"] * 12, ds=days(12), y=range(12)),
        "application/json": json.dumps(daily("b", [*range(12)])).encode(),
    }[media_type]
    answer = replaced(put(http, first["id"], content, media_type))
    assert (answer["id"], answer["n_series"], answer["n_points"]) == (first["id"], 1, 12)
    assert answer["created_at"] == first["created_at"] < answer["updated_at"]
    assert http.get(f"/datasets/{first['id']}").json() == answer
    [series] = http.get(f"/datasets/{first['id']}/series").json()["series"]
    assert (series["id"], series["values"]) == ("b", [*range(12)])
    # It keeps its place in the list.
    listed = [one["id"] for one in http.get("/datasets", params={"limit": 3}).json()["datasets"]]
    assert listed == [newer["id"], first["id"], older["id"]]


def test_a_replacement_that_is_refused_changes_nothing(http: httpx.Client) -> None:
    dataset = keep(http, "a", [*range(9)])
    for content, code in ((b"unique_id,ds,y\na,2024-01-01,x", "not_a_number"), (b"", "empty")):
        assert_problem(put(http, dataset["id"], content), 422, code)
    assert_problem(put(http, "0" * 32, to_csv([("a", "2024-01-01", 1)])), 404, "dataset_not_found")
    assert_problem(put(http, dataset["id"], b"{}", "application/xml"), 415, "unsupported_media_type")
    assert_problem(
        put(http, dataset["id"], b'{"series": [1], "decimal": ","}', "application/json"), 422, "unknown_field"
    )
    assert http.get(f"/datasets/{dataset['id']}").json() == dataset


def test_an_upload_is_replaced_only_if_it_is_as_it_was_seen(http: httpx.Client) -> None:
    response = http.post("/datasets", json=daily("a", [1] * 9))
    dataset, tag = kept(response), response.headers["etag"]
    assert http.get(f"/datasets/{dataset['id']}").headers["etag"] == tag
    second = put(http, dataset["id"], to_csv([("a", day, 2) for day in days(9)]), **{"If-Match": tag})
    replaced(second)
    assert second.headers["etag"] != tag
    third = to_csv([("a", day, 3) for day in days(9)])
    assert_problem(put(http, dataset["id"], third, **{"If-Match": tag}), 412, "precondition_failed")
    assert_problem(put(http, dataset["id"], third, **{"If-Match": "unquoted"}), 422, "bad_header", "/If-Match")
    assert http.get(f"/datasets/{dataset['id']}/series").json()["series"][0]["values"] == [2] * 9
    json_body = json.dumps(daily("a", [3] * 9)).encode()
    assert_problem(
        put(http, dataset["id"], json_body, "application/json", **{"If-Match": tag}), 412, "precondition_failed"
    )
    listed = {"If-Match": f'"x", {second.headers["etag"]}'}
    replaced(put(http, dataset["id"], json_body, "application/json", **listed))
    replaced(put(http, dataset["id"], json_body, "application/json", **{"If-Match": "*"}))


def test_a_replacement_that_is_sent_again_with_its_key_changes_nothing_more(http: httpx.Client) -> None:
    dataset = keep(http, "a", [1] * 9)
    again = {"Idempotency-Key": "night 7"}
    first = replaced(put(http, dataset["id"], to_csv([("a", day, 2) for day in days(9)]), **again))
    assert replaced(put(http, dataset["id"], to_csv([("a", day, 2) for day in days(9)]), **again)) == first
    other = put(http, dataset["id"], to_csv([("a", day, 3) for day in days(9)]), **again)
    assert_problem(other, 409, "idempotency_key_reused")
    assert http.get(f"/datasets/{dataset['id']}").json() == first


def test_readers_of_an_upload_that_is_replaced_get_the_old_or_the_new(http: httpx.Client) -> None:
    panels = [{"series": {str(i): [i] * 50 for i in range(start, start + 40)}} for start in (100, 200)]
    dataset = http.post("/datasets", json=panels[0]).json()["id"]
    wrong, done = [], False

    def read() -> int:
        n = 0
        while not done:
            response = http.get(f"/datasets/{dataset}/series", params={"limit": 100})
            n += 1
            if response.status_code == 409 and response.json()["errors"][0]["code"] == "dataset_replaced":
                continue
            series = response.json().get("series", [])
            firsts = {int(one["id"]) // 100 for one in series}
            if len(series) != 40 or len(firsts) != 1 or any(one["values"] != [int(one["id"])] * 50 for one in series):
                wrong.append(response.text[:300])
        return n

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for i in range(30):
            assert http.put(f"/datasets/{dataset}", json=panels[(i + 1) % 2]).status_code == 200
        done = True
        assert all(reader.result() for reader in readers)
    assert not wrong


def test_a_queued_job_keeps_what_it_was_submitted_with(http: httpx.Client, state: Path) -> None:
    series = {"a": [float(i % 7) for i in range(60)]}
    dataset = http.post("/datasets", json={"series": series}).json()["id"]
    body = {"architecture": "ridge", "name": "of-old", "data": {"kind": "dataset", "id": dataset}}
    job = http.post("/train", json=body).json()
    old = DatasetStore(state / "datasets").load(dataset, digest=job["request"]["data"]["digest"])
    assert http.put(f"/datasets/{dataset}", json={"series": {"a": [1.0] * 90}}).status_code == 200
    store = DatasetStore(state / "datasets")
    again = store.load(dataset, digest=job["request"]["data"]["digest"])
    assert again.digest() == old.digest() != store.load(dataset).digest()
    # What nobody reads any more goes after a while, and not before a request that has just read it has its job.
    assert http.post(f"/jobs/{job['id']}/cancel").status_code == 202
    assert http.put(f"/datasets/{dataset}", json={"series": {"a": [2.0] * 90}}).status_code == 200
    replaced_panel = Panel(("a",), (np.full(90, 1.0),), (None,), None)
    for age, is_kept in ((0, True), (3700, False)):
        now = time.time() - age
        os.utime(state / "datasets" / name_inline(replaced_panel.digest()), (now, now))
        store.drop_retired(math.inf)
        assert store.has(name_inline(replaced_panel.digest())) == is_kept
    with pytest.raises(DatasetNotFound, match="replaced"):
        store.load(dataset, digest=Panel(("a",), (np.full(90, 1.0),), (None,), None).digest())
