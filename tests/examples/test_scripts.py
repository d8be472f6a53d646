"""The examples in other languages print the same forecast, each where its language is at hand."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.processes import Processes, free_port
from tests.end_to_end.readme import read_steps, same
from tests.page.browser import find_browser, launched

EXAMPLES = Path(__file__).parents[2] / "examples"
MONTHS = [f"1960-{month:02}-01" for month in range(1, 13)]
# What was measured in 1960, in thousands of passengers.
MEASURED = [417, 391, 419, 461, 472, 535, 622, 606, 508, 461, 390, 432]
COMMANDS = {
    "forecast.py": [sys.executable],
    "forecast.mjs": ["node"],
    "forecast.R": ["Rscript"],
    "forecast.sh": ["bash"],
}


def run(script: str, url: str) -> "subprocess.CompletedProcess[str]":
    command = COMMANDS[script]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    packages = ["Rscript", "-e", "library(httr2); library(jsonlite)"]
    if script == "forecast.R" and subprocess.run(packages, capture_output=True).returncode:
        pytest.skip("httr2 or jsonlite is not installed")
    return subprocess.run([*command, str(EXAMPLES / script), url], capture_output=True, text=True, timeout=120)


def expect_table(printed: str, service: Processes) -> None:
    """The lines of the table hold what was measured, and what the service forecasts."""
    series = service.client.get("/examples/air-passengers").json()["series"][0]["values"]
    request = {"series": series[:-12], "horizon": 12, "level": [80], "freq": "MS", "start": "1949-01-01"}
    forecast = service.client.post("/forecast", json=request).json()["forecasts"][0]
    interval = forecast["intervals"]["80"]
    rows = [re.findall(r"[\d.-]+", line) for line in printed.splitlines()[1:13]]
    assert [row[0] for row in rows] == MONTHS
    assert [float(row[1]) for row in rows] == MEASURED
    for place, expected in ((2, forecast["values"]), (3, interval["lower"]), (4, interval["upper"])):
        assert [float(row[place]) for row in rows] == pytest.approx(expected, abs=0.51)
    error = sum(abs(a - b) for a, b in zip(MEASURED, forecast["values"], strict=True)) / 12
    assert printed.splitlines()[13] == f"mean absolute error: {error:.1f}"


def test_the_readme_shows_what_is_printed(service: Processes) -> None:
    [step] = read_steps((EXAMPLES / "README.md").read_text())
    assert step.command == "python3 examples/forecast.py"
    assert same(step.output, run("forecast.py", service.url).stdout, tolerance=0.02)


@pytest.mark.parametrize("script", ["forecast.py", "forecast.mjs", "forecast.R"])
def test_a_script_prints_the_forecast_beside_what_was_measured(script: str, service: Processes) -> None:
    ran = run(script, service.url)
    assert (ran.returncode, ran.stderr) == (0, "")
    expect_table(ran.stdout, service)


def test_the_curl_script_prints_the_forecast_as_csv(service: Processes) -> None:
    ran = run("forecast.sh", service.url)
    assert (ran.returncode, ran.stderr) == (0, "")
    head, *rows = ran.stdout.splitlines()
    assert head == '"unique_id","ds","forecast","lo-80","hi-80"'
    assert [row.split(",")[1].strip('"') for row in rows] == MONTHS
    known = (EXAMPLES / "air_passengers.csv").read_text().splitlines()
    assert [float(line.split(",")[2]) for line in known[-12:]] == MEASURED


def test_the_javascript_runs_in_a_browser_too(service: Processes) -> None:
    if find_browser() is None:
        pytest.skip("no browser")
    printed: list[str] = []
    with launched() as browser:
        page = browser.new_page()
        page.goto(f"{service.url}/healthz")
        page.on("console", lambda message: printed.append(message.text) if message.type == "log" else None)
        page.evaluate((EXAMPLES / "forecast.mjs").read_text())
    expect_table("\n".join(printed), service)


# curl would wait and ask again, and so do older versions of httr2, for half a minute.
@pytest.mark.parametrize(
    "script", ["forecast.py", "forecast.mjs", pytest.param("forecast.R", marks=pytest.mark.exhaustive)]
)
def test_a_script_says_that_no_server_is_there(script: str) -> None:
    port = free_port()
    ran = run(script, f"http://127.0.0.1:{port}")
    assert ran.returncode != 0
    assert str(port) in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_script_says_what_the_server_refuses(service: Processes, tmp_path: Path) -> None:
    source = (EXAMPLES / "forecast.py").read_text().replace('"level": [80]', '"level": [0.8]')
    (tmp_path / "forecast.py").write_text(source)
    ran = subprocess.run(
        [sys.executable, tmp_path / "forecast.py", service.url], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("/level/0: ")
