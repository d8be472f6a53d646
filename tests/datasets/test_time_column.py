"""Columns of times: each form by the same grammar as one text, by rows of the file, and at speed."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.datasets.time_column import Times, read_times
from service.domain.start_time import read_stamp
from service.errors import Flaw, InvalidRequest
from tests.domain.test_timestamps import FORMS


def flaw_of(column: pa.Array | pa.ChunkedArray, **options: Any) -> Flaw:
    with pytest.raises(InvalidRequest) as caught:
        read_times(column, **options)
    [flaw] = caught.value.flaws
    return flaw


def stamps(times: Times) -> list[str]:
    return [str(stamp.astype("datetime64[s]")).removesuffix("T00:00:00") for stamp in times.wall]


@pytest.mark.parametrize(("text", "wall", "offset"), FORMS, ids=[repr(text) for text, _, _ in FORMS])
def test_a_column_reads_every_form_as_one_text_is_read(text: str, wall: str, offset: int | None) -> None:
    for column in (pa.array([text, text]), pa.chunked_array([[text], [text]]), pa.array([text]).dictionary_encode()):
        times = read_times(column)
        assert set(times.wall.tolist()) == {np.datetime64(wall, "us").item()}
        assert (None if times.offsets is None else int(times.offsets[0])) == offset


def test_forms_that_are_each_certain_may_stand_in_one_column() -> None:
    times = read_times(
        pa.array(["2024-01-31", "20240201", "2 Feb 2024", " 2024-02-03 00:00", "2024-02-04T24:00", "Feb 2024"])
    )
    assert stamps(times) == ["2024-01-31", "2024-02-01", "2024-02-02", "2024-02-03", "2024-02-05", "2024-02-01"]
    assert times.findings == ()


def test_day_first_is_told_with_the_row_that_decides() -> None:
    times = read_times(pa.array(["05/03/2024", "05/03/2024", "13/03/2024"]))
    assert stamps(times) == ["2024-03-05", "2024-03-05", "2024-03-13"]
    assert times.findings == (
        ("times_assumed", "Dates are read with the day first, as '13/03/2024' in row 3 shows: it is 2024-03-13."),
    )


def test_what_nothing_decides_names_the_row_and_both_readings() -> None:
    flaw = flaw_of(pa.array(["02/02/2024", "05/03/2024"]), name="when/at", rows=np.array([3, 9]))
    assert (flaw.pointer, flaw.code) == ("/when~1at/8", "ambiguous_timestamp")
    assert "Row 9 holds '05/03/2024' in 'when/at'" in flaw.message
    assert "2024-03-05" in flaw.message
    assert "2024-05-03" in flaw.message


def test_contradicting_rows_are_both_named() -> None:
    flaw = flaw_of(pa.array(["31/01/2024", "01/31/2024"]))
    assert (flaw.pointer, flaw.code) == ("/ds/1", "mixed_timestamps")
    assert "Row 2 holds '01/31/2024'" in flaw.message
    assert "row 1 ('31/01/2024')" in flaw.message


@pytest.mark.parametrize(
    ("texts", "row"),
    [
        (["2024-01-01", "2024-02-30"], 2), (["2024-01-01", "tomorrow"], 2), (["2024-01-01", ""], 2),
        (["2024-01-01", "2024-01-02", "Total"], 3), (["0000-01-01", "2024-01-01"], 1), (["x", "2024-01-01"], 1),
        (["2024-01-01", "0000-12-31"], 2),
        (["31/01/2024", "32/01/2024"], 2), (["20240101", "20240132"], 2), (["1", "2"], 1), (["2024-01-01", None], 2),
        (["9999-12-31T23:59:00-01:00", "2024-01-01T00:00:00Z"], 1),
    ],
)  # fmt: skip
def test_a_text_that_is_no_time_is_named_with_its_row(texts: list[str | None], row: int) -> None:
    flaw = flaw_of(pa.array(texts))
    assert (flaw.pointer, flaw.code) == (f"/ds/{row - 1}", "bad_timestamp")
    assert flaw.message.startswith(f"Row {row} ")


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-01T00:00Z", "2024-01-02T00:00"],
        ["2024-01-01", "2024-01-02T00:00+01:00"],
        ["2024-01-01T00:00[Europe/Berlin]", "2024-01-02T00:00[Europe/Paris]"],
        ["2024-01-01T00:00[Europe/Berlin]", "2024-01-02T00:00Z"],
    ],
)
def test_zones_of_some_rows_alone_are_refused_with_both_rows(texts: list[str]) -> None:
    flaw = flaw_of(pa.array(texts))
    assert (flaw.pointer, flaw.code) == ("/ds/1", "mixed_zones")
    assert "Row 2" in flaw.message
    assert "row 1" in flaw.message


def test_a_zone_in_brackets_is_the_columns_and_knows_its_clock_changes() -> None:
    times = read_times(pa.array(["2024-03-30T12:00[Europe/Berlin]", "2024-03-31T12:00[Europe/Berlin]"]))
    assert times.zone == "Europe/Berlin"
    assert times.offsets is not None
    assert times.offsets.tolist() == [3600, 7200]
    assert flaw_of(pa.array(["2024-03-30T12:00[Mars/Base]"])).code == "bad_timestamp"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([20240131, 20240201], pa.int64()),
        pa.array([20240131, 20240201], pa.int32()),
        pa.array([45322, 45323], pa.int32()),
        pa.array([45322.0, 45323.0]),
        pa.array([1706659200, 1706745600], pa.int64()),
        pa.array([1706659200.0, 1706745600.0]),
        pa.array([1706659200000, 1706745600000]),
        pa.array([1706659200000000000, 1706745600000000000], pa.uint64()),
        pa.array([date(2024, 1, 31), date(2024, 2, 1)]),
        pa.array([datetime(2024, 1, 31), datetime(2024, 2, 1)], pa.timestamp("ns")),
    ],
    ids=str,
)
def test_numbers_and_times_of_parquet_are_read_as_their_texts_are(column: pa.Array) -> None:
    times = read_times(column)
    assert stamps(times) == ["2024-01-31", "2024-02-01"]
    if not pa.types.is_temporal(column.type):
        texts = pa.array([f"{value:.0f}" for value in column.to_pylist()])
        assert read_times(texts).wall.tolist() == times.wall.tolist()
    assert [code for code, _ in times.findings] == (["times_assumed"] if column[0].as_py() in (45322, 45322.0) else [])


@pytest.mark.parametrize("values", [[1, 2], [20240131, 17], [-5, 3], [float("nan"), 1.0], [1e30, 1.0], [0, 1]])
def test_numbers_that_are_no_times_are_named_with_their_row(values: Sequence[float]) -> None:
    flaw = flaw_of(pa.array(values))
    assert flaw.code == "bad_timestamp"
    assert flaw.message.startswith("Row ")


@given(
    st.lists(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), min_size=1, max_size=20),
    st.sampled_from(["", "Z", "+01:00", "-05:30", "+0100", "+01", " UTC", " "]),
    st.sampled_from(["auto", "seconds", "minutes", "hours", "milliseconds"]),
    st.sampled_from(["T", " "]),
)
def test_whole_columns_are_read_as_each_of_their_texts(
    moments: list[datetime], zone: str, timespec: str, between: str
) -> None:
    texts = [moment.isoformat(between, timespec) + zone for moment in moments]
    times = read_times(pa.array(texts))
    single = [read_stamp(text) for text in texts]
    assert times.wall.tolist() == [stamp.wall.item() for stamp in single]
    assert (None if times.offsets is None else times.offsets.tolist()) == (
        None if single[0].offset is None else [stamp.offset for stamp in single]
    )
