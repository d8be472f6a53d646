"""A Parquet file that is read by files in place of memory gives what it would give in memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.datasets import parquet_stream
from service.datasets.file_options import FileOptions
from service.datasets.panel_files import load_facts, load_panel
from service.datasets.parquet_stream import Spools, stream_parquet
from service.datasets.quota import Quota
from service.datasets.reader import PARQUET, UPLOAD, read_file, read_into
from service.datasets.upload_limits import MOST_READ_WHOLE, UploadLimits
from service.domain.panel import Panel
from service.errors import Flaw, InvalidRequest

LIMITS = UploadLimits(100_000, 1000)
NO_LIMIT = 2**40
DAYS = np.datetime64("2024-01-01", "us") + np.arange(400) * np.timedelta64(1, "D")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_stream, "BATCH_ROWS", 7)
    monkeypatch.setattr(parquet_stream, "RELEASE_ROWS", 10)


# A panel and findings, or flaws.
Read = tuple[Any, ...]


def read(
    table: pa.Table,
    *,
    streamed: bool,
    rows: int = 1000,
    limits: UploadLimits = LIMITS,
    freq: str | None = None,
    options: FileOptions = FileOptions(),  # noqa: B008 # it is frozen
) -> Read:
    with TemporaryDirectory() as root:
        folder = Path(root) / "staging" / "one"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / UPLOAD, row_group_size=rows)
        quota = Quota(Path(root), NO_LIMIT)
        try:
            if not streamed:
                panel, findings, _ = read_file(folder / UPLOAD, PARQUET, limits, options, freq)
                return panel, tuple(findings)
            spools = Spools(folder)
            assert stream_parquet(folder / UPLOAD, spools, limits, options, quota, least_rows=0) is not None
            spools.close()
            read_into(folder, PARQUET, limits, options, quota, freq, least_rows=0)
        except InvalidRequest as error:
            return error.flaws
        assert sorted(path.name for path in folder.iterdir()) == ["facts.json", "reserved", UPLOAD, "values.npz"]
        return load_panel(folder), load_facts(folder).audit


def assert_same(table: pa.Table, rows: int, freq: str | None = None) -> Read:
    whole, parts = read(table, streamed=False, freq=freq), read(table, streamed=True, rows=rows, freq=freq)
    if isinstance(whole[0], Flaw) or isinstance(parts[0], Flaw):
        assert whole == parts
        return whole
    assert parts[1] == whole[1]
    assert (parts[0].ids, parts[0].starts, parts[0].freq) == (whole[0].ids, whole[0].starts, whole[0].freq)
    assert parts[0].digest() == whole[0].digest()
    return whole


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Series of days, with gaps, doubles, outliers and nulls, in any order of their rows."""
    rows: list[tuple[str, Any, float | None]] = []
    step = draw(st.sampled_from([1, 1, 7]))
    for name in draw(st.lists(st.sampled_from(["a", "b", "c ", "ü", "10"]), min_size=1, max_size=4, unique=True)):
        start, length = draw(st.integers(0, 20)), draw(st.integers(1, 40))
        days = DAYS[start : start + length * step : step]
        kept = draw(st.lists(st.sampled_from(range(length)), min_size=1, max_size=length, unique=True)) or [0]
        kept = sorted(kept) if draw(st.booleans()) else list(range(length))
        numbers = draw(st.lists(st.sampled_from([1.0, 2.0, 2.5, None, -999.0]), min_size=length, max_size=length))
        rows += [(name, days[i], numbers[i]) for i in kept]
        if draw(st.booleans()):
            rows.append((name, days[kept[0]], 3.0))
    if draw(st.booleans()):
        rows = draw(st.permutations(rows))
    ids, times, values = zip(*rows, strict=True)
    kind = draw(st.sampled_from(["us", "ns", "UTC", "Europe/Berlin", "date"]))
    column: Any = pa.array(np.array(times))
    if kind == "date":
        column = column.cast(pa.date32())
    elif kind in ("us", "ns"):
        column = column.cast(pa.timestamp(kind))
    else:
        column = column.cast(pa.timestamp("us", tz=kind))
    names = pa.array(ids)
    if draw(st.booleans()):
        names = names.dictionary_encode()
    return pa.table({"unique_id": names, "ds": column, "y": pa.array(values, pa.float64())})


