"""POST /backtest on a real server."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.schemas.backtest import BacktestAnswer
from service.api.schemas.train import JobAnswer
from service.datasets.store import DatasetStore
from service.domain.panel import Panel
from tests.api.server import assert_problem, client, wait_until
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
        ({"dataset": "d"}, "/dataset", "conflicting_fields"),
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
        ({"series": [{"id": "a", "values": SERIES, "start": "hello"}]}, "/series/0/start", "bad_timestamp"),
        (
            {"series": [{"id": "a", "values": SERIES, "start": "2024-01-03"}], "freq": "W-MON"},
            "/series/0/start",
            "frequency_mismatch",
        ),
        ({"version": 1.5}, "/version", "wrong_type"),
    ],
)
def test_a_wrong_request_is_refused(http: httpx.Client, fields: dict[str, Any], pointer: str, code: str) -> None:
    assert_problem(http.post("/backtest", json={"series": SERIES, **fields}), 422, code, pointer)


def test_the_series_of_an_upload_are_measured_as_if_they_were_posted(stored_kinds: Path, tmp_path: Path) -> None:
    panel = Panel(("a", "b"), (np.array(SERIES), np.array([np.nan, *SERIES[1:]])), (None, None), "D")
    dataset = DatasetStore(tmp_path / "datasets").add(panel)
    with client(stored_kinds, tmp_path) as http:
        uploaded = http.post("/backtest", json={"dataset": dataset.id}).json()
        posted = http.post("/backtest", json={"series": {"a": SERIES, "b": [None, *SERIES[1:]]}, "freq": "D"}).json()
        assert uploaded == posted
        assert uploaded["season"] == 7
        again = http.post("/backtest", json={"dataset": dataset.id, "freq": "24h"}).json()
        assert again["season"] == 7
        other = http.post("/backtest", json={"dataset": dataset.id, "freq": "MS"})
        assert_problem(other, 422, "frequency_mismatch", "/freq")
        short = http.post("/backtest", json={"dataset": dataset.id, "windows": 100})
        assert_problem(short, 422, "too_short", "/dataset")
        assert_problem(http.post("/backtest", json={"dataset": "0" * 32}), 404, "dataset_not_found")
        assert_problem(http.post("/backtest", json={"dataset": "../../etc"}), 404, "dataset_not_found")
        assert_problem(http.post("/backtest", json={}), 422, "missing_field", "/series")


def test_many_points_are_a_job_that_shows_counts_in_place_of_series(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path, backtest_inline_points=119) as http:
        assert http.post("/backtest", json={"series": SERIES}).status_code == 200
        body = {"series": {"a": SERIES, "b": SERIES}, "level": [], "windows": 2, "version": None}
        response = http.post("/backtest", json=body)
        assert response.status_code == 202, response.text
        job = response.json()
        JobAnswer.model_validate(job, strict=True)
        assert response.headers["location"] == f"/jobs/{job['id']}"
        assert (job["kind"], job["status"], job["model"]) == ("backtest", "queued", "lstm")
        counts = job["request"].pop("series")
        assert (counts["n_series"], counts["n_points"], len(counts["digest"])) == (2, 120, 64)
        assert job["request"] == {"level": [], "windows": 2, "version": None}
        assert [one["id"] for one in http.get("/jobs").json()["jobs"]] == [job["id"]]
        # What is wrong is told at once, not by a job that fails.
        assert_problem(http.post("/backtest", json={**body, "windows": 100}), 422, "too_short", "/series/a")
        assert_problem(http.post("/backtest", json={**body, "level": [80]}), 422, "level_not_calibrated")
        assert http.post(f"/jobs/{job['id']}/cancel").json()["status"] == "cancelled"


def test_a_job_asks_for_the_upload_as_it_is_kept_whatever_frequency_the_request_names(
    stored_kinds: Path, tmp_path: Path
) -> None:
    panel = Panel(("a", "b"), (np.array(SERIES), np.array(SERIES)), (None, None), None)
    dataset = DatasetStore(tmp_path / "datasets").add(panel)
    with client(stored_kinds, tmp_path, backtest_inline_points=10) as http:
        submitted = http.post("/backtest", json={"dataset": dataset.id, "freq": "D"})
        assert submitted.status_code == 202, submitted.text
        with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
            kept = "\n".join(connection.iterdump())
    assert f'"digest":"{panel.digest()}"' in kept.replace('": ', '":').replace('\\"', '"')


def test_a_backtest_of_a_model_does_not_make_it_one_in_training(stored_kinds: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(stored_kinds, store)
    with client(store, tmp_path / "state", backtest_inline_points=0) as http:
        assert http.post("/backtest", json={"series": SERIES}).status_code == 202
        for folder in store.iterdir():
            shutil.rmtree(folder)
        wait_until_empty(http)
        assert_problem(http.post("/forecast", json={"series": [1]}), 404, "model_not_found")
        assert_problem(http.post("/forecast", json={"series": [1], "model": "lstm"}), 404, "model_not_found")


def wait_until_empty(http: httpx.Client) -> None:
    wait_until(lambda: not http.get("/models").json()["models"])


def test_what_is_not_there_is_not_found_and_what_is_coming_is_a_conflict(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http:
        assert_problem(http.post("/backtest", json={"series": SERIES}), 404, "model_not_found")
        http.post("/train", json={"architecture": "lstm"})
        assert_problem(http.post("/backtest", json={"series": SERIES}), 409, "still_training")


def test_an_unknown_version_is_not_found(http: httpx.Client) -> None:
    assert_problem(http.post("/backtest", json={"series": SERIES, "version": 9}), 404, "version_not_found")


def test_a_backtest_that_is_sent_again_with_its_key_is_one_job(stored_kinds: Path, tmp_path: Path) -> None:
    body = {"model": "lstm", "series": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "horizon": 1}
    with client(stored_kinds, tmp_path, backtest_inline_points=0) as http:
        jobs = [http.post("/backtest", json=body, headers={"Idempotency-Key": "k"}).json() for _ in range(2)]
        assert jobs[0]["id"] == jobs[1]["id"]
        other = http.post("/backtest", json={**body, "horizon": 2}, headers={"Idempotency-Key": "k"})
        assert_problem(other, 409, "idempotency_key_reused")
        assert len(http.get("/jobs").json()["jobs"]) == 1
