"""Forecasts of files into files, as a person asks for them: formats, names of columns, levels, wrong usage."""

import io
import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.processes import Processes
from tests.test_cli import as_json, run

COMMAND = (sys.executable, "-m", "service.cli")


def days(n: int) -> list[str]:
    return [str(date(2024, 1, 1) + timedelta(step)) for step in range(n)]


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    """Three years of monthly sales of two shops, under the column names of a person."""
    rows = [
        f"{2021 + month // 12}-{1 + month % 12:02}-01,{shop},{size * (10 + (month * 7) % 12) + month / 4:.2f}"
        for shop, size in (("north", 10), ("south", 3))
        for month in range(36)
    ]
    file = tmp_path / "sales.csv"
    file.write_text("\n".join(["month,shop,sold", *rows]) + "\n")
    return file


def rows_of(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.csv.read_csv(io.BytesIO(content)).to_pylist()
    return rows


def forecast_rows(service: Processes, file: Path, *options: str) -> list[dict[str, Any]]:
    ran = run(service, "forecast", str(file), *options, "--output", "-")
    assert ran.returncode == 0, ran.stderr
    return rows_of(ran.stdout.encode())


def test_a_table_has_the_files_own_columns_and_the_numbers_of_the_json_answer(service: Processes, sales: Path) -> None:
    options = ("--horizon", "3", "--level", "80", "--level", "95", "--quantile", "0.1,0.5")
    answer = as_json(service, "forecast", str(sales), *options)
    rows = forecast_rows(service, sales, *options)
    assert list(rows[0]) == ["shop", "month", "forecast", "lo-80", "hi-80", "lo-95", "hi-95", "q-0.1", "q-0.5"]
    expected = [
        {
            "shop": series["id"],
            "month": date.fromisoformat(series["timestamps"][step]),
            "forecast": series["values"][step],
            "lo-80": series["intervals"]["80"]["lower"][step],
            "hi-80": series["intervals"]["80"]["upper"][step],
            "lo-95": series["intervals"]["95"]["lower"][step],
            "hi-95": series["intervals"]["95"]["upper"][step],
            "q-0.1": series["quantiles"]["0.1"][step],
            "q-0.5": series["quantiles"]["0.5"][step],
        }
        for series in answer["forecasts"]
        for step in range(3)
    ]
    assert rows == expected


def test_a_name_says_the_format_of_a_file(service: Processes, sales: Path, tmp_path: Path) -> None:
    arguments = ("forecast", str(sales), "--horizon", "2", "--level", "80")
    for name in ("made.csv", "made.PARQUET", "made.json"):
        ran = run(service, *arguments, "-o", str(tmp_path / name))
        assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
        assert f"{name}: 2 steps of 2 series, zero-shot version 1" in ran.stderr
    rows = rows_of((tmp_path / "made.csv").read_bytes())
    table = pq.read_table(tmp_path / "made.PARQUET")
    assert [{**row, "month": row["month"].date()} for row in table.to_pylist()] == rows
    assert json.loads(table.schema.metadata[b"forecast"])["model"] == "zero-shot"
    answer = json.loads((tmp_path / "made.json").read_text())
    assert [value for one in answer["forecasts"] for value in one["values"]] == [row["forecast"] for row in rows]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.PARQUET", "made.csv", "made.json", "sales.csv"]


def test_a_program_gets_parquet_and_json_from_a_pipe_where_it_asks_for_them(service: Processes, sales: Path) -> None:
    arguments = ("forecast", str(sales), "--horizon", "1")
    command = [*COMMAND, *arguments, "--output-format", "parquet"]
    ran = subprocess.run(command, env=service.environment, capture_output=True, check=True, timeout=120)
    assert pq.read_table(io.BytesIO(ran.stdout)).num_rows == 2
    for options in (("-o", "-", "--output-format", "json"), ("-o", "-", "--json")):
        assert json.loads(run(service, *arguments, *options).stdout)["horizon"] == 1


def test_what_a_pipe_no_longer_takes_is_no_traceback(service: Processes, sales: Path) -> None:
    command = f"{' '.join(COMMAND)} forecast {sales} --horizon 1000 -o - | head -n 1"
    ran = subprocess.run(["sh", "-c", command], env=service.environment, capture_output=True, text=True, timeout=120)
    assert ran.stdout == '"shop","month","forecast"\n'
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("content", "options", "columns"),
    [
        ("Tag;Menge\n" + "".join(f"{day};{i % 7},5\n" for i, day in enumerate(days(60))), (), "Tag forecast"),
        ("".join(f"{i % 7}\n" for i in range(60)), (), "step forecast"),
        ("".join(f"{day},{i % 7}\n" for i, day in enumerate(days(60))), (), "ds forecast"),
        ("day,a,b\n" + "".join(f"{day},{i % 7},{i % 5}\n" for i, day in enumerate(days(60))), (),
         "unique_id day forecast"),
        # Columns of the table have their names first.
        ("forecast,step,y\n" + "".join(f"a,{day},{i % 7}\n" for i, day in enumerate(days(60))),
         ("--id-column", "forecast", "--time-column", "step"), "unique_id ds forecast"),
        ('{"series": {"a": [1, 2, 3, 4, 5, 6, 7, 8]}}', (), "unique_id step forecast"),
    ],
)  # fmt: skip
def test_any_file_gets_a_table_under_its_own_names(
    service: Processes, tmp_path: Path, content: str, options: tuple[str, ...], columns: str
) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    rows = forecast_rows(service, file, "--horizon", "2", *options)
    assert " ".join(rows[0]) == columns


