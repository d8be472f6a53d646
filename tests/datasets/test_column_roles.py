"""Which column is what: by name, by what is said, or by the one reading that is possible."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.datasets.file_options import FileOptions, read_options
from service.datasets.parquet_file import read_parquet
from service.datasets.table import Table
from service.datasets.upload_limits import UploadLimits
from service.errors import InvalidRequest
from tests.datasets.files import LIMITS, codes, days_of, flaw_of, read


def by_id(table: Table) -> dict[str, list[float]]:
    return {name: table.values[table.series == i].tolist() for i, name in enumerate(table.ids)}


TWO_STORES = {"1": [5.0, 6.0], "2": [7.0, 8.0]}


@pytest.mark.parametrize(
    ("content", "series"),
    [
        ("Date,Passengers\n2024-01-01,112\n2024-01-02,118\n", {"0": [112, 118]}),
        ("Passengers,Date\n112,2024-01-01\n118,2024-01-02\n", {"0": [112, 118]}),
        ("date,store,sales\n2024-01-01,a,5\n2024-01-01,b,7\n2024-01-02,a,6\n", {"a": [5, 6], "b": [7]}),
        # Numbers as ids: the name tells, or times that come again.
        ("date,store,sales\n2024-01-01,1,5\n2024-01-02,1,6\n2024-01-01,2,7\n2024-01-02,2,8\n", TWO_STORES),
        ("date,x,z\n2024-01-01,1,5\n2024-01-02,1,6\n2024-01-01,2,7\n2024-01-02,2,8\n", TWO_STORES),
        ("id,ds,y\na,2024-01-01,1\nb,2024-01-01,2\n", {"a": [1], "b": [2]}),
        ("name,sales\na,1\na,2\nb,3\n", {"a": [1, 2], "b": [3]}),
        ("sales\n1\n2\n", {"0": [1, 2]}),
        ("data\n1990\n2005\n", {"0": [1990, 2005]}),
        ("name,sales\nStore 12,1\nStore 12,2\n", {"Store 12": [1, 2]}),
        ("Date,Sales,Comment\n2024-01-01,1,\n2024-01-02,2,\n", {"0": [1, 2]}),
        # Wide files.
        ("date,north,south\n2024-01-01,1,5\n2024-01-02,2,6\n", {"north": [1, 2], "south": [5, 6]}),
        ("date,north,south\n2024-01-01,1,5\n2024-01-02,2,6\nTotal,3,11\n", {"north": [1, 2], "south": [5, 6]}),
        ("Date,Maria,Juno\n2024-01-01,1,5\n2024-01-02,2,6\n", {"Maria": [1, 2], "Juno": [5, 6]}),
        # An index, with and without a name, and one that is the times.
        (",ds,y\n0,2024-01-01,1\n1,2024-01-02,2\n", {"0": [1, 2]}),
        ("Unnamed: 0,date,sales\n0,2024-01-01,1\n1,2024-01-02,2\n", {"0": [1, 2]}),
        (",unique_id,y\n3,a,1\n8,a,2\n", {"a": [1, 2]}),
        (",y\n2024-01-01,1\n2024-01-02,2\n", {"0": [1, 2]}),
        (",0\n2024-01-01,1\n2024-01-02,2\n", {"0": [1, 2]}),
        (",north,south\n2024-01-01,1,5\n2024-01-02,2,6\n", {"north": [1, 2], "south": [5, 6]}),
    ],
)
def test_the_one_possible_reading_is_taken_and_told(
    tmp_path: Path, content: str, series: dict[str, list[float]]
) -> None:
    table = read(tmp_path, content)
    assert by_id(table) == series
    assert codes(table)
    assert set(codes(table)) - {"leftover_rows"} == {"columns_assumed"}


@pytest.mark.parametrize("header", ["DS,Y,Unique_ID", " ds , y , unique_id ", '"Ds","Y","UNIQUE_ID"'])
def test_standard_names_are_known_in_any_case_and_between_blanks(tmp_path: Path, header: str) -> None:
    table = read(tmp_path, f"{header}\n2024-01-01,1,a\n2024-01-01,2, a \n")
    assert by_id(table) == {"a": [1, 2]}
    assert table.findings == ()


@pytest.mark.parametrize(
    "content",
    [
        "date,store,item,sales\n2024-01-01,a,x,5\n2024-01-02,a,x,6\n",
        "date,created,sales\n2024-01-01,2024-02-01,5\n2024-01-02,2024-02-01,6\n",
        "a,b\n1,2\n2,2\n",
        "date,holiday,sales\n2024-01-01,yes,5\n2024-01-02,no,6\n2024-01-03,no,6\n",
        "ds,holiday,y\n2024-01-01,yes,5\n2024-01-02,no,6\n2024-01-03,no,6\n",
        "date,a,b\n2024-01-01,1,1\n2024-01-01,1,2\n2024-01-02,1,1\n",
        "north,date,south\n1,2024-01-01,5\n2,2024-01-02,6\n",
        "date,store,sales,price\n2024-01-01,a,5,1\n2024-01-02,a,6,2\n",
        "date,store\n2024-01-01,a\n2024-01-02,b\n",
        "ds,y,price\n2024-01-01,1,2\n2024-01-02,1,3\n",
        "unique_id,ds,y,price\na,2024-01-01,1,2\n",
    ],
)
def test_several_readings_are_refused_with_the_options_that_decide(tmp_path: Path, content: str) -> None:
    flaw = flaw_of(tmp_path, content)
    assert flaw.pointer == "/columns"
    assert flaw.code in ("unknown_column", "missing_column")
    assert "id_column, time_column and target_column" in flaw.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        # Each row has another text: those are no ids, and may be times that nobody can read.
        ("when,y\n1st of May,1\n2nd of May,2\n", "such as '1st of May'"),
        ("x,sales\n1-Jan,1\n2-Jan,2\n", "such as '1-Jan'"),
        # Parts of times are no ids.
        ("year,month,value\n2020,1,5\n2020,2,6\n2021,1,7\n2021,2,8\n", "'year' and 'month'"),
        ("date,time,value\n2024-01-01,00:00,5\n2024-01-01,12:00,6\n2024-01-02,00:00,7\n", "'date' and 'time'"),
        ("date,hour,value\n2024-01-01,0,5\n2024-01-01,1,6\n2024-01-02,0,7\n2024-01-02,1,7\n", "'date' and 'hour'"),
        # A table with times on both sides is no wide file.
        ("Year,Jan,Feb,Mar\n2020,1,2,3\n2021,1,2,3\n", "'Jan', 'Feb', 'Mar'"),
        ("Year,Q1,Q2,Q3,Q4\n2020,1,2,3,4\n2021,1,2,3,4\n", "'Q1', 'Q2', 'Q3', .."),
        ("Date,00:00,12:00\n2024-01-01,1,2\n2024-01-02,1,2\n", "'00:00', '12:00'"),
    ],
)
def test_times_in_other_forms_are_not_taken_for_series(tmp_path: Path, content: str, words: str) -> None:
    flaw = flaw_of(tmp_path, content)
    assert (flaw.pointer, flaw.code) == ("/columns", "unknown_column")
    assert words in flaw.message


@pytest.mark.parametrize("cell", ["1-Jan", "Januar 2024", "yesterday"])
def test_a_column_that_is_called_a_time_is_read_as_one_and_its_row_named(tmp_path: Path, cell: str) -> None:
    flaw = flaw_of(tmp_path, f"Date,Sales\n{cell},1\n{cell},2\n")
    assert (flaw.pointer, flaw.code) == ("/Date/0", "bad_timestamp")
    assert f"Row 1 holds '{cell}'" in flaw.message


def test_serial_days_of_a_column_that_is_called_a_time_are_times(tmp_path: Path) -> None:
    table = read(tmp_path, "Date,Value\n45292,1\n45293,2\n")
    assert days_of(table) == ["2024-01-01", "2024-01-02"]
    # Not so those of an index that has lost rows.
    assert read(tmp_path, ",Value\n45292,1\n45293,2\n").times is None


def test_options_name_the_columns_and_leave_the_others_out_with_a_word(tmp_path: Path) -> None:
    content = "date,store,item,sales,price\n2024-01-01,a,x,5,1\n2024-01-02,a,x,6,2\n2024-01-01,b,x,7,3\n"
    table = read(tmp_path, content, FileOptions(id_column="store", time_column="date", target_column="sales"))
    assert by_id(table) == {"a": [5, 6], "b": [7]}
    assert [finding.message for finding in table.findings] == ["These columns were left out: 'item', 'price'."]
    plain = "day,shop,sold\n2024-01-01,a,5\n2024-01-02,a,6\n"
    table = read(tmp_path, plain, FileOptions(id_column="Shop", time_column=" day", target_column="sold"))
    assert (by_id(table), table.findings) == ({"a": [5, 6]}, ())
    assert flaw_of(tmp_path, plain, FileOptions(target_column="sale")).pointer == "/target_column"
    assert flaw_of(tmp_path, plain, FileOptions(id_column="day", target_column="day")).code == "duplicate_column"


@pytest.mark.parametrize("content", ["ds y\n2024-01-01 1\n2024-01-02 2\n", "ds~y\n2024-01-01~1\n2024-01-02~2\n"])
def test_cells_that_nothing_parts_are_told_so(tmp_path: Path, content: str) -> None:
    message = flaw_of(tmp_path, content).message
    assert "is one cell" in message
    assert "semicolons, tabs or bars" in message


def test_a_column_of_few_numbers_is_no_id_where_times_differ(tmp_path: Path) -> None:
    content = "date,price,sales\n" + "".join(f"2024-01-{day:02},{day % 2},{day}\n" for day in range(1, 9))
    table = read(tmp_path, content, FileOptions(target_column="sales"))
    assert by_id(table) == {"0": [1, 2, 3, 4, 5, 6, 7, 8]}
    assert "'price'" in table.findings[-1].message
    assert flaw_of(tmp_path, content.replace("sales", "y")).code == "unknown_column"


def test_without_ids_rows_of_one_time_are_not_taken_for_doubles(tmp_path: Path) -> None:
    content = "date,price,sales\n2024-01-01,1,5\n2024-01-01,2,7\n2024-01-02,1,6\n2024-01-02,2,9\n2024-01-03,1,1\n"
    flaw = flaw_of(tmp_path, content.replace("1,5", "3,5"), FileOptions(target_column="sales", time_column="date"))
    assert flaw.code == "unknown_column"


def test_wide_and_long_decide_between_two_columns_of_numbers(tmp_path: Path) -> None:
    content = "date,store,sales\n2024-01-01,1,5\n2024-01-02,1,6\n"
    assert by_id(read(tmp_path, content, FileOptions(format="wide"))) == {"store": [1, 1], "sales": [5, 6]}
    assert by_id(read(tmp_path, content, FileOptions(format="long"))) == {"1": [5, 6]}
    y_too = "ds,y,z\n2024-01-01,1,5\n2024-01-02,1,6\n"
    assert by_id(read(tmp_path, y_too, FileOptions(format="wide"))) == {"y": [1, 1], "z": [5, 6]}


def test_a_wide_file_has_gaps_where_cells_are_blank_and_one_reading_of_digits(tmp_path: Path) -> None:
    table = read(tmp_path, "ds;a;b\n2024-01-01;1,5;\n2024-01-02;;1.025\n2024-01-03;2;975\n")
    assert str(by_id(table)) == str({"a": [1.5, float("nan"), 2.0], "b": [float("nan"), 1025.0, 975.0]})
    flaw = flaw_of(tmp_path, "ds,a,b\n2024-01-01,1,2\n2024-01-02,3,4x\n", FileOptions(format="wide"))
    assert "'b'" in flaw.message
    assert "too_many" in flaw_of(tmp_path, "ds" + ",a" * 0 + ",".join(["", *map(str, range(101))]) + "\n"
                                 + "2024-01-01" + ",1" * 101 + "\n", FileOptions(format="wide")).code  # fmt: skip


def test_pieces_beside_prices_do_not_make_the_prices_uncertain(tmp_path: Path) -> None:
    table = read(tmp_path, "ds,price,pieces\n2024-01-01,1.025,975\n2024-01-02,1.125,980\n")
    assert by_id(table) == {"price": [1.025, 1.125], "pieces": [975, 980]}
    assert "digits_assumed" in codes(table)
    flaw = flaw_of(tmp_path, "ds,a,b\n2024-01-01,1.025,975\n2024-01-02,975,980\n")
    assert (flaw.pointer, "is it 1025 or 1.025?" in flaw.message) == ("/a/0", True)


def test_a_column_with_values_needs_a_name_in_a_wide_file(tmp_path: Path) -> None:
    flaw = flaw_of(tmp_path, "ds,a,,b\n2024-01-01,1,5,2\n2024-01-02,3,4,4\n")
    assert "no name" in flaw.message


@pytest.mark.parametrize(
    ("columns", "series"),
    [
        ({"store": ["a", "a", "b"], "day": ["2024-01-01", "2024-01-02", "2024-01-01"], "sold": [1, 2, 3]},
         {"a": [1, 2], "b": [3]}),
        ({"day": ["2024-01-01", "2024-01-02"], "a": [1, 2], "b": [1.5, 2.5]}, {"a": [1, 2], "b": [1.5, 2.5]}),
        ({"ts": [1704067200.5, 1704153600.5], "value": [1, 2]}, {"0": [1, 2]}),
        ({"date": [45292.5, 45293.5], "value": [1, 2]}, {"0": [1, 2]}),
        ({"y": [1.0, 2.0], "__index_level_0__": [0, 1]}, {"0": [1, 2]}),
        ({"y": [1.0, 2.0], "__index_level_0__": pa.array([0, 86_400], pa.timestamp("s"))}, {"0": [1, 2]}),
        ({"Unique_ID": ["a", "b"], "Y": [1, 2]}, {"a": [1], "b": [2]}),
    ],
)  # fmt: skip
def test_parquet_is_read_by_the_same_rules(
    tmp_path: Path, columns: dict[str, Any], series: dict[str, list[float]]
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "upload")
    assert by_id(read_parquet(tmp_path / "upload", LIMITS)) == series


def test_limits_hold_for_columns_that_have_no_role_yet(tmp_path: Path) -> None:
    content = "date" + "".join(f",s{i}" for i in range(90)) + "\n" + ("2024-01-01" + ",1" * 90 + "\n") * 3
    assert flaw_of(tmp_path, content, limits=UploadLimits(10, 100)).code == "too_many_points"


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"decimal": ";"}, "/decimal"),
        ({"thousands": "x"}, "/thousands"),
        ({"decimal": ".", "thousands": "point"}, "/thousands"),
        ({"format": "broad"}, "/format"),
        ({"format": "wide", "id_column": "store"}, "/id_column"),
        ({"time_column": ""}, "/time_column"),
    ],
)
def test_options_that_can_not_be_are_refused_by_name(given: dict[str, str | None], pointer: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_options(given)
    assert [flaw.pointer for flaw in caught.value.flaws] == [pointer]
