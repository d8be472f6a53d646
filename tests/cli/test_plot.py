"""Forecasts as charts: in terminals of all kinds, in pipes, and as pictures."""

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from service.cli.forecast_plot import MatplotlibMissing, require_matplotlib
from tests.cli.terminal import run_in_terminal
from tests.cli.test_forecast_files import days
from tests.end_to_end.processes import Processes
from tests.test_cli import run

ESCAPE = "\x1b"


@pytest.fixture
def loads(tmp_path: Path) -> Path:
    """Daily loads of five places."""
    rows = [f"{day},{place},{10 + i % 7}" for place in "abcde" for i, day in enumerate(days(100))]
    file = tmp_path / "loads.csv"
    file.write_text("\n".join(["day,place,load", *rows]) + "\n")
    return file


def has_braille(text: str) -> bool:
    return any("\u2801" <= letter <= "\u28ff" for letter in text)


def test_a_pipe_gets_history_forecast_and_band_in_plain_ascii(service: Processes, loads: Path) -> None:
    ran = run(service, "plot", str(loads), "--series", "b", "--horizon", "14", "--level", "80,95")
    assert ran.returncode == 0, ran.stderr
    title, *rows, labels, legend = ran.stdout.rstrip("\n").split("\n")
    assert title == "b: the last 60 of 100 points, forecast by zero-shot version 1"
    assert ran.stdout.isascii()
    assert ESCAPE not in ran.stdout
    assert max(map(len, rows)) == 80
    assert labels.split() == ["2024-02-10", "2024-04-10", "2024-04-23"]
    assert legend.split("   ") == ["", " * history", "o forecast", ". 95 %", ": 80 %"]
    assert all(any(mark in row for row in rows) for mark in "*o")


def test_a_terminal_gets_colours_and_dots_as_wide_as_it_is(service: Processes, loads: Path) -> None:
    for columns in (50, 120):
        status, shown = run_in_terminal(["plot", str(loads), "--series", "b"], service.environment, columns)
        assert status == 0, shown
        assert has_braille(shown)
        assert ESCAPE in shown
        (floor,) = (line for line in shown.split("\n") if "└" in line)
        assert sum(letter in "└─┴" for letter in floor) + floor.index("└") - floor.index(" ") <= columns
        assert sum(letter in "─┴" for letter in floor) > columns - 10


@pytest.mark.parametrize(
    ("variables", "braille"), [({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, False)], ids=["NO_COLOR", "dumb"]
)
def test_a_terminal_without_colours_gets_none(
    service: Processes, loads: Path, variables: dict[str, str], braille: bool
) -> None:
    status, shown = run_in_terminal(["plot", str(loads), "--series", "b"], {**service.environment, **variables})
    assert status == 0, shown
    assert ESCAPE not in shown
    assert has_braille(shown) == braille


def test_the_first_few_series_are_drawn_and_others_where_they_are_named(service: Processes, loads: Path) -> None:
    ran = run(service, "plot", str(loads))
    titles = [line[0] for line in ran.stdout.splitlines() if "forecast by" in line]
    assert titles == ["a", "b", "c"]
    assert "the first 3 of 5 series; --series names others" in ran.stderr
    ran = run(service, "plot", str(loads), "--series", "e", "--series", "b")
    assert [line[0] for line in ran.stdout.splitlines() if "forecast by" in line] == ["e", "b"]
    assert "the first" not in ran.stderr


def test_as_much_of_the_past_is_drawn_as_is_asked_for(service: Processes, loads: Path) -> None:
    ran = run(service, "plot", str(loads), "--series", "a", "--last", "10", "--horizon", "2")
    assert "a: the last 10 of 100 points" in ran.stdout
    assert "2024-03-31" in ran.stdout.splitlines()[-2]
    assert "a: 100 points" in run(service, "plot", str(loads), "--series", "a", "--last", "1000").stdout
    assert run(service, "plot", str(loads), "--last", "0").returncode == 2


def test_a_model_without_intervals_is_drawn_without_and_said_so_unless_they_were_asked_for(
    service: Processes, loads: Path
) -> None:
    arguments = ("plot", str(loads), "--series", "a", "--model", "linear", "--horizon", "3")
    ran = run(service, *arguments)
    assert ran.returncode == 0, ran.stderr
    assert "no intervals at this horizon: drawn without" in ran.stderr
    assert "80 %" not in ran.stdout
    ran = run(service, *arguments, "--level", "80")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "calibrat" in ran.stderr


def test_a_file_of_one_series_is_called_by_its_own_name_and_gaps_stay_gaps(service: Processes, tmp_path: Path) -> None:
    file = tmp_path / "sold.csv"
    cells = ["" if 20 <= i < 40 else str(5 + i % 7) for i in range(60)]
    file.write_text("day,sold\n" + "".join(f"{day},{cell}\n" for day, cell in zip(days(60), cells, strict=True)))
    title, *rows = run(service, "plot", str(file), "--horizon", "7").stdout.splitlines()
    assert title.startswith("sold.csv: 60 points")
    # Columns 20 to 39 of 67 points in 75 columns.
    inside = [row[len(rows[0]) - 75 :][25:40] for row in rows[:-3]]
    assert not any("*" in part for part in inside)


def test_a_series_whose_last_values_are_missing_is_forecast_from_its_last_number(
    service: Processes, tmp_path: Path
) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"series": [*map(float, range(20)), None, None], "horizon": 2}))
    labels = run(service, "plot", str(file), COLUMNS="200").stdout.splitlines()[-2].split()
    assert labels == ["1", "21", "22"]


