"""What spreadsheets leave around and inside tables: read right with a finding, or the line is named."""

from pathlib import Path

import pytest

from service.datasets import csv_file
from service.datasets.file_options import FileOptions
from tests.datasets.files import codes, days_of, flaw_of, read

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
ROWS = "2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n"


@pytest.mark.parametrize(
    "content",
    [
        f"ds,y\n{ROWS}",
        f"ds,y,\n{ROWS}".replace("\n2", ",\n2").rstrip("\n") + ",\n",
        "ds,y\n2024-01-01,1,\n2024-01-02,2,\n2024-01-03,3,\n",
        "ds,y\n2024-01-01,1,,,\n2024-01-02,2\n2024-01-03,3,\n",
        "ds,y,,\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n",
        f"sep=,\nds,y\n{ROWS}",
        f"\ufeffSEP=,\r\nds,y\r\n{ROWS}",
        f'"sep=,"\n"ds","y"\n{ROWS}',
        "sep=;\nds;y\n2024-01-01;1\n2024-01-02;2\n2024-01-03;3\n",
        f"\n\n \nds,y\n\n{ROWS}\n\n",
        f"ds,y\n{ROWS}".replace("\n", "\r"),
        f"ds,y\n{ROWS}".replace("\n", "\r\n"),
        f"ds,y\n{ROWS}".replace("\n", "\r\r\n"),
    ],
)
def test_forms_that_say_all_are_read_without_a_word(tmp_path: Path, content: str) -> None:
    table = read(tmp_path, content)
    assert days_of(table) == DAYS
    assert table.values.tolist() == [1, 2, 3]
    assert table.findings == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"ds,y\n{ROWS}Total,6\n", "row 4, line 5: 'Total,6'"),
        (f"ds,y\n{ROWS}\nGrand total: ,6\n", "row 4, line 6"),
        (f"ds,y\n{ROWS}Sum,6\nAverage,2\n", "row 5, line 6: 'Average,2'"),
        ("ds;y\n2024-01-01;1\n2024-01-02;2\n2024-01-03;3\nSumme;6\nGesamt;6\n", "'Summe,6'"),
        (f"ds,y\n{ROWS}TOTALE,6\n", "'TOTALE,6'"),
        (f"ds,y\n{ROWS},\n,\n", "2 rows were left out, since all cells are blank (the first: row 4, line 5)"),
        (f",\n,,,\nds,y\n{ROWS}", "line 1: ','"),
        (f"ds,y\n{ROWS},,,,\n", "1 row was left out"),
        (f"# from the till\nds,y\n{ROWS}", "line 1: '# from the till'"),
        (f"ds,y\n{ROWS}Source: the till\n", "row 4, line 5: 'Source: the till'"),
        (f"ds,y\n{ROWS}Source: the till,\n", "row 4, line 5"),
        (f"ds,y\n{ROWS}# the end\n", "'# the end'"),
        ("ds,y\n2024-01-01,1\n2024-01-02,2\nds,y\n2024-01-03,3\n", "row 3, line 4: 'ds,y'"),
        (f"ds,y\n{ROWS}2024 Total,6\n", "row 4, line 5: '2024 Total,6'"),
        (f"ds,y\n{ROWS}Gesamtergebnis,6\n", "'Gesamtergebnis,6'"),
        (f"ds,y\n{ROWS}Min,1\nMax,3\nStdDev,1\n", "row 6, line 7: 'StdDev,1'"),
        (f"Sales report 2024\nds,y\n{ROWS}", "line 1: 'Sales report 2024'"),
        (f"Sales report,\n,\nds,y\n{ROWS}", "line 1: 'Sales report,'"),
        (f"Sales\nAll stores\n\nds,y\n{ROWS}", "line 2: 'All stores'"),
        (f"Sales, Berlin\nds,y\n{ROWS}".replace(",", ";").replace("Sales;", "Sales,"), "line 1: 'Sales, Berlin'"),
    ],
)
def test_rows_that_are_no_data_are_left_out_and_told(tmp_path: Path, content: str, words: str) -> None:
    table = read(tmp_path, content)
    assert days_of(table) == DAYS
    assert table.values.tolist() == [1, 2, 3]
    assert codes(table) == ["leftover_rows"]
    assert words in table.findings[0].message


