"""POST /anomalies, `fitted` in /forecast and `forecasts` in /backtest: what would have been forecast in the past."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.schemas.anomalies import AnomaliesAnswer
from service.api.schemas.backtest import BacktestAnswer
from service.cli.first_run import load_air_passengers
from service.serving.anomalies import MOST_POINTS
from service.store.pretrained import publish_pretrained
from tests.api.server import assert_problem, client
from tests.serving.models import KINDS, Kind, add_version

PASSENGERS = [float(value) for part in load_air_passengers() for value in part]


@pytest.fixture(scope="module")
def http(stored_kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("models") / "store"
    shutil.copytree(stored_kinds, root)
    publish_pretrained(root)
    add_version(root, "whole-sequence", Kind(memory=3))
    with client(root, tmp_path_factory.mktemp("state"), max_body_bytes=2**23) as http:
        yield http


def ask(http: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    response = http.post(path, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_month_that_nobody_expected_is_an_anomaly_and_the_others_are_none(http: httpx.Client) -> None:
    series = [*PASSENGERS[:100], PASSENGERS[100] * 1.5, *PASSENGERS[101:]]
    answer = ask(http, "/anomalies", series=series, freq="MS", start="1949-01-01", model="zero-shot")
    AnomaliesAnswer.model_validate(answer, strict=True)
    assert (answer["model"], answer["level"]) == ("zero-shot", 99)
    [found] = answer["series"]
    # What comes after it is judged by a history that holds it.
    assert found["anomalies"][0] == 100
    assert set(found["anomalies"]) <= {100, 101, 112, 113}
    assert found["season"] == 12
    assert found["timestamps"][100] == "1957-05-01"
    assert len(found["values"]) == len(found["lower"]) == len(found["upper"]) == len(series)
    assert found["values"][: found["first"]] == [None] * found["first"]
    outside = [
        i
        for i, value in enumerate(series)
        if found["values"][i] is not None and not found["lower"][i] <= value <= found["upper"][i]
    ]
    assert outside == found["anomalies"]


@pytest.mark.parametrize("origin", [30, 77, 143])
def test_each_point_is_forecast_as_a_request_of_that_time_would_have_been(http: httpx.Client, origin: int) -> None:
    [found] = ask(http, "/anomalies", series=PASSENGERS, model="zero-shot", level=80)["series"]
    [then] = ask(http, "/forecast", series=PASSENGERS[:origin], model="zero-shot", horizon=1, season=12, level=[80])[
        "forecasts"
    ]
    assert found["values"][origin] == pytest.approx(then["values"][0], rel=1e-5)
    assert found["lower"][origin] == pytest.approx(then["intervals"]["80"]["lower"][0], rel=1e-4)
    assert found["upper"][origin] == pytest.approx(then["intervals"]["80"]["upper"][0], rel=1e-4)


def test_of_noise_as_many_points_are_outside_as_the_level_says(http: httpx.Client) -> None:
    noise = np.random.default_rng(3).normal(size=(20, 120)).round(4).tolist()
    answer = ask(http, "/anomalies", series=noise, model="zero-shot", level=80)
    n_judged = sum(len(series["values"]) - series["first"] for series in answer["series"])
    share = sum(len(series["anomalies"]) for series in answer["series"]) / n_judged
    assert 0.1 < share < 0.3


@pytest.mark.parametrize("model", ["whole-sequence", *KINDS])
def test_fitted_values_are_the_forecasts_from_what_came_before(http: httpx.Client, model: str) -> None:
    kind = KINDS.get(model, Kind(memory=3))
    series = [None, *(float(10 + t % 7 + t / 10) for t in range(70)), None]
    numbers = [value for value in series if value is not None]
    [record] = ask(http, "/forecast", series=series, model=model, fitted=True)["forecasts"]
    fitted = record["fitted"]
    assert len(fitted) == len(series)
    known = [i for i, value in enumerate(fitted) if value is not None]
    assert known == list(range(known[0], len(series) - 1))
    for place in (known[0], known[20], known[-1]):
        # The first null is no point of the series.
        assert fitted[place] == pytest.approx(kind.expected(numbers[: place - 1], 1)[0], rel=1e-5)


def test_fitted_values_come_with_forecasts_of_an_upload_and_of_a_large_body(http: httpx.Client) -> None:
    upload = http.post("/datasets", json={"series": {"a": PASSENGERS, "b": PASSENGERS[:60]}, "freq": "MS"}).json()
    records = ask(http, "/forecast", dataset=upload["id"], model="zero-shot", fitted=True)["forecasts"]
    assert [len(record["fitted"]) for record in records] == [144, 60]
    many = [PASSENGERS] * 300
    large = ask(http, "/forecast", series=many, model="zero-shot", fitted=True, horizon=1)["forecasts"]
    assert len(large) == 300
    first = records[0]["fitted"].index(None, 0) + records[0]["fitted"].count(None)
    assert large[299]["fitted"][first:] == pytest.approx(records[0]["fitted"][first:], rel=1e-4)


def test_missing_points_are_forecast_and_never_anomalies(http: httpx.Client) -> None:
    series: list[float | None] = list(PASSENGERS)
    series[90] = series[91] = None
    [found] = ask(http, "/anomalies", series=series, model="zero-shot")["series"]
    assert found["values"][90] is not None
    assert not {90, 91} & set(found["anomalies"])


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"series": [1, 2, 3]}, "/series", "too_short"),
        ({"series": [1.0] * (MOST_POINTS + 1)}, "/series", "too_many_points"),
        ({"series": PASSENGERS, "level": 0.99}, "/level", "level_is_fraction"),
        ({"series": PASSENGERS, "model": "lstm"}, "/level", "level_not_calibrated"),
        ({"series": PASSENGERS, "freq": "MS", "start": "nonsense"}, "/start", "bad_timestamp"),
        ({}, "/series", "missing_field"),
    ],
)
def test_what_can_not_be_judged_is_refused_in_words(
    http: httpx.Client, fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert_problem(http.post("/anomalies", json={"model": "zero-shot", **fields}), 422, code, pointer)


def test_one_bad_series_leaves_its_neighbours_alone(http: httpx.Client) -> None:
    answer = ask(http, "/anomalies", series={"short": [1, 2], "good": PASSENGERS}, model="zero-shot")
    assert answer["series"][0]["error"]["code"] == "too_short"
    assert answer["series"][1]["values"]


def test_a_backtest_shows_the_forecasts_that_it_scored(http: httpx.Client) -> None:
    series = [None, None, *PASSENGERS]
    answer = ask(
        http,
        "/backtest",
        series=series,
        model="zero-shot",
        horizon=3,
        windows=2,
        step=2,
        season=12,
        level=[80],
        forecasts=True,
    )
    BacktestAnswer.model_validate(answer, strict=True)
    shown = answer["series"][0]["forecasts"]
    assert [forecast["origin"] for forecast in shown] == [len(series) - 5, len(series) - 3]
    for forecast in shown:
        [then] = ask(
            http,
            "/forecast",
            series=series[: forecast["origin"]],
            model="zero-shot",
            horizon=3,
            season=12,
            level=[80],
        )["forecasts"]
        assert forecast["values"] == pytest.approx(then["values"], rel=1e-5)
        assert forecast["intervals"]["80"]["upper"] == pytest.approx(then["intervals"]["80"]["upper"], rel=1e-4)
    errors = [abs(f - a) for one in shown for f, a in zip(one["values"], series[one["origin"] :], strict=False)]
    assert answer["overall"]["model"]["mae"] == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_a_backtest_refuses_more_forecasts_than_an_answer_may_hold(http: httpx.Client) -> None:
    body = {"series": [PASSENGERS] * 30, "model": "zero-shot", "horizon": 50, "windows": 90, "forecasts": True}
    body |= {"level": [50, 60, 70, 80, 90]}
    assert_problem(http.post("/backtest", json=body), 422, "answer_too_large", "/forecasts")
