"""What is refused leaves nothing behind, and a job database in trouble is a 503 on every route that asks it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.server import assert_problem, client

SERIES = {str(i): [float(i + j % 7) for j in range(100)] for i in range(3)}
TRAIN = {"architecture": "mlp", "data": {"kind": "series", "series": SERIES, "freq": "D"}}


def kept(state_dir: Path) -> list[str]:
    return [path.name for path in (state_dir / "datasets").glob("**/*") if path.name != ".staging"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"horizon": 90}, 422, "nothing_to_score"),
        ({"architecture": "nobody"}, 422, "unknown_architecture"),
        ({"units": 2048, "layers": 32, "ensemble": {"members": 10}}, 422, "too_much_memory"),
        ({"log": True, "difference": "seasonal", "season": 90}, 422, None),
    ],
)
def test_a_training_that_is_refused_leaves_no_series(
    tmp_path: Path, change: dict[str, Any], status: int, code: str | None
) -> None:
    with client(tmp_path / "store", tmp_path / "state", job_memory_bytes=2**32) as http:
        response = http.post("/train", json={**TRAIN, **change})
        assert response.status_code == status, response.text
        if code is not None and code != "nothing_to_score":
            assert_problem(response, status, code)
        assert kept(tmp_path / "state") == []


def test_a_training_that_the_queue_refuses_leaves_no_series_and_one_that_it_takes_does(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with client(tmp_path / "store", state, queue_limit=1) as http:
        first = http.post("/train", json={"architecture": "lstm"}).json()
        assert_problem(http.post("/train", json=TRAIN), 429, "queue_full")
        assert kept(state) == []
        http.post(f"/jobs/{first['id']}/cancel")
        accepted = http.post("/train", json=TRAIN, headers={"Idempotency-Key": "k"})
        assert accepted.status_code == 202
        assert len(kept(state)) == 2
        # The same series are another job's: they stay when this one is refused.
        assert_problem(http.post("/train", json=TRAIN), 429, "queue_full")
        assert len(kept(state)) == 2
        other = {**TRAIN, "data": {"kind": "series", "series": {"x": SERIES["0"]}, "freq": "D"}}
        assert_problem(http.post("/train", json=other, headers={"Idempotency-Key": "k"}), 409, "idempotency_key_reused")
        again = http.post("/train", json=TRAIN, headers={"Idempotency-Key": "k"})
        assert again.json()["id"] == accepted.json()["id"]
        assert len(kept(state)) == 2


def test_a_backtest_that_the_queue_refuses_leaves_no_series(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path, backtest_inline_points=10, queue_limit=1) as http:
        assert http.post("/backtest", json={"series": SERIES, "windows": 10**3}).status_code == 422
        assert kept(tmp_path) == []
        http.post("/train", json={"architecture": "lstm"})
        assert_problem(http.post("/backtest", json={"series": SERIES}), 429, "queue_full")
        assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"architecture": "lstm", "units": 2048, "layers": 32}, "/units", "too_much_memory"),
        ({"architecture": "gru", "batch_size": 100_000, "units": 256}, "/batch_size", "too_much_memory"),
        (
            {"architecture": "lstm", "head": "one_step", "window": 199, "data": {"n_series": 10**6, "n_steps": 200}},
            "/data/n_series",
            "too_much_data",
        ),
        ({"architecture": "lstm", "units": 1024, "tune": {"trials": 3}}, None, "too_much_memory"),
        ({"architecture": "lstm", "units": 600, "layers": 8, "ensemble": {"members": 10}}, None, "too_much_memory"),
        ({"architecture": "chapter", "units": 2048}, None, "too_much_memory"),
    ],
)
def test_a_training_that_would_not_fit_is_refused_with_the_figures(
    tmp_path: Path, body: dict[str, Any], pointer: str | None, code: str
) -> None:
    with client(tmp_path / "store", tmp_path / "state", job_memory_bytes=5 * 2**30) as http:
        document = assert_problem(http.post("/train", json=body), 422, code, pointer)
        message = document["errors"][0]["message"]
        assert "expected at most 5.0 GiB" in message
        assert all(word in message for word in ("data", "weights", "activations", "program", "Ask for"))
        assert http.get("/jobs").json()["jobs"] == []


def test_the_chapters_models_fit_into_the_least_that_a_job_may_have(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state", job_memory_bytes=5 * 2**29) as http:
        assert http.post("/train", json={"architecture": "chapter"}).status_code == 202
        for architecture in ("flagship", "auto", "encoder_decoder"):
            assert http.post("/train", json={"architecture": architecture}).status_code == 202
        assert http.post("/train", json={**TRAIN, "architecture": "auto"}).status_code == 202


def ask_everything(http: httpx.Client, job_id: str) -> dict[str, httpx.Response]:
    """Each route that asks the job database."""
    return {
        "train": http.post("/train", json={"architecture": "lstm"}),
        "train with series": http.post("/train", json=TRAIN),
        "jobs": http.get("/jobs"),
        "job": http.get(f"/jobs/{job_id}"),
        "events": http.get(f"/jobs/{job_id}/events"),
        "cancel": http.post(f"/jobs/{job_id}/cancel"),
        "backtest": http.post("/backtest", json={"series": SERIES}),
        "forecast": http.post("/forecast", json={"model": "nobody", "series": [1, 2, 3]}),
        "readyz": http.get("/readyz"),
    }


def test_a_deleted_job_database_is_a_503_that_says_so_on_every_route_and_forecasts_go_on(
    stored_kinds: Path, tmp_path: Path
) -> None:
    with client(stored_kinds, tmp_path, backtest_inline_points=10) as http:
        job = http.post("/train", json={"architecture": "lstm"}).json()
        away = (tmp_path / "jobs.sqlite").rename(tmp_path / "away")
        for name, response in ask_everything(http, job["id"]).items():
            document = assert_problem(response, 503, "database_unavailable")
            assert "deleted" in document["detail"], name
            assert int(response.headers["retry-after"]) >= 1
        assert kept(tmp_path) == []
        assert http.post("/forecast", json={"series": [1, 2, 3, 4, 5, 6]}).status_code == 200
        assert "outfielder_jobs{" not in http.get("/metrics").text
        away.rename(tmp_path / "jobs.sqlite")
        assert http.get("/readyz").status_code == 200
        assert http.get(f"/jobs/{job['id']}").json() == job


def test_a_locked_job_database_is_a_503_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.connection.BUSY_SECONDS", 0.3)
    with client(tmp_path / "store", tmp_path / "state") as http:
        job = http.post("/train", json={"architecture": "lstm"}).json()
        with closing(sqlite3.connect(tmp_path / "state" / "jobs.sqlite", isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            for response in (
                http.post("/train", json=TRAIN),
                http.post(f"/jobs/{job['id']}/cancel"),
                http.get("/readyz"),
            ):
                assert "locked" in assert_problem(response, 503, "database_unavailable")["detail"]
            assert http.get("/jobs").json()["jobs"] == [job]
            connection.execute("ROLLBACK")
        assert http.post("/train", json=TRAIN).status_code == 202


def test_a_server_whose_job_database_is_damaged_says_so_and_forecasts(stored_kinds: Path, tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all, " * 1000)
    with client(stored_kinds, tmp_path) as http:
        for response in ask_everything(http, "0" * 32).values():
            if response.status_code != 200:
                assert "damaged" in assert_problem(response, 503, "database_unavailable")["detail"]
        assert_problem(http.get("/readyz"), 503, "database_unavailable")
        assert http.post("/forecast", json={"series": [1, 2, 3, 4, 5, 6]}).status_code == 200


def test_streams_beyond_the_limit_are_refused_and_those_that_end_make_room(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state", max_watchers=2) as http:
        job = http.post("/train", json={"architecture": "lstm"}).json()
        path = f"/jobs/{job['id']}/events"
        with http.stream("GET", path), http.stream("GET", path):
            response = http.get(path)
            assert_problem(response, 429, "too_many_watchers")
            assert int(response.headers["retry-after"]) >= 1
            assert_problem(http.get("/jobs/nope/events"), 404, "job_not_found")
        http.post(f"/jobs/{job['id']}/cancel")
        # The server sees that the clients have gone within moments.
        for _ in range(100):
            response = http.get(path)
            if response.status_code == 200:
                break
        assert json.loads(response.text.split("data: ")[1].split("\n")[0])["status"] == "cancelled"
        assert http.head(path).status_code == 200
        assert http.head(path).status_code == 200
        assert http.head(path).status_code == 200