def test_a_total_of_series_is_left_out_where_it_has_no_time_alone(tmp_path: Path) -> None:
    table = read(tmp_path, "unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,2\nTotal,,3\n")
    assert (table.ids, codes(table)) == (["a"], ["leftover_rows"])
    table = read(tmp_path, "unique_id,ds,y\na,2024-01-01,1\nTotal,2024-01-01,3\n")
    assert (table.ids, codes(table)) == (["a", "Total"], [])
    assert read(tmp_path, "unique_id,y\na,1\nTotal,3\n").ids == ["a", "Total"]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (f"ds,y\n{ROWS}2024-01-04,4,5\n", 5, "3 cells where the header has 2: '2024-01-04,4,5'"),
        ("ds,y\n2024-01-01,1,5\n2024-01-02,2,5\n2024-01-03,3,5\n", 2, "put that cell in quotes"),
        ("ds,y,\n2024-01-01,1,\n2024-01-02,2,5\n", 3, "cells where the header has 2"),
        ("ds;y\n2024-01-01;1\n2024-01-02;2;5\n", 3, "3 cells"),
        (f"ds,y\n2024-01-01\n{ROWS}", 2, "1 cell where the header has 2"),
        (f"unique_id,ds,y\n\na,2024-01-01,1\n\n\na,{DAYS[1]}\n", 6, "2 cells where the header has 3"),
        ("y\n1,5\n2\n", 2, "decimal ','"),
        (f"ds,y\n{ROWS},4\n", 5, "Row 4"),
        (f"ds,y\n{ROWS}2024-01-04,four\n", 5, "'four'"),
        ('ds,y\n2024-01-01,1\n2024-01-02,"2\n2024-01-03,3\n', 3, "quote not closed"),
    ],
)
def test_a_row_that_may_be_data_is_never_lost_but_its_line_named(
    tmp_path: Path, content: str, line: int, words: str
) -> None:
    message = flaw_of(tmp_path, content).message
    assert words in message
    assert f"line {line} of the file" in message


def test_lines_are_counted_past_quoted_line_breaks(tmp_path: Path) -> None:
    message = flaw_of(tmp_path, 'unique_id,ds,y\n"a\nb",2024-01-01,1\nc,2024-01-01,x\n').message
    assert "Row 2 holds 'x'" in message
    assert "line 4 of the file" in message


def test_rows_with_other_counts_of_cells_are_numbered_over_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", 64)
    rows = [f"2024-01-{1 + i % 28:02},{i}" for i in range(100)]
    rows[30], rows[60] = ";", "# a note"
    table = read(tmp_path, "\r\n".join(["ds,y", *rows[:30], "   ", *rows[31:]]))
    assert table.rows is not None
    assert table.rows.tolist() == [i + 1 for i in range(100) if i not in (30, 60)]
    values = "\r\n".join(["y", *(str(i) for i in range(200)), "", "201"])
    assert read(tmp_path, values).values[[0, 57, 199, 201]].tolist() == [0, 57, 199, 201]


@pytest.mark.parametrize(
    ("content", "values"),
    [("1\n2\n3\n", [1, 2, 3]), ("1.5", [1.5]), ("2024-01-01,1\n2024-01-02,2\n", [1, 2]), ("7\r8\r9", [7, 8, 9])],
)
def test_without_a_header_the_first_line_is_a_row_and_told(tmp_path: Path, content: str, values: list[float]) -> None:
    table = read(tmp_path, content)
    assert table.values.tolist() == values
    assert "no header" in table.findings[0].message


def test_a_blank_line_in_a_column_of_values_is_a_missing_one(tmp_path: Path) -> None:
    values = read(tmp_path, "y\n1\n\n3\n\n\n").values.tolist()
    assert values[0] == 1
    assert values[2:] == [3]
    doubled = read(tmp_path, "y\r\r\n1\r\r\n2\r\r\n3\r\r\n")
    assert (doubled.values.tolist(), codes(doubled)) == ([1, 2, 3], ["leftover_rows"])


@pytest.mark.parametrize(
    "content",
    [
        "unique_id,ds,ya,2024-01-01,1a,2024-01-02,2a,2024-01-03,3",
        "ds,y2024-01-01,12024-01-02,2",
        "ds;y2024-01-01;12024-01-02;2",
        "y112118132129121135",
        "Month,Passengers1949-01,1121949-02,118",
    ],
)
def test_a_file_whose_line_breaks_were_lost_is_told_how_to_send_it(tmp_path: Path, content: str) -> None:
    flaw = flaw_of(tmp_path, content)
    assert flaw.code == "unreadable_file"
    assert "--data-binary" in flaw.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{'x' * 20_000},y\n1,2\n", "The header has 20003 bytes"),
        ("x" * 2_000_000, "The header, which is the first line, has more than"),
        ("country,2019,2020,2021\nDE,1,2,3\n", "side by side"),
        ("1,2,3\n4,5,6\n", "numbers alone"),
    ],
)
def test_a_header_that_is_none_is_told_as_such(tmp_path: Path, content: str, words: str) -> None:
    message = flaw_of(tmp_path, content).message
    assert words in message
    assert "UTF-8" not in message


def test_a_long_header_of_a_wide_file_is_read(tmp_path: Path) -> None:
    names = [f"a series with a rather long name, number {i}" for i in range(90)]
    content = "ds," + ",".join(f'"{name * 4}"' for name in names) + "\n2024-01-01" + ",1" * 90 + "\n"
    assert len(content.splitlines()[0]) > 10_000
    assert len(read(tmp_path, content, FileOptions(format="wide")).ids) == 90


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_that_are_counted_without_a_name_for_it_are_read_as_r_writes_them(tmp_path: Path, delimiter: str) -> None:
    rows = ["ds,y", "1,2024-01-01,1", "2,2024-01-02,2", "3,2024-01-03,3"]
    table = read(tmp_path, "\n".join(rows).replace(",", delimiter) + "\n")
    assert days_of(table) == DAYS
    assert table.values.tolist() == [1, 2, 3]
    assert codes(table) == ["columns_assumed"]
    # What may be decimal commas is refused.
    assert "line 2" in flaw_of(tmp_path, "n,y\n1,4,5\n2,4,7\n3,5,0\n").message
