"""POST /backtest on a real server."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.schemas.backtest import BacktestAnswer
from tests.api.server import assert_problem, client
from tests.serving.models import KINDS

SERIES = [float(10 + t % 7 + t / 10) for t in range(60)]


def test_a_model_is_measured_beside_the_baselines(http: httpx.Client) -> None:
    body = {
        "model": "lstm",
        "series": {"a": SERIES, "b": [1, 2, 3]},
        "horizon": 7,
        "freq": "D",
        "windows": 2,
        "step": 7,
    }
    response = http.post("/backtest", json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    BacktestAnswer.model_validate(answer, strict=True)
    shown = {key: answer[key] for key in ("model", "version", "horizon", "windows", "step", "season", "left_out")}
    assert shown == {
        "model": "lstm",
        "version": 1,
        "horizon": 7,
        "windows": 2,
        "step": 7,
        "season": 7,
        "left_out": {},
    }
    assert answer["series"][1]["error"]["code"] == "too_short"
    assert answer["series"][0] == {"id": "a", **answer["overall"]}
    errors = [
        abs(forecast - actual)
        for origin in (46, 53)
        for forecast, actual in zip(
            KINDS["lstm"].expected(SERIES[:origin], 7), SERIES[origin : origin + 7], strict=True
        )
    ]
    assert answer["overall"]["model"]["mae"] == pytest.approx(sum(errors) / len(errors), rel=1e-4)
    # Each week is 0.7 above the one before, also within the history.
    assert answer["overall"]["seasonal_naive"]["mase"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"series": [1, 2]}, "/series", "too_short"),
        ({"series": None}, "/series", "wrong_type"),
        ({"window": 3}, "/window", "unknown_field"),
        ({"windows": 0}, "/windows", "out_of_bounds"),
        ({"windows": 1001}, "/windows", "out_of_bounds"),
        ({"windows": 2.5}, "/windows", "wrong_type"),
        ({"step": 0}, "/step", "out_of_bounds"),
        ({"season": 0}, "/season", "out_of_bounds"),
        ({"horizon": 1001}, "/horizon", "horizon_out_of_bounds"),
        ({"level": [80]}, "/level", "level_not_calibrated"),
        ({"level": [100]}, "/level/0", "out_of_bounds"),
        ({"missing": "zero"}, "/missing", "unknown_choice"),
        ({"freq": "fortnight"}, "/freq", "unknown_frequency"),
        ({"version": 1.5}, "/version", "wrong_type"),
    ],
)
def test_a_wrong_request_is_refused(http: httpx.Client, fields: dict[str, Any], pointer: str, code: str) -> None:
    assert_problem(http.post("/backtest", json={"series": SERIES, **fields}), 422, code, pointer)


def test_what_is_not_there_is_not_found_and_what_is_coming_is_a_conflict(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http:
        assert_problem(http.post("/backtest", json={"series": SERIES}), 404, "model_not_found")
        http.post("/train", json={"architecture": "lstm"})
        assert_problem(http.post("/backtest", json={"series": SERIES}), 409, "still_training")


def test_an_unknown_version_is_not_found(http: httpx.Client) -> None:
    assert_problem(http.post("/backtest", json={"series": SERIES, "version": 9}), 404, "version_not_found")