@given(tables(), st.integers(1, 60))
def test_panel_and_audit_are_those_of_the_whole_file_whatever_its_row_groups(table: pa.Table, rows: int) -> None:
    assert_same(table, rows)


@given(tables(), st.sampled_from(["D", "7D", "W", "h"]))
def test_a_frequency_that_is_given_holds_or_is_refused_alike(table: pa.Table, freq: str) -> None:
    assert_same(table, 9, freq)


def test_the_order_of_the_rows_changes_nothing_but_the_order_of_the_series() -> None:
    ids = np.repeat(["a", "b", "c"], 50)
    values = np.random.default_rng(0).normal(size=150).cumsum()
    table = pa.table({"unique_id": ids, "ds": np.tile(DAYS[:50], 3), "y": values})
    by_time = table.take(pa.array(np.argsort(np.tile(np.arange(50), 3), kind="stable")))
    for form, rows in ((table, 1000), (by_time, 11)):
        panel, findings = assert_same(form, rows)
        assert findings == ()
        assert panel.ids == ("a", "b", "c")
        np.testing.assert_array_equal(np.concatenate(panel.values), values)
    backwards = table.take(pa.array(np.arange(149, -1, -1)))
    panel, findings = assert_same(backwards, 13)
    assert panel.ids == ("c", "b", "a")
    assert {finding.code for finding in findings} == {"not_sorted"}
    np.testing.assert_array_equal(panel.values[0], values[100:])


def test_an_outlier_is_found_in_its_row_wherever_its_series_lies() -> None:
    values = np.tile(np.arange(30.0) % 7, 2)
    values[40] = 1e6
    order = np.random.default_rng(1).permutation(60)
    table = pa.table({"unique_id": np.repeat(["a", "b"], 30), "ds": np.tile(DAYS[:30], 2), "y": values})
    _, findings = assert_same(table.take(pa.array(order)), 8)
    [message] = [finding.message for finding in findings if finding.code == "outlier"]
    assert f"1000000 (row {int(np.flatnonzero(order == 40)[0]) + 1})" in message


def test_categories_without_rows_and_in_any_order_are_no_series() -> None:
    names = pa.DictionaryArray.from_arrays(pa.array([2, 2, 0, 0], pa.int8()), pa.array(["x", "unused", "a"]))
    table = pa.table({"unique_id": names, "ds": DAYS[[0, 1, 0, 1]], "y": [1.0, 2.0, 3.0, 4.0]})
    panel, _ = assert_same(table, 3)
    assert panel.ids == ("a", "x")


def bad() -> Iterator[tuple[str, pa.Table, str]]:
    good = {"unique_id": ["a"] * 20, "ds": DAYS[:20], "y": [1.0] * 20}
    yield "an id is missing", pa.table(good | {"unique_id": ["a"] * 15 + [None] * 5}), "Row 16 has no unique_id"
    yield "an id is blank", pa.table(good | {"unique_id": ["a"] * 9 + [" "] * 11}), "Row 10 has no unique_id"
    yield "a time is missing", pa.table(good | {"ds": pa.array([*DAYS[:12], *[None] * 8])}), "Row 13 has no time stamp"
    yield "a value is infinite", pa.table(good | {"y": [1.0] * 18 + [float("inf")] * 2}), "Row 19 holds inf"
    twice = {"unique_id": ["a"] * 20, "ds": np.repeat(DAYS[:5], 4), "y": np.arange(20.0)}
    yield "most times are double", pa.table(twice), "Row 1 holds 0 and row 2 1"


@pytest.mark.parametrize(("table", "message"), [pytest.param(*case[1:], id=case[0]) for case in bad()])
def test_what_is_wrong_is_told_with_its_row(table: pa.Table, message: str) -> None:
    flaws = read(table, streamed=True, rows=6)
    assert isinstance(flaws[0], Flaw)
    assert message in flaws[0].message


