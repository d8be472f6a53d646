"""Forecasts of whole uploads on a real server with a real worker: their numbers, their file, what is left of them."""

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow.parquet as pq
import pytest

from service.api import series_source
from service.settings import Settings
from service.store.pretrained import publish_pretrained
from tests.api.server import assert_problem, client, wait_until

PARQUET = "application/vnd.apache.parquet"


@contextmanager
def worker(store: Path, state: Path, pause: float = 0.0) -> Iterator["subprocess.Popen[bytes]"]:
    url = Settings(state_dir=state).job_database_url
    command = [sys.executable, "-m", "tests.api.forecast_worker", url, str(state), str(store), str(pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def http(stored_kinds: Path, state: Path) -> Iterator[httpx.Client]:
    with client(stored_kinds, state) as http, worker(stored_kinds, state):
        yield http


def upload(http: httpx.Client, **body: Any) -> str:
    response = http.post("/datasets", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def waves(n: int, length: int = 40) -> dict[str, list[float | None]]:
    return {f"s{i}": [float((i + t) % 7 + i) for t in range(length)] for i in range(n)}


def submit(http: httpx.Client, dataset: str, **body: Any) -> dict[str, Any]:
    response = http.post("/forecast", json={"model": "lstm", **body, "dataset": dataset, "output": "dataset"})
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert job["kind"] == "forecast"
    return job


def ended(http: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def look() -> bool:
        found.update(http.get(f"/jobs/{job['id']}").json())
        return found["status"] not in ("queued", "running")

    wait_until(look, 120)
    return found


def read(http: httpx.Client, job: dict[str, Any]) -> Any:
    response = http.get(f"/jobs/{job['id']}/result")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == PARQUET
    return pq.read_table(io.BytesIO(response.content))


@pytest.mark.parametrize(
    "body",
    [
        {"series": waves(70), "freq": "D", "start": "2024-02-01"},
        {"series": waves(45)},
        {"series": {**waves(50), "none": [None] * 5, **{f"t{i}": [1.0, None, 2.0] for i in range(30)}}, "freq": "D"},
        {
            "series": [
                {"id": name, "values": values, **({"start": f"2024-01-0{1 + i % 5}"} if i > 30 else {})}
                for i, (name, values) in enumerate(waves(60).items())
            ],
            "freq": "D",
        },
    ],
    ids=["times", "no times", "series that can't be forecast", "times of some, behind those without"],
)
def test_the_file_holds_what_the_request_would_have_answered(http: httpx.Client, body: dict[str, Any]) -> None:
    dataset = upload(http, **body)
    asked = {"model": "whole", "horizon": 12, "missing": "ffill"}
    if type(body["series"]) is list:
        # Of the series of one part none may have a start, and yet no start is asked for.
        asked["freq"] = "D"
    at_once = http.post("/forecast", json={**asked, "dataset": dataset}, headers={"Accept": PARQUET})
    assert at_once.status_code == 200, at_once.text
    expected = pq.read_table(io.BytesIO(at_once.content))
    job = ended(http, submit(http, dataset, **asked))
    assert job["status"] == "succeeded", job
    table = read(http, job)
    assert table.schema.remove_metadata() == expected.schema.remove_metadata()
    assert table.to_pydict() == expected.to_pydict()
    n_series = len(body["series"])
    head = orjson.loads(table.schema.metadata[b"forecast"])
    assert head.items() <= job["result"].items()
    n_errors = 0 if "error" not in table.column_names else len(table) - table.column("error").null_count
    assert (job["result"]["n_series"], job["result"]["n_forecasts"]) == (n_series, n_series - n_errors)
    assert job["result"]["bytes"] == int(http.head(f"/jobs/{job['id']}/result").headers["content-length"])
    assert job["progress"]["epoch"] == job["progress"]["epochs"] == n_series


def test_the_forecasts_are_a_data_set_of_their_own(http: httpx.Client) -> None:
    dataset = upload(http, series={**waves(3), "none": [None]}, freq="D", start="2024-02-01")
    job = ended(http, submit(http, dataset, horizon=5))
    kept = http.get(f"/datasets/{job['result']['dataset']}").json()
    assert (kept["n_series"], kept["n_points"], kept["freq"]) == (3, 15, "D")
    assert [(finding["code"], finding["id"]) for finding in kept["audit"]] == [
        ("forecasts", None),
        ("all_null", "none"),
    ]
    table = read(http, job)
    [first, *_] = http.get(f"/datasets/{kept['id']}/series").json()["series"]
    assert first["start"] == "2024-03-12"
    assert first["values"] == table.column("forecast").to_pylist()[:5]
    assert http.delete(f"/datasets/{kept['id']}").status_code == 204
    assert_problem(http.get(f"/jobs/{job['id']}/result"), 404, "dataset_not_found")


def test_intervals_and_quantiles_have_the_columns_of_an_answer_and_the_first_season_its_steps(tmp_path: Path) -> None:
    publish_pretrained(tmp_path / "store")
    with client(tmp_path / "store", tmp_path / "state") as http, worker(tmp_path / "store", tmp_path / "state"):
        dataset = upload(http, series=waves(30))
        asked = {"model": "zero-shot", "level": [80], "quantiles": [0.1]}
        at_once = http.post("/forecast", json={**asked, "dataset": dataset}, headers={"Accept": PARQUET})
        table = pq.read_table(io.BytesIO(at_once.content))
        assert table.column_names == ["unique_id", "step", "forecast", "lo-80", "hi-80", "q-0.1"]
        assert len(table) == 30 * 7
        assert read(http, ended(http, submit(http, dataset, **asked))).to_pydict() == table.to_pydict()


def test_what_would_fail_is_refused_at_once(http: httpx.Client) -> None:
    dataset = upload(http, series=waves(2))

    def ask(**body: Any) -> httpx.Response:
        return http.post("/forecast", json={"model": "lstm", "output": "dataset", **body})

    assert_problem(ask(series=[1, 2, 3]), 422, "option_not_applicable", "/output")
    assert_problem(ask(dataset="0" * 32), 404, "dataset_not_found")
    assert_problem(ask(dataset=dataset, model="nobody"), 404, "model_not_found")
    assert_problem(ask(dataset=dataset, horizon=0), 422, "horizon_out_of_bounds", "/horizon")
    assert_problem(ask(dataset=dataset, fitted=True), 422, "option_not_applicable", "/fitted")
    assert_problem(ask(dataset=dataset, output="file"), 422, "unknown_choice", "/output")
    for wrong in ({"freq": "never"}, {"freq": "D"}, {"freq": "never", "start": "2024-01-01"}, {"level": [0.8]}):
        at_once = http.post("/forecast", json={"model": "lstm", "dataset": dataset, **wrong})
        assert at_once.status_code == 422
        assert ask(dataset=dataset, **wrong).json()["errors"] == at_once.json()["errors"]


def test_a_forecast_that_no_series_can_have_fails_with_the_reason(http: httpx.Client, state: Path) -> None:
    dataset = upload(http, series={"a": [None, None]})
    job = ended(http, submit(http, dataset))
    assert (job["status"], job["error"]["code"]) == ("failed", "forecast_failed")
    assert "All values of the series are null" in job["error"]["message"]
    assert_problem(http.get(f"/jobs/{job['id']}/result"), 409, "no_result")
    assert not list((state / "datasets" / ".staging").iterdir())


def test_the_same_key_is_one_job(http: httpx.Client) -> None:
    dataset = upload(http, series=waves(2))
    body = {"model": "lstm", "dataset": dataset, "output": "dataset"}
    jobs = [http.post("/forecast", json=body, headers={"Idempotency-Key": "one"}).json() for _ in range(2)]
    assert jobs[0]["id"] == jobs[1]["id"]


def test_a_forecast_is_cancelled_and_one_whose_worker_is_killed_is_made_once(
    stored_kinds: Path, tmp_path: Path
) -> None:
    with client(stored_kinds, tmp_path) as http:
        dataset = upload(http, series=waves(200))
        folder = tmp_path / "datasets"
        with worker(stored_kinds, tmp_path, pause=0.3) as process:
            first = submit(http, dataset)
            wait_until(lambda: (http.get(f"/jobs/{first['id']}").json()["progress"] or {}).get("epoch"))
            assert_problem(http.get(f"/jobs/{first['id']}/result"), 409, "no_result")
            assert_problem(http.delete(f"/datasets/{dataset}"), 409, "dataset_in_use")
            http.post(f"/jobs/{first['id']}/cancel")
            assert ended(http, first)["status"] == "cancelled"
            wait_until(lambda: not list((folder / ".staging").iterdir()))
            second = submit(http, dataset)
            wait_until(lambda: (http.get(f"/jobs/{second['id']}").json()["progress"] or {}).get("epoch"))
            process.send_signal(signal.SIGKILL)
        assert len(http.get("/datasets").json()["datasets"]) == 1
        # What it runs on are the series of its submission.
        assert http.put(f"/datasets/{dataset}", json={"series": {"other": [1.0] * 9}}).status_code == 200
        with worker(stored_kinds, tmp_path):
            job = ended(http, second)
        assert (job["status"], job["attempt"]) == ("succeeded", 2)
        assert len(set(read(http, job).column("unique_id").to_pylist())) == 200
        assert len(http.get("/datasets").json()["datasets"]) == 2


def test_there_is_no_result_of_a_job_that_does_not_exist(http: httpx.Client) -> None:
    assert_problem(http.get("/jobs/none/result"), 404, "job_not_found")


def test_an_upload_that_is_too_large_to_be_answered_at_once_is_left_to_a_job(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_source, "MOST_READ_WHOLE", 100)
    dataset = upload(http, series=waves(3))
    for path in ("/forecast", "/backtest", "/anomalies"):
        response = http.post(path, json={"model": "lstm", "dataset": dataset})
        assert_problem(response, 422, "too_many_points", "/dataset")
    assert ended(http, submit(http, dataset))["status"] == "succeeded"


def test_a_forecast_of_an_upload_is_made_again(http: httpx.Client) -> None:
    dataset = upload(http, series=waves(3))
    job = submit(http, dataset)
    wait_until(lambda: http.get(f"/jobs/{job['id']}").json()["status"] == "succeeded")
    again = http.post(f"/jobs/{job['id']}/retry")
    assert again.status_code == 202, again.text
    wait_until(lambda: http.get(f"/jobs/{again.json()['id']}").json()["status"] == "succeeded")
    assert http.get(f"/jobs/{again.json()['id']}").json()["retry_of"] == job["id"]