def test_a_series_without_a_forecast_has_a_row_with_its_error_and_a_line_on_standard_error(
    service: Processes, tmp_path: Path
) -> None:
    file = tmp_path / "loads.csv"
    file.write_text("unique_id,y\nsouth,5\n" + "".join(f"north,{i % 7}\n" for i in range(60)))
    ran = run(service, "forecast", str(file), "--model", "linear", "--horizon", "1", "--output", "-")
    assert ran.returncode == 0
    south, north = rows_of(ran.stdout.encode())
    assert south["error"].startswith("too_short: ")
    assert (north["error"], south["forecast"]) == ("", None)
    assert "south: 'linear' needs at least 50 points" in ran.stderr


def test_series_are_picked_by_their_ids(service: Processes, sales: Path) -> None:
    both = as_json(service, "forecast", str(sales), "--horizon", "2")["forecasts"]
    [alone] = as_json(service, "forecast", str(sales), "--horizon", "2", "--series", "south")["forecasts"]
    assert alone["id"] == both[1]["id"] == "south"
    assert alone["values"] == pytest.approx(both[1]["values"], rel=1e-5)
    turned = as_json(service, "forecast", str(sales), "--horizon", "2", "--series", "south", "--series", "north")
    assert [one["id"] for one in turned["forecasts"]] == ["south", "north"]


def test_intervals_stand_in_the_table_of_a_terminal_and_large_numbers_keep_their_digits(
    service: Processes, tmp_path: Path
) -> None:
    file = tmp_path / "counter.csv"
    file.write_text("ds,y\n" + "".join(f"{day},{300_000_000_000 + i % 7}\n" for i, day in enumerate(days(60))))
    ran = run(service, "forecast", str(file), "--horizon", "2", "--level", "80")
    _, header, first, _ = ran.stdout.splitlines()
    assert header.split() == ["ds", "forecast", "lo-80", "hi-80"]
    assert first.split()[:2] == ["2024-03-01", "300000000004"]


def test_the_past_is_in_json_alone(service: Processes, sales: Path) -> None:
    [one, _] = as_json(service, "forecast", str(sales), "--horizon", "2", "--fitted")["forecasts"]
    assert len(one["fitted"]) == 36
    ran = run(service, "forecast", str(sales), "--fitted", "--output", "-")
    assert (ran.returncode, "--json" in ran.stderr) == (2, True)


