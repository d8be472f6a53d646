"""Times and frequencies as clients see them, on a real server."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from tests.api.server import assert_problem

VALUES = [float(i % 7) for i in range(30)]


def stamps(http: httpx.Client, **body: Any) -> list[str]:
    response = http.post("/forecast", json={"model": "lstm", "horizon": 2, "series": VALUES[:10], **body})
    assert response.status_code == 200, response.text
    found: list[str] = response.json()["forecasts"][0]["timestamps"]
    return found


def upload(http: httpx.Client, days: list[str]) -> dict[str, Any]:
    rows = "".join(f"{day},{i % 5}\n" for i, day in enumerate(days))
    response = http.post("/datasets", content=f"ds,y\n{rows}", headers={"content-type": "text/csv"})
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.fixture(scope="module")
def mondays(http: httpx.Client) -> str:
    days = [f"2024-{month:02}-{day:02}" for month, day in [(1, 1), (1, 8), (1, 15), (1, 22), (1, 29), (2, 5), (2, 12)]]
    dataset = upload(http, days)
    assert dataset["freq"] == "W-MON"
    name: str = dataset["id"]
    return name


@pytest.mark.parametrize(
    ("freq", "start", "expected"),
    [
        ("W", "2024-01-01", ["2024-03-11", "2024-03-18"]),
        ("2W", "2024-01-01", ["2024-05-20", "2024-06-03"]),
        ("MS", "2024-01-14", ["2024-11-14", "2024-12-14"]),
        ("QS", "2024-02-14", ["2026-08-14", "2026-11-14"]),
        ("YS", "2014-07-04", ["2024-07-04", "2025-07-04"]),
        ("ME", "2024-01-31", ["2024-11-30", "2024-12-31"]),
        ("W", "2024-W01", ["2024-03-11", "2024-03-18"]),
        ("QS", "2020Q1", ["2022-07-01", "2022-10-01"]),
        ("D", " 31/01/2024 ", ["2024-02-10", "2024-02-11"]),
    ],
)
def test_the_first_forecast_is_one_step_after_the_last_point(
    http: httpx.Client, freq: str, start: str, expected: list[str]
) -> None:
    assert stamps(http, freq=freq, start=start) == expected
    assert stamps(http, freq=freq, series=[{"id": "a", "values": VALUES[:10], "start": start}]) == expected


def test_a_start_that_contradicts_the_frequency_is_a_422_with_one_that_fits(http: httpx.Client) -> None:
    body = {"model": "lstm", "series": VALUES, "freq": "ME", "start": "2024-01-14"}
    problem = assert_problem(http.post("/forecast", json=body), 422, "frequency_mismatch", "/freq")
    assert "'MS'" in problem["errors"][0]["message"]


def test_a_record_whose_start_contradicts_leaves_its_neighbours_alone(http: httpx.Client) -> None:
    records = [{"id": day, "values": VALUES, "start": day} for day in ("2024-01-07", "2024-01-01")]
    answer = http.post("/forecast", json={"model": "lstm", "series": records, "freq": "W-SUN"}).json()
    assert answer["forecasts"][0]["timestamps"][0] == "2024-08-04"
    assert answer["forecasts"][1]["error"]["code"] == "frequency_mismatch"
    assert answer["forecasts"][1]["error"]["pointer"] == "/series/1/start"
    assert "'W-MON'" in answer["forecasts"][1]["error"]["message"]


@pytest.mark.parametrize("freq", ["D", "MS", "W-SUN", "h", "2W", "B"])
def test_a_frequency_that_contradicts_a_data_sets_own_is_a_422_that_names_it(
    http: httpx.Client, mondays: str, freq: str
) -> None:
    requests = {
        "/forecast": ({"model": "lstm", "dataset": mondays, "freq": freq}, "/freq"),
        "/backtest": ({"model": "lstm", "dataset": mondays, "horizon": 1, "windows": 1, "freq": freq}, "/freq"),
        "/train": ({"architecture": "naive", "data": {"kind": "dataset", "id": mondays, "freq": freq}}, "/data/freq"),
    }
    for path, (body, pointer) in requests.items():
        problem = assert_problem(http.post(path, json=body), 422, "frequency_mismatch", pointer)
        assert "'W-MON'" in problem["errors"][0]["message"]


@pytest.mark.parametrize("freq", [None, "W", "W-MON", "7D"])
def test_another_spelling_of_a_data_sets_frequency_is_its_own(
    http: httpx.Client, mondays: str, freq: str | None
) -> None:
    body = {"model": "lstm", "dataset": mondays, "horizon": 2} | ({} if freq is None else {"freq": freq})
    answer = http.post("/forecast", json=body).json()
    assert answer["forecasts"][0]["timestamps"] == ["2024-02-19", "2024-02-26"]


@pytest.mark.parametrize("series", [VALUES, [{"id": "a", "values": VALUES, "start": "2024-01-01"}]])
def test_posted_data_whose_start_contradicts_its_frequency_is_refused(http: httpx.Client, series: Any) -> None:
    own = isinstance(series[0], dict)
    body = {"series": series, "freq": "W-SUN"} | ({} if own else {"start": "2024-01-01"})
    problem = assert_problem(http.post("/datasets", json=body), 422, "frequency_mismatch")
    assert problem["errors"][0]["pointer"] == ("/series/0/start" if own else "/freq")
    if own:
        body = {"architecture": "naive", "data": {"kind": "series", **body}}
        assert_problem(http.post("/train", json=body), 422, "frequency_mismatch", "/data/series/0/start")


def test_a_file_of_closed_sundays_is_read_as_a_week_of_six_days(http: httpx.Client) -> None:
    days = [date(2024, 1, 1) + timedelta(days=i) for i in range(60)]
    dataset = upload(http, [f"{day:%d/%m/%Y}" for day in days if day.weekday() != 6])
    assert (dataset["freq"], dataset["n_points"]) == ("C-1111110", 52)
    # That the day comes first was told by 13/01/2024.
    assert [finding["code"] for finding in dataset["audit"]] == ["times_assumed", "closed_days"]
    assert "row 12" in dataset["audit"][0]["message"]


@pytest.mark.parametrize(("level", "meant"), [(0.95, "95"), (0.8, "80"), (0.999, "99.9"), (0.5, "50"), (1, None)])
@pytest.mark.parametrize("path", ["/forecast", "/backtest"])
def test_a_fraction_is_not_taken_for_percent(http: httpx.Client, path: str, level: float, meant: str | None) -> None:
    body: dict[str, Any] = {"model": "lstm", "series": VALUES, "horizon": 2, "level": [80, level]}
    problem = assert_problem(http.post(path, json=body), 422, "level_is_fraction", "/level/1")
    message = problem["errors"][0]["message"]
    assert "percent" in message
    assert meant is None or f"Did you mean {meant}?" in message
