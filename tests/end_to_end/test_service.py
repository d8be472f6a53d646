"""API and worker as a user has them: train, watch, forecast, cancel, and kills in the middle of it."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.end_to_end.processes import Processes

WAVE = [round(float(np.sin(0.3 * step)), 4) for step in range(60)]
QUICK: dict[str, Any] = {"architecture": "linear", "scaling": "standard", "epochs": 2, "data": {"n_series": 200}}
# Long enough to be caught in the middle: some 40 epochs a minute.
SLOW: dict[str, Any] = {"architecture": "vector_rnn", "epochs": 500, "data": {"n_series": 2000}}
RNG = np.random.default_rng(0)
SERIES = {name: (np.sin(np.arange(90) * 0.3) + 0.1 * RNG.standard_normal(90)).round(4).tolist() for name in "abc"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    processes = Processes(tmp_path_factory.mktemp("service"), OUTFIELDER_BACKTEST_INLINE_POINTS="90")
    processes.start("serve")
    processes.start("worker")
    processes.wait_until_ready()
    yield processes
    processes.close()


def forecast(service: Processes, **request: Any) -> dict[str, Any]:
    response = service.client.post("/forecast", json=request)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_model_is_trained_watched_and_served_without_a_restart(service: Processes) -> None:
    job = service.train(**QUICK, name="first")
    early = service.client.post("/forecast", json={"model": "first", "series": WAVE})
    assert early.status_code == 409
    assert early.json()["errors"][0]["code"] == "still_training"
    assert early.json()["job"]["id"] == job["id"]

    with service.client.stream("GET", f"/jobs/{job['id']}/events", timeout=120) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = list(response.iter_lines())
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert kinds[-1] == "done"
    assert set(kinds[:-1]) == {"progress"}
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [event["epoch"] for event in data[:-1]] == [0, 1, 2]
    assert data[-1]["status"] == "succeeded"

    # At once: a client that was told of the model need not try again.
    answer = service.client.post("/forecast", json={"model": "first", "series": WAVE}).json()
    assert (answer["model"], answer["version"], answer["mode"], answer["horizon"]) == ("first", 1, "vector", 10)
    assert len(answer["forecasts"][0]["values"]) == 10
    resumed = service.client.get(f"/jobs/{job['id']}/events", headers={"Last-Event-ID": "2"}).text
    assert [line for line in resumed.splitlines() if line.startswith("id: ")] == ["id: 3", "id: 4"]


def test_a_second_version_takes_over_and_an_alias_can_hold_the_first(service: Processes) -> None:
    for _ in range(2):
        service.wait_for_job(service.train(**QUICK, name="twice")["id"])
    service.wait_until(lambda: forecast(service, model="twice", series=WAVE)["version"] == 2, "version 2")
    put = service.client.put("/models/twice/aliases/champion", json={"version": 1})
    assert put.status_code == 200, put.text
    assert forecast(service, model="twice", series=WAVE)["version"] == 1
    assert forecast(service, model="twice", series=WAVE, version=2)["version"] == 2
    assert service.client.delete("/models/twice/versions/1").status_code == 409
    assert service.client.delete("/models/twice/versions/2").status_code == 204
    assert service.client.post("/forecast", json={"model": "twice", "version": 2, "series": WAVE}).status_code == 404
    third = service.wait_for_job(service.train(**QUICK, name="twice")["id"])
    assert third["result"]["version"] == 3


def test_cancelling_ends_a_running_job_and_publishes_nothing(service: Processes) -> None:
    job = service.train(**SLOW, name="cancelled")
    service.wait_until(lambda: (service.job(job["id"])["progress"] or {}).get("epoch", 0) >= 1, "the first epoch")
    service.cancel(job["id"])
    service.wait_for_job(job["id"], "cancelled")
    after = service.wait_for_job(service.train(**QUICK, name="after-cancel")["id"])
    assert after["status"] == "succeeded"
    assert not (service.store / "cancelled").exists()
    assert service.client.post(f"/jobs/{job['id']}/cancel").status_code == 409


def test_one_step_models_feed_themselves(service: Processes) -> None:
    service.wait_for_job(service.train(**{**QUICK, "architecture": "naive", "head": "one_step", "epochs": None}
                                       | {"name": "echo"})["id"])  # fmt: skip
    service.wait_until(
        lambda: service.client.post("/forecast", json={"model": "echo", "series": WAVE}).status_code == 200, "echo"
    )
    assert forecast(service, model="echo", series=WAVE)["mode"] == "one_step"
    answer = forecast(service, model="echo", series=WAVE, horizon=100)
    assert answer["mode"] == "autoregressive"
    assert answer["forecasts"][0]["values"] == pytest.approx([WAVE[-1]] * 100, rel=1e-5)


def test_a_backtest_scores_as_the_request_would_have_and_the_worker_goes_on_training(service: Processes) -> None:
    service.wait_for_job(service.train(**QUICK, name="demo")["id"])
    service.wait_until(lambda: service.client.get("/models/demo").status_code == 200, "the model")
    body = {"model": "demo", "horizon": 5, "windows": 4, "season": 21}
    at_once = {}
    for name, values in SERIES.items():
        response = service.client.post("/backtest", json={**body, "series": {name: values}})
        assert response.status_code == 200, response.text
        at_once[name] = response.json()["series"][0]
    submitted = service.client.post("/backtest", json={**body, "series": {**SERIES, "short": [1, 2]}})
    assert submitted.status_code == 202, submitted.text
    job = service.wait_for_job(submitted.json()["id"])
    assert (job["kind"], job["model"], job["progress"]["epoch"]) == ("backtest", "demo", 3)
    result = job["result"]
    assert (result["model"], result["version"], result["windows"]) == ("demo", 1, 4)
    assert result["series"][3]["error"]["pointer"] == "/series/short"
    for one in result["series"][:3]:
        for forecaster in ("model", "naive", "seasonal_naive"):
            assert one[forecaster] == pytest.approx(at_once[one["id"]][forecaster], rel=1e-5)
    assert service.client.get("/jobs").json()["jobs"][0]["result"] is None
    again = service.wait_for_job(service.train(**QUICK, name="demo")["id"])
    assert again["result"]["version"] == 2


def test_a_worker_killed_in_mid_fit_is_no_ones_concern(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the supervisor: the job completes by itself, one version is published."""
    service = Processes(tmp_path_factory.mktemp("killed"), OUTFIELDER_STARTER_MODELS="none")
    try:
        service.start("up")
        service.wait_until_ready()
        job = service.train(**{**SLOW, "epochs": 12}, name="phoenix")
        for attempt, part in ((1, "what performs its jobs"), (2, "the worker")):

            def is_in_mid_fit(attempt: int = attempt) -> bool:
                found = service.job(job["id"])
                return bool(found["attempt"] == attempt and (found["progress"] or {}).get("epoch", 0) >= 2)

            service.wait_until(is_in_mid_fit, f"the second epoch of attempt {attempt}")
            performing = find_processes("--performs", service)
            (worker,) = set(find_processes("service.cli worker", service)) - set(performing)
            os.kill(worker if part == "the worker" else performing[0], signal.SIGKILL)
        done = service.wait_for_job(job["id"])
        assert done["attempt"] == 3
        model = service.wait_until(
            lambda: (r := service.client.get("/models/phoenix")).status_code == 200 and r.json(), "the model"
        )
        assert len(model["versions"]) == 1
        kill_the_api_under_requests(service)
    finally:
        service.close()


def kill_the_api_under_requests(service: Processes) -> None:
    """The API is back by itself, and whatever it answers before and after is whole."""
    stop = threading.Event()
    answers: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                response = service.client.post("/forecast", json={"model": "phoenix", "series": WAVE})
            except Exception:  # noqa: BLE001 - a connection may break in any way while the server is dead
                continue
            answers.append(response.status_code)
            if response.status_code == 200:
                assert len(response.json()["forecasts"][0]["values"]) == 10

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        service.wait_until(lambda: answers.count(200) >= 20, "answers before the kill")
        (api,) = find_processes("service.cli serve", service)
        os.kill(api, signal.SIGKILL)
        before = len(answers)
        service.wait_until(lambda: answers[before:].count(200) >= 20, "answers after the kill")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(answers) <= {200, 503}
    names = [model["name"] for model in service.client.get("/models").json()["models"]]
    assert names == ["phoenix", "zero-shot"]


def find_processes(command: str, service: Processes) -> list[int]:
    """Processes with this command line that belong to the service under test."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            environment = (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if command in words and f"OUTFIELDER_PORT={service.port}\0" in environment:
            found.append(int(folder.name))
    return found