def test_a_file_that_asks_for_what_a_table_has_no_place_for_is_told_so(service: Processes, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"series": [1, 2, 3, 4, 5, 6, 7, 8], "horizon": 1, "explain": True}))
    ran = run(service, "forecast", str(file), "--output", "-")
    assert (ran.returncode, "not used here: explain" in ran.stderr) == (0, True)
    assert "experts" in run(service, "forecast", str(file), "--json").stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "made.xlsx"), "ends in .csv, .parquet or .json, got 'made.xlsx'"),
        (("-o", "made"), "got 'made'"),
        (("-o", "nowhere/made.csv"), "there is no folder"),
        (("-o", "."), "is a folder"),
        (("-o", "sales.csv"), "is the file that is read"),
        (("-o", "made.csv", "--json"), "says csv, and --output-format says json"),
        (("-o", "made.csv", "--output-format", "parquet"), "says csv"),
        (("--output-format", "csv", "--json"), "--json and --output-format csv"),
        (("--output-format", "xml"), "expected csv, parquet or json, got 'xml'"),
        (("--level", "0"), "between 0 and 100"),
        (("--level", "100"), "got 100"),
        (("--level", "80,abc"), "got 'abc'"),
        (("--level", "nan"), "got 'nan'"),
        (("--level", "80,"), "got ''"),
        (("--level", "0.95"), "for 95 % say 95"),
        (("--level", "-5"), "got -5"),
        (("--quantile", "90"), "For 90 % say 0.9"),
        (("--quantile", "0"), "got 0"),
        (("--series", "nort"), "Did you mean 'north'?"),
        (("--series", "SOUTH"), "Did you mean 'south'?"),
        (("--series", "x"), "It has 'north', 'south'."),
    ],
)
def test_wrong_usage_is_told_with_status_2_before_the_server_is_asked(
    sales: Path, options: tuple[str, ...], words: str
) -> None:
    output = ["-o", str(sales.parent / options[1]) if options[1] != "sales.csv" else str(sales)]
    given = [*output, *options[2:]] if options[0] == "-o" else list(options)
    ran = run(None, "forecast", str(sales), *given, "--url", "http://127.0.0.1:9", COLUMNS="1000")
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    shown = words.replace("'made", f"'{sales.parent}/made")
    assert shown in ran.stderr
    assert "Traceback" not in ran.stderr
    assert [path.name for path in sales.parent.iterdir()] == ["sales.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "or an upload by --dataset"),
        (("sales.csv", "--dataset", "abc", "-o", "made.parquet"), "all series of an upload"),
        (("--dataset", "abc"), "name one, such as --output forecasts.parquet"),
        (("--dataset", "abc", "-o", "made.csv"), "become a Parquet file"),
        (("--dataset", "abc", "-o", "-", "--output-format", "parquet"), "become a Parquet file"),
        (("--dataset", "abc", "-o", "made.parquet", "--fitted"), "all series of an upload"),
        (("--dataset", "abc", "-o", "made.parquet", "--time-column", "month"), "all series of an upload"),
    ],
)
def test_a_forecast_is_of_a_file_or_of_an_upload(sales: Path, arguments: tuple[str, ...], words: str) -> None:
    given = [str(sales.parent / word) if word.startswith(("sales", "made")) else word for word in arguments]
    ran = run(None, "forecast", *given, "--url", "http://127.0.0.1:9", COLUMNS="1000")
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert words in ran.stderr
    assert [path.name for path in sales.parent.iterdir()] == ["sales.csv"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_told(sales: Path) -> None:
    sales.parent.chmod(0o500)
    ran = run(None, "forecast", str(sales), "-o", str(sales.parent / "made.csv"), "--url", "http://127.0.0.1:9")
    assert (ran.returncode, "access is denied" in ran.stderr) == (2, True)


def test_a_file_that_is_written_anew_keeps_who_may_read_it(service: Processes, sales: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("as before")
    kept.chmod(0o600)
    assert run(service, "forecast", str(sales), "-o", str(kept), "--horizon", "1").returncode == 0
    assert len(rows_of(kept.read_bytes())) == 2
    assert kept.stat().st_mode & 0o777 == 0o600


def test_what_can_not_be_written_leaves_what_was_there(service: Processes, sales: Path, tmp_path: Path) -> None:
    ran = run(service, "forecast", str(sales), "-o", "/dev/full", "--output-format", "csv")
    assert ran.returncode == 1
    assert "No space left" in ran.stderr
    assert "Traceback" not in ran.stderr
    kept = tmp_path / "kept.csv"
    kept.write_text("as before")
    assert run(service, "forecast", str(sales), "-o", str(kept), "--model", "absent").returncode == 1
    assert kept.read_text() == "as before"
