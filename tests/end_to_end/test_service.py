"""API and worker as a user has them: train, watch, forecast, cancel, and kills in the middle of it."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.end_to_end.processes import Processes

WAVE = [round(float(np.sin(0.3 * step)), 4) for step in range(60)]
QUICK: dict[str, Any] = {"architecture": "linear", "scaling": "standard", "epochs": 2, "data": {"n_series": 200}}
# So many epochs that no test sees their end.
LONG: dict[str, Any] = {"architecture": "vector_rnn", "layers": 1, "epochs": 5000, "data": {"n_series": 500}}
RNG = np.random.default_rng(0)
# All together are more than is measured at once.
SERIES = {name: (np.sin(np.arange(4000) * 0.3) + 0.1 * RNG.standard_normal(4000)).round(4).tolist() for name in "abc"}


def forecast(service: Processes, **request: Any) -> dict[str, Any]:
    response = service.client.post("/forecast", json=request)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_model_is_trained_watched_and_served_without_a_restart(service: Processes) -> None:
    # Behind another it can't be done before it is asked for.
    ahead = service.train(**LONG, name="ahead")
    job = service.train(**QUICK, name="first")
    early = service.client.post("/forecast", json={"model": "first", "series": WAVE})
    assert early.status_code == 409
    assert early.json()["errors"][0]["code"] == "still_training"
    assert early.json()["job"]["id"] == job["id"]
    service.cancel(ahead["id"])

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
    job = service.train(**LONG, name="cancelled")
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
    service.wait_for_job(service.train(**QUICK, name="scored")["id"])
    service.wait_until(lambda: service.client.get("/models/scored").status_code == 200, "the model")
    body = {"model": "scored", "horizon": 5, "windows": 4, "season": 21}
    at_once = {}
    for name, values in SERIES.items():
        response = service.client.post("/backtest", json={**body, "series": {name: values}})
        assert response.status_code == 200, response.text
        at_once[name] = response.json()["series"][0]
    submitted = service.client.post("/backtest", json={**body, "series": {**SERIES, "short": [1, 2]}})
    assert submitted.status_code == 202, submitted.text
    job = service.wait_for_job(submitted.json()["id"])
    assert (job["kind"], job["model"], job["progress"]["epoch"]) == ("backtest", "scored", 3)
    result = job["result"]
    assert (result["model"], result["version"], result["windows"]) == ("scored", 1, 4)
    assert result["series"][3]["error"]["pointer"] == "/series/short"
    for one in result["series"][:3]:
        for forecaster in ("model", "naive", "seasonal_naive"):
            assert one[forecaster] == pytest.approx(at_once[one["id"]][forecaster], rel=1e-5)
    assert service.client.get("/jobs").json()["jobs"][0]["result"] is None
    again = service.wait_for_job(service.train(**QUICK, name="scored")["id"])
    assert again["result"]["version"] == 2


@pytest.mark.parametrize(
    "part",
    [
        "the worker",
        # tests/jobs/test_job_supervisor.py kills it as well.
        pytest.param("what performs its jobs", marks=pytest.mark.exhaustive),
    ],
)
def test_a_worker_killed_in_mid_fit_is_no_ones_concern(service: Processes, part: str) -> None:
    """With the supervisor: the job completes by itself, one version is published."""
    name = "phoenix" if part == "the worker" else "second-phoenix"
    job = service.train(**{**LONG, "epochs": 100}, name=name)
    service.wait_until(lambda: (service.job(job["id"])["progress"] or {}).get("epoch", 0) >= 2, "the second epoch")
    performing = find_processes("--performs", service)
    (worker,) = set(find_processes("service.cli worker", service)) - set(performing)
    os.kill(worker if part == "the worker" else performing[0], signal.SIGKILL)
    done = service.wait_for_job(job["id"])
    assert done["attempt"] == 2
    model = service.wait_until(
        lambda: (r := service.client.get(f"/models/{name}")).status_code == 200 and r.json(), "the model"
    )
    assert len(model["versions"]) == 1


def test_a_killed_api_is_back_by_itself_and_whatever_it_answers_is_whole(service: Processes) -> None:
    before_kill = service.client.get("/models").json()["models"]
    stop = threading.Event()
    answers: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                response = service.client.post("/forecast", json={"model": "linear", "series": WAVE})
            except Exception:  # noqa: BLE001 - a connection may break in any way while the server is dead
                stop.wait(0.05)
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
    assert service.client.get("/models").json()["models"] == before_kill


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
