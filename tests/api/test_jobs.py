"""POST /train and the /jobs routes, on a real server; where a job must run, with a real worker process."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.train_jobs import check_data
from service.datasets.store import DatasetStore
from service.domain.recipes.presets import CHAPTER
from service.errors import DatasetNotFound
from service.settings import Settings
from tests.api.server import assert_problem, client, wait_until
from tests.jobs.workers import warm_processes


@pytest.fixture
def http(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a server with an empty store and no worker."""
    with client(tmp_path / "store", tmp_path / "state") as http:
        yield http


@contextmanager
def worker(state_dir: Path) -> Iterator[None]:
    url = Settings(state_dir=state_dir).job_database_url
    process = warm_processes().start("tests.api.worker_process", [url, str(state_dir)], dict(os.environ))
    try:
        assert process.stdout.readline() == "started\n"
        yield
    finally:
        process.terminate()
        process.communicate(20)


def submit(http: httpx.Client, **body: Any) -> dict[str, Any]:
    response = http.post("/train", json={"architecture": "lstm", **body})
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


def events_of(http: httpx.Client, job_id: str, headers: dict[str, str] | None = None) -> list[tuple[int, str, Any]]:
    """A whole stream, as (id, event, data)."""
    found = []
    with http.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
                fields = {}
    return found


def test_a_job_is_accepted_and_can_be_looked_up(http: httpx.Client) -> None:
    response = http.post("/train", json={"architecture": "gru", "name": "mine", "epochs": 3})
    assert response.status_code == 202
    job = response.json()
    assert (job["status"], job["model"], job["attempt"], job["progress"]) == ("queued", "mine", 0, None)
    assert job["request"] == {"architecture": "gru", "name": "mine", "epochs": 3}
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert http.get(response.headers["location"]).json() == job