@pytest.mark.parametrize("freq", ["B", "W-WED", "QE", "2h"])
def test_the_past_is_labelled_with_the_times_of_the_file(service: Processes, tmp_path: Path, freq: str) -> None:
    times = pd.date_range("2024-01-03", periods=43, freq=freq)
    table = pd.DataFrame({"time": times[:40], "sold": [float(i % 5) for i in range(40)]})
    file = tmp_path / "sold.csv"
    table.to_csv(file, index=False)
    ran = run(service, "plot", str(file), "--last", "4", "--horizon", "3", COLUMNS="100")
    assert ran.returncode == 0, ran.stderr
    labels = ran.stdout.splitlines()[-2]
    shown = "%Y-%m-%d %H:%M" if freq == "2h" else "%Y-%m-%d"
    assert labels.split("   ")[0:1] == [""]
    assert [label for label in re.split(r"\s{2,}| (?=20)", labels) if label] == [
        times[place].strftime(shown) for place in (36, 40, 42)
    ]


def test_standard_input_is_drawn_under_that_name(service: Processes) -> None:
    ran = run(service, "plot", "-", "--horizon", "2", given="".join(f"{i % 7}\n" for i in range(30)).encode())
    assert ran.stdout.startswith("standard input: 30 points, forecast by ")
    assert "standard input: The file has no header" in ran.stderr


def test_fitted_values_are_drawn(service: Processes, loads: Path) -> None:
    ran = run(service, "plot", str(loads), "--series", "a", "--fitted")
    assert "+ fitted" in ran.stdout.splitlines()[-1]


@pytest.mark.parametrize(("suffix", "begin"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_a_picture_is_of_the_kind_that_its_name_says(
    service: Processes, loads: Path, tmp_path: Path, suffix: str, begin: bytes
) -> None:
    picture = tmp_path / f"chart{suffix}"
    ran = run(service, "plot", str(loads), "--level", "80,95", "--fitted", "-o", str(picture))
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert picture.read_bytes().startswith(begin)
    assert f"chart{suffix}: 3 series, forecast by zero-shot version 1" in ran.stderr


def test_a_picture_of_series_with_and_without_times_counts_points(service: Processes, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    records = [{"id": "a", "values": list(range(20)), "start": "2024-01-01"}, {"id": "b", "values": list(range(9, 40))}]
    file.write_text(json.dumps({"series": records, "freq": "D"}))
    picture = tmp_path / "chart.svg"
    ran = run(service, "plot", str(file), "-o", str(picture))
    assert ran.returncode == 0, ran.stderr
    assert picture.exists()


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("-o", "chart.jpg"), 2, "ends in .png, .svg or .pdf"),
        (("-o", "-"), 2, "ends in .png, .svg or .pdf"),
        (("-o", "nowhere/chart.png"), 2, "there is no folder"),
        (("--level", "100"), 2, "between 0 and 100"),
        (("--series", "f"), 2, "It has 'a', 'b', 'c', 'd', 'e'."),
        ((), 1, "outfielder up"),
    ],
)
def test_wrong_usage_of_plot_is_told(loads: Path, options: tuple[str, ...], status: int, words: str) -> None:
    ran = run(None, "plot", str(loads), *options, "--url", "http://127.0.0.1:9", COLUMNS="1000")
    assert (ran.returncode, ran.stdout) == (status, "")
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_parquet_is_not_written_to_a_terminal(service: Processes, loads: Path) -> None:
    arguments = ["forecast", str(loads), "--output-format", "parquet"]
    status, shown = run_in_terminal(arguments, service.environment)
    assert status == 2
    assert "Parquet is no text" in shown
    assert "PAR1" not in shown


def test_without_matplotlib_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    with pytest.raises(MatplotlibMissing, match="pip install matplotlib"):
        require_matplotlib()


def test_ids_do_not_control_the_terminal(service: Processes, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"series": {"\x1b]0;owned\x07": list(range(20))}}))
    ran = run(service, "plot", str(file))
    assert ran.returncode == 0, ran.stderr
    assert ESCAPE not in ran.stdout
