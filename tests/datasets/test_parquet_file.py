from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.datasets.parquet_file import read_parquet
from service.datasets.table import Table
from service.datasets.upload_limits import UploadLimits
from service.errors import Flaw, InvalidRequest

LIMITS = UploadLimits(max_points=1000, max_series=10)
DAY = np.datetime64("2024-01-01", "D")


def read(path: Path, limits: UploadLimits = LIMITS, **columns: Any) -> Table:
    pq.write_table(pa.table(columns), path / "upload")
    return read_parquet(path / "upload", limits)


def flaw_of(path: Path, **columns: Any) -> Flaw:
    with pytest.raises(InvalidRequest) as caught:
        read(path, **columns)
    [flaw] = caught.value.flaws
    return flaw


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(9, 2), pa.string(), pa.large_string()],
    ids=str,
)
def test_numbers_of_any_type_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    values = read(tmp_path, y=pa.array(["1", "2", None]).cast(kind)).values
    assert values[:2].tolist() == [1, 2]
    assert np.isnan(values[2])


@pytest.mark.parametrize("kind", [pa.string(), pa.float64(), pa.int32()], ids=str)
def test_categories_are_read_as_what_they_stand_for(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array(["1", "2", "1", None]).cast(kind).dictionary_encode()
    stamps = pa.array(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]).dictionary_encode()
    for names in (("ds", "y"), ("day", "sales")):
        table = read(tmp_path, **dict(zip(names, (stamps, column), strict=True)))
        np.testing.assert_array_equal(table.values, [1, 2, 1, np.nan])
        assert table.times is not None
        assert table.times.wall.tolist() == (DAY + np.arange(4)).astype("datetime64[us]").tolist()
    wide = read(tmp_path, day=stamps, a=column, b=pa.array([1, 2, 3, 4]))
    np.testing.assert_array_equal(wide.values, [1, 2, 1, np.nan, 1, 2, 3, 4])


@pytest.mark.parametrize(
    "ids", [pa.array([7, 8, 7]), pa.array(["7", "8", "7"]), pa.array(["7", "8", "7"]).dictionary_encode()]
)
def test_ids_of_any_type_are_read(tmp_path: Path, ids: pa.Array) -> None:
    table = read(tmp_path, unique_id=ids, y=[1.0, 2.0, 3.0])
    assert (table.ids, table.series.tolist()) == (["7", "8"], [0, 1, 0])


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["a", None]),
        pa.array(["a", ""]),
        pa.array(["a", None]).dictionary_encode(),
    ],
)
def test_a_row_without_an_id_is_named(tmp_path: Path, ids: pa.Array) -> None:
    assert flaw_of(tmp_path, unique_id=ids, y=[1.0, 2.0]).pointer == "/unique_id/1"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_any_unit_are_read_and_nanoseconds_cut_off(tmp_path: Path, unit: str) -> None:
    stamps = np.array([DAY, DAY + 1], f"datetime64[{unit}]") + (1 if unit == "ns" else 0)
    times = read(tmp_path, ds=stamps, y=[1.0, 2.0]).times
    assert times is not None
    assert times.wall.tolist() == np.array([DAY, DAY + 1], "datetime64[us]").tolist()


def test_dates_are_times(tmp_path: Path) -> None:
    times = read(tmp_path, ds=pa.array([date(2024, 1, 1), date(2024, 1, 2)]), y=[1.0, 2.0]).times
    assert times is not None
    assert times.wall.tolist() == np.array([DAY, DAY + 1], "datetime64[us]").tolist()


@pytest.mark.parametrize(("zone", "offset", "name"), [
    ("UTC", 0, None), ("+02:00", 7200, None), ("Europe/Berlin", 3600, "Europe/Berlin"), ("Etc/GMT+5", -18000, None),
])  # fmt: skip
def test_zones_become_wall_times_and_offsets(tmp_path: Path, zone: str, offset: int, name: str | None) -> None:
    times = read(
        tmp_path, ds=pa.array([DAY.astype("datetime64[us]").item()], pa.timestamp("us", tz=zone)), y=[1.0]
    ).times
    assert times is not None
    assert times.offsets is not None
    assert times.offsets.tolist() == [offset]
    assert times.wall[0] == DAY + np.timedelta64(offset, "s")
    assert times.zone == name


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"y": pa.array([True])}, "not_a_number"),
        ({"y": pa.array([b"1"])}, "not_a_number"),
        ({"y": [1.0], "ds": pa.array([3 * 10**11], pa.timestamp("s"))}, "bad_timestamp"),
        ({"y": [1.0], "ds": pa.array([2**62], pa.timestamp("ms"))}, "bad_timestamp"),
        ({"y": [1.0], "ds": pa.array([None], pa.timestamp("s"))}, "bad_timestamp"),
        ({"y": [1.0, 2.0], "ds": [1704067200.0, float("nan")]}, "bad_timestamp"),
        ({"y": [1.0], "ds": pa.array([0], pa.timestamp("s", tz="Nowhere/Land"))}, "bad_timestamp"),
        ({"y": [1.0], "unique_id": pa.array([[1]])}, "unreadable_file"),
        ({"y": [1.0], "unique_id": pa.array([b"\xff"])}, "unreadable_file"),
        ({"y": [1.0], "unique_id": ["x" * 1001]}, "out_of_bounds"),
        ({"y": [1.0], "price": [1]}, "unknown_column"),
        ({"y": pa.array([], pa.float64())}, "empty"),
        ({"y": np.ones(1001)}, "too_many_points"),
        ({"y": np.ones(11), "unique_id": list("abcdefghijk")}, "too_many_series"),
    ],
)
def test_what_is_no_such_table_is_refused_by_name(tmp_path: Path, columns: dict[str, Any], code: str) -> None:
    flaw = flaw_of(tmp_path, **columns)
    assert flaw.code == code
    assert str(tmp_path) not in flaw.message


def test_a_deeply_nested_type_is_refused_without_being_decoded(tmp_path: Path) -> None:
    nested = pa.array([1.0])
    for _ in range(20):
        nested = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), nested)
    flaw = flaw_of(tmp_path, y=nested)
    assert flaw.code == "not_a_number"
    assert len(flaw.message) < 200


def test_rows_of_several_groups_are_counted_together(tmp_path: Path) -> None:
    table = pa.table({"y": [*["1"] * 300, "x", *["1"] * 99]})
    pq.write_table(table, tmp_path / "upload", row_group_size=100)
    with pytest.raises(InvalidRequest) as caught:
        read_parquet(tmp_path / "upload", LIMITS)
    assert caught.value.flaws[0].pointer == "/y/300"