def test_the_same_idempotency_key_and_body_give_the_same_job(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = (http.post("/train", json={"architecture": "gru"}, headers=headers) for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    other = http.post("/train", json={"architecture": "lstm"}, headers=headers)
    assert_problem(other, 409, "idempotency_key_reused")
    assert len(http.get("/jobs").json()["jobs"]) == 1


def test_the_chapter_is_one_job_for_each_of_its_models(http: httpx.Client) -> None:
    body = {"architecture": "chapter", "name": "trial", "epochs": 2, "scaling": "standard"}
    response = http.post("/train", json=body, headers={"Idempotency-Key": "k"})
    assert response.status_code == 202
    answer = response.json()
    assert [job["model"] for job in answer["jobs"]] == [f"trial-{name}" for name in CHAPTER]
    assert answer["next_cursor"] is None
    by_name = {job["model"]: job["request"] for job in answer["jobs"]}
    assert by_name["trial-lstm"]["epochs"] == 2
    assert "epochs" not in by_name["trial-naive"]
    again = http.post("/train", json=body, headers={"Idempotency-Key": "k"})
    assert [job["id"] for job in again.json()["jobs"]] == [job["id"] for job in answer["jobs"]]


def test_jobs_are_listed_newest_first_in_pages(http: httpx.Client) -> None:
    ids = [submit(http, name=f"m{i}")["id"] for i in range(5)]
    first = http.get("/jobs", params={"limit": 2}).json()
    second = http.get("/jobs", params={"limit": 10, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ids[::-1]
    assert second["next_cursor"] is None
    assert http.get("/jobs", params={"status": "running"}).json() == {"jobs": [], "next_cursor": None}


def test_a_full_job_queue_answers_429_and_when_to_come_back(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state", queue_limit=2) as http:
        submit(http)
        submit(http)
        response = http.post("/train", json={"architecture": "lstm"})
        assert_problem(response, 429, "queue_full")
        assert int(response.headers["retry-after"]) >= 1


def test_a_queued_job_is_cancelled_at_once_and_only_once(http: httpx.Client) -> None:
    job = submit(http)
    response = http.post(f"/jobs/{job['id']}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")
    assert_problem(http.post(f"/jobs/{job['id']}/cancel"), 409, "job_ended")
    assert [(kind, data["status"]) for _, kind, data in events_of(http, job["id"])] == [("done", "cancelled")]


def test_a_model_in_training_answers_409_with_its_job(http: httpx.Client) -> None:
    body = {"series": [1, 2, 3]}
    assert_problem(http.post("/forecast", json=body), 404, "model_not_found")
    first = submit(http, name="first")
    document = assert_problem(http.post("/forecast", json=body), 409, "still_training")
    assert document["job"] == {
        "id": first["id"],
        "status": "queued",
        "epoch": None,
        "epochs": None,
        "eta_seconds": None,
    }
    lstm = submit(http)
    assert http.post("/forecast", json=body).json()["job"]["id"] == lstm["id"]
    named = http.post("/forecast", json={**body, "model": "first"})
    assert assert_problem(named, 409, "still_training")["job"]["id"] == first["id"]
    assert_problem(http.post("/forecast", json={**body, "model": "nobody"}), 404, "model_not_found")
    http.post(f"/jobs/{first['id']}/cancel")
    assert_problem(http.post("/forecast", json={**body, "model": "first"}), 404, "model_not_found")


@pytest.mark.parametrize("value", ["one", "-1", "1.5", "9" * 40])
def test_a_wrong_last_event_id_is_refused(http: httpx.Client, value: str) -> None:
    job = submit(http)
    response = http.get(f"/jobs/{job['id']}/events", headers={"Last-Event-ID": value})
    assert_problem(response, 422, "bad_header", "/Last-Event-ID")


def test_a_running_job_is_watched_resumed_and_cancelled(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http, worker(tmp_path / "state"):
        job = submit(http, epochs=3)
        events = events_of(http, job["id"])
        assert [(number, kind) for number, kind, _ in events] == [
            (1, "progress"),
            (2, "progress"),
            (3, "progress"),
            (4, "done"),
        ]
        assert [data["epoch"] for _, _, data in events[:3]] == [1, 2, 3]
        assert {"epoch", "epochs", "loss", "val_loss", "eta_seconds", "attempt"} <= events[0][2].keys()
        done = events[3][2]
        assert (done["status"], done["result"]["model"], done["attempt"]) == ("succeeded", "lstm", 1)
        assert http.get(f"/jobs/{done['id']}/result").json() == done["result"]
        assert http.get(f"/jobs/{job['id']}").json() == done
        assert events_of(http, job["id"], {"Last-Event-ID": "2"}) == events[2:]

        long = submit(http, epochs=1000, name="long")
        wait_until(lambda: http.get(f"/jobs/{long['id']}").json()["progress"] is not None)
        document = assert_problem(http.post("/forecast", json={"model": "long", "series": [1]}), 409, "still_training")
        assert document["job"]["status"] == "running"
        assert document["job"]["epochs"] == 1000
        watched: list[Any] = []
        watcher = threading.Thread(target=lambda: watched.extend(events_of(http, long["id"])))
        watcher.start()
        time.sleep(0.3)
        assert http.post(f"/jobs/{long['id']}/cancel").status_code == 202
        watcher.join(60)
        assert not watcher.is_alive()
        assert (watched[-1][1], watched[-1][2]["status"]) == ("done", "cancelled")


def test_lists_are_filtered_and_an_unknown_filter_is_refused(http: httpx.Client) -> None:
    a, b = submit(http, name="a"), submit(http, name="b", priority=5)

    def ids(query: str) -> list[str]:
        response = http.get(f"/jobs?{query}")
        assert response.status_code == 200, response.text
        return [job["id"] for job in response.json()["jobs"]]

    assert ids("model=a") == [a["id"]]
    assert ids("kind=train&status=queued") == [b["id"], a["id"]]
    assert ids("kind=backtest") == []
    assert ids(f"submitted_before={b['submitted_at']}&submitted_after=2020-01-01") in ([a["id"]], [])
    assert ids("submitted_after=2020-01-01T00:00:00+01:00") == [b["id"], a["id"]]
    assert ids("submitted_before=2020-01-01T00:00") == []
    assert b["request"]["priority"] == 5
    problem = assert_problem(http.get("/jobs?modle=a&limit=1"), 422, "unknown_field", "/modle")
    assert "'model'" in problem["detail"]
    for query, pointer, code in (
        ("submitted_after=yesterday", "/submitted_after", "bad_timestamp"),
        ("submitted_before=2026-13-01", "/submitted_before", "bad_timestamp"),
        ("submitted_after=0001-01-01T00:00:00+23:00", "/submitted_after", "bad_timestamp"),
        ("kind=fly", "/kind", "unknown_choice"),
        ("status=done", "/status", "unknown_choice"),
    ):
        assert_problem(http.get(f"/jobs?{query}"), 422, code, pointer)
    for priority in (-11, 11):
        refused = http.post("/train", json={"architecture": "naive", "priority": priority})
        assert_problem(refused, 422, "out_of_bounds", "/priority")
    refused = http.post("/train", json={"architecture": "naive", "keep_versions": 0})
    assert_problem(refused, 422, "out_of_bounds", "/keep_versions")


def test_a_job_is_retried_once_it_has_ended_and_while_its_series_are_there(http: httpx.Client) -> None:
    job = submit(http, architecture="naive", data={"kind": "series", "series": [float(i % 7) for i in range(60)]})
    assert_problem(http.post(f"/jobs/{job['id']}/retry"), 409, "job_not_ended")
    http.post(f"/jobs/{job['id']}/cancel")
    response = http.post(f"/jobs/{job['id']}/retry", headers={"Idempotency-Key": "again"})
    assert response.status_code == 202, response.text
    again = response.json()
    assert response.headers["location"] == f"/jobs/{again['id']}"
    assert (again["retry_of"], again["request"]) == (job["id"], job["request"])
    assert http.post(f"/jobs/{job['id']}/retry", headers={"Idempotency-Key": "again"}).json() == again
    assert_problem(http.post("/jobs/nope/retry"), 404, "job_not_found")

    dataset = http.post("/datasets", json={"series": [float(i % 7) for i in range(60)]}).json()
    job = submit(http, architecture="naive", data={"kind": "dataset", "id": dataset["id"]})
    http.post(f"/jobs/{job['id']}/cancel")
    assert http.delete(f"/datasets/{dataset['id']}").status_code == 204
    assert_problem(http.post(f"/jobs/{job['id']}/retry"), 404, "dataset_not_found")


def test_a_jobs_log_and_loss_curves_can_be_read(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state") as http, worker(tmp_path / "state"):
        job = submit(http, epochs=3)
        wait_until(lambda: http.get(f"/jobs/{job['id']}").json()["status"] == "succeeded")
        log = http.get(f"/jobs/{job['id']}/log")
        assert log.headers["content-type"] == "text/plain; charset=utf-8"
        assert log.text.splitlines()[-1].endswith("INFO    run 1: ends well")
        history = http.get(f"/jobs/{job['id']}/history").json()
        assert history["next_cursor"] is None
        assert [(each["epoch"], each["loss"], each["val_loss"]) for each in history["history"]] == [
            (epoch, 1.0, 2.0) for epoch in (1, 2, 3)
        ]
        for route in ("log", "history"):
            assert_problem(http.get(f"/jobs/nope/{route}"), 404, "job_not_found")
        assert_problem(http.get(f"/jobs/{job['id']}/history?cursor=x"), 422, "bad_cursor")


@pytest.mark.parametrize("kind", ["backtest", "forecast"])
def test_the_series_of_any_kind_of_job_are_looked_for_before_it_is_retried(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DatasetNotFound):
        check_data(DatasetStore(tmp_path), {"kind": kind, "model": "a", "panel": "0" * 32})