def test_over_the_limits_nothing_is_read() -> None:
    table = pa.table({"unique_id": [str(i) for i in range(30)], "ds": DAYS[:30], "y": [1.0] * 30})
    for limits, code in ((UploadLimits(29, 1000), "too_many_points"), (UploadLimits(100, 29), "too_many_series")):
        flaws = read(table, streamed=True, limits=limits)
        assert [flaw.code for flaw in flaws if isinstance(flaw, Flaw)] == [code]
    stretched = pa.table({"unique_id": ["a"] * 3, "ds": DAYS[[0, 1, 300]], "y": [1.0] * 3})
    [flaw] = read(stretched, streamed=True, limits=UploadLimits(100, 10))
    assert isinstance(flaw, Flaw)
    assert flaw.code == "too_many_points"


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"unique_id": ["a", "a"], "ds": ["2024-01-01", "2024-01-02"], "y": [1.0, 2.0]}),
        pa.table({"unique_id": ["a", "a"], "ds": DAYS[:2], "y": ["1", "2"]}),
        pa.table({"shop": ["a", "a"], "day": DAYS[:2], "sold": [1.0, 2.0]}),
    ],
    ids=["times of text", "numbers of text", "columns of other names"],
)
def test_what_has_to_be_read_whole_to_be_understood_is_read_so(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / UPLOAD)
    spools = Spools(tmp_path)
    quota = Quota(tmp_path, None)
    assert stream_parquet(tmp_path / UPLOAD, spools, LIMITS, FileOptions(), quota, least_rows=0) is None
    assert isinstance(read(table, streamed=False)[0], Panel)


def test_a_file_that_has_to_be_read_whole_keeps_the_bound_of_memory_and_says_how_to_pass_it() -> None:
    limits = UploadLimits(10 * MOST_READ_WHOLE, 10).of_whole_files()
    assert limits.max_points == MOST_READ_WHOLE
    with pytest.raises(InvalidRequest, match="only from Parquet in long format") as refused:
        limits.check_points(MOST_READ_WHOLE + 1)
    assert "target_column" in json.dumps(refused.value.flaws[0].message)
    assert UploadLimits(1000, 10).of_whole_files() == UploadLimits(1000, 10)


def test_columns_that_are_named_leave_others_out_with_a_word() -> None:
    table = pa.table({"shop": ["a"] * 9, "day": DAYS[:9], "sold": [*range(9)], "price": [1.5] * 9})
    options = FileOptions(id_column="shop", time_column="day", target_column="sold")
    whole, parts = (read(table, streamed=streamed, rows=4, options=options) for streamed in (False, True))
    assert parts[1] == whole[1]
    assert parts[0].digest() == whole[0].digest()
    assert ["'price'" in finding.message for finding in parts[1]] == [True]


@pytest.mark.parametrize("kind", [pa.float32(), pa.int16(), pa.decimal128(21, 2)], ids=str)
def test_values_of_any_numeric_type_and_ids_of_whole_numbers_are_read(kind: Any) -> None:
    values = pa.array([*range(20)]).cast(kind)
    table = pa.table({"unique_id": [7] * 10 + [3] * 10, "ds": np.tile(DAYS[:10], 2), "y": values})
    panel, _ = assert_same(table, 6)
    assert panel.ids == ("7", "3")
    assert np.concatenate(panel.values).tolist() == [*range(20)]


def test_a_file_without_times_or_ids_is_one_series_of_its_rows() -> None:
    panel, findings = assert_same(pa.table({"y": [*map(float, range(25))]}), 4)
    assert (panel.ids, panel.starts) == (("0",), (None,))
    assert {finding.code for finding in findings} == {"no_times"}


def test_more_findings_than_are_shown_are_counted_alike() -> None:
    n = 900
    table = pa.table(
        {
            "unique_id": np.repeat([f"s{i}" for i in range(n)], 3),
            "ds": np.tile(DAYS[[1, 0, 5]], n),
            "y": np.tile([1.0, 1.0, 1.0], n),
        }
    )
    _, findings = assert_same(table, 100)
    assert (len(findings), findings[-1].code) == (1000, "more")
