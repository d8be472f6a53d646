"""Files of the command line's user: the same reading as uploads, as the fields of a request."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.datasets.file_options import FileOptions
from service.datasets.local_file import JSON, find_media_type, read_request
from service.datasets.reader import CSV, PARQUET
from service.datasets.upload_limits import UploadLimits
from service.errors import InvalidRequest

LIMITS = UploadLimits(1000, 10)


def read(content: str | bytes, freq: str | None = None, options: FileOptions | None = None) -> dict[str, Any]:
    raw = content.encode() if isinstance(content, str) else content
    return read_request(raw, LIMITS, options or FileOptions(), freq).fields


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


DAYS = [{"id": "0", "values": [1.0, 2.0, 3.0], "start": "2024-01-01"}]


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ("1\n2.5\n\n-3\n", {"series": [{"id": "0", "values": [1.0, 2.5, None, -3.0]}]}),
        ("value\n1\n2\n", {"series": [{"id": "0", "values": [1.0, 2.0]}]}),
        ("unique_id;y\nn;1,5\n", {"series": [{"id": "n", "values": [1.5]}]}),
        ("ds,y\n2024-01-03,3\n2024-01-02,2\n2024-01-01,1\n", {"series": DAYS, "freq": "D"}),
        ("ds,y\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\nTotal,6\n", {"series": DAYS, "freq": "D"}),
        ("ds\ty\n2024-01-01\t1\n2024-01-02\t2\n2024-01-03\t3\n", {"series": DAYS, "freq": "D"}),
        (parquet(ds=["2024-01-01", "2024-01-02", "2024-01-03"], y=[1, 2, 3]), {"series": DAYS, "freq": "D"}),
        ("ds,y\n2024-01-01,1\n2024-01-02,\n2024-01-03,3\n2024-01-04,\n",
         {"series": [{"id": "0", "values": [1.0, None, 3.0, None], "start": "2024-01-01"}], "freq": "D"}),
        ("[1, 2, null]", {"series": [1, 2, None]}),
        ('{"a": [1], "b": [2]}', {"series": {"a": [1], "b": [2]}}),
        ('\ufeff {"series": [[1], [2]], "horizon": 3, "freq": "D"}',
         {"series": [[1], [2]], "horizon": 3, "freq": "D"}),
        ("[1, 2]".encode("utf-16"), {"series": [1, 2]}),
    ],
)  # fmt: skip
def test_every_file_becomes_a_request(content: str | bytes, fields: dict[str, Any]) -> None:
    assert read(content) == fields
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields


def test_a_frequency_beside_the_file_tells_what_few_stamps_leave_open() -> None:
    two = read("ds,y\n2024-01-02,2\n2024-01-01,1\n", freq="D")
    assert two == {"series": [{"id": "0", "values": [1.0, 2.0], "start": "2024-01-01"}], "freq": "D"}
    far = read("ds,y\n2024-01-01,1\n2024-01-22,2\n", freq="W")
    assert far == {"series": [{"id": "0", "values": [1, None, None, 2], "start": "2024-01-01"}], "freq": "W-MON"}
    one = read("ds,y\n2024-01-31 00:00:00+01:00,1\n", freq="ME")
    assert one == {"series": [{"id": "0", "values": [1], "start": "2024-01-31T00:00:00+01:00"}], "freq": "ME"}
    assert read("y\n1\n2\n", freq="D")["freq"] == "D"
    assert read("ds,y\n2024-01-01,1\n2024-01-08,2\n2024-01-15,3\n", freq="W")["freq"] == "W-MON"


@pytest.mark.parametrize(
    ("stamps", "freq", "words"),
    [
        (["2024-01-01", "2024-01-02", "2024-01-03"], "W", "of frequency 'D'"),
        (["2024-01-01", "2024-01-02", "2024-01-03"], "2D", "of frequency 'D'"),
        (["2024-01-01", "2024-01-08", "2024-01-15"], "D", "say 'W-MON'"),
        (["2024-01-01", "2024-01-08", "2024-01-15"], "W-SUN", "say 'W-MON'"),
        (["2024-01-01", "2024-01-03"], "W", "2024-01-03 is not on it"),
        (["2024-01-01", "2024-01-03"], "W-SUN", "Did you mean 'W-MON'"),
        (["2024-01-01", "2024-01-02T03:00", "2024-01-05", "2024-02-11T07:00"], "D", "2024-01-02T03:00:00 is not on it"),
        (["2024-01-01", "2024-01-02"], "daily", "no frequency"),
    ],
)
def test_a_frequency_that_the_time_stamps_contradict_is_refused(stamps: list[str], freq: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read("\n".join(["ds,y", *(f"{stamp},1" for stamp in stamps), ""]), freq=freq)
    [flaw] = caught.value.flaws
    assert (flaw.pointer, words in flaw.message) == ("/freq", True)


def test_series_of_which_some_have_no_place_in_time_come_without_times_and_a_word() -> None:
    rows = [f"a,2024-01-0{i},{i}" for i in range(1, 8)] + [f"b,2024-01-0{i}T0{i * i % 7}:00,{i}" for i in range(1, 8)]
    request = read_request("\n".join(["unique_id,ds,y", *rows]).encode(), LIMITS, FileOptions())
    assert request.fields.keys() == {"series"}
    assert any("without time stamps" in finding.message for finding in request.findings)


def test_what_reading_found_is_told() -> None:
    request = read_request(b"ds,y\n2024-01-03,3\n2024-01-02,2\n2024-01-01,1\nTotal,6\n", LIMITS, FileOptions())
    assert {"not_sorted", "leftover_rows"} <= {finding.code for finding in request.findings}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"y\n1\nx\n", "line 3 of the file"),
        (b"y\n1\ninf\n", "Row 2 holds 'inf'"),
        (b"ds,y\n2024-01-01,1\n2024-01-04,4,5\n", "line 3 of the file"),
        (b"[1,\n 2", "line 2: this is not JSON"),
        (b"[1, NaN]", "write null"),
        (b"[1, -Infinity]", "write null"),
        (b"[1, 1e999]", "finite"),
        (b'{"a": [1], "a": [2]}', "twice"),
        (b'["\xff"]', "UTF-8"),
        (b"[" * 100_000, "nested"),
    ],
)
def test_a_file_that_is_no_series_is_refused_by_its_line(content: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(content)
    assert words in caught.value.flaws[0].message


def test_options_of_tables_are_refused_for_json() -> None:
    with pytest.raises(InvalidRequest, match="decimal"):
        read("[1, 2]", options=FileOptions(decimal=","))


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(b"y\n1\n", CSV), (b"", CSV), (b" \n[1]", JSON), (b"\xef\xbb\xbf{}", JSON), (parquet(y=[1]), PARQUET)],
)
def test_the_content_says_what_it_is(content: bytes, media_type: str) -> None:
    assert find_media_type(content) == media_type
