"""Real jobs, told in words where a person waits for them or asks."""

import json
from pathlib import Path

import pytest

from tests.cli.terminal import run_in_terminal
from tests.end_to_end.processes import Processes
from tests.test_cli import as_json, run

# So many epochs that no test sees their end.
LONG = ("train", "vector_rnn", "--layers", "1", "--epochs", "5000", "--set", 'data={"n_series": 500}')


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    """Six years of months of two shops, with a season that repeats itself and a trend."""
    rows = [
        f"{2019 + month // 12}-{1 + month % 12:02}-01,{shop},{size * (10 + (month * 7) % 12) + month:.1f}"
        for shop, size in (("north", 10), ("south", 3))
        for month in range(72)
    ]
    file = tmp_path / "sales.csv"
    file.write_text("\n".join(["month,shop,sold", *rows]) + "\n")
    return file


def test_whoever_waits_is_told_the_score_the_rival_and_the_gate(service: Processes, sales: Path) -> None:
    arguments = ("train", "theta", "--name", "told", "--file", str(sales), "--horizon", "12", "--wait")
    ran = run(service, *arguments)
    assert ran.returncode == 0, ran.stderr
    job = next(one for one in as_json(service, "jobs")["jobs"] if one["model"] == "told")
    metrics, gate = job["result"]["metrics"], job["result"]["gate"]
    words = ran.stdout.splitlines()[-1]
    own, rival = (scores["test"]["mase"] for scores in (metrics, metrics["baselines"]["seasonal_naive"]))
    assert words.startswith("theta finished in ")
    assert f": version 1 of told. MASE {own:.2f} on the last 12 months of 2 series, which it had not seen: " in words
    assert f"than seasonal naive ({rival:.2f})" in words
    assert gate["passed"]
    assert words.endswith("It passed the gate, on the 12 months before those, and became the champion.")
    assert run(service, "jobs", job["id"]).stdout.splitlines()[-1] == words
    assert f"version 1, MASE {own:.2f} (seasonal naive {rival:.2f}), passed the gate" in run(service, "jobs").stdout
    # The same again is not better than the champion.
    again = run(service, *arguments)
    assert again.returncode == 0, again.stderr
    assert "It was not promoted: on the 12 months before those its MASE" in again.stdout
    assert "answers where --version 2 asks for it" in again.stdout
    assert again.stdout.endswith("Version 1 stays the champion.\n")
    # Deleted, its frequency is not known any more.
    assert service.client.delete("/models/told/versions/2").status_code == 204
    refused = next(one for one in as_json(service, "jobs")["jobs"] if one["model"] == "told")
    assert "the last 12 points of 2 series" in run(service, "jobs", refused["id"]).stdout


def test_lines_break_between_words_in_a_terminal(service: Processes) -> None:
    status, shown = run_in_terminal(["train", "naive", "--name", "wrapped", "--wait"], service.environment, columns=60)
    assert status == 0, shown
    told = shown[shown.index("naive finished") :].rstrip("\n").split("\n")
    assert len(told) > 1
    assert max(map(len, told)) <= 60
    assert " ".join(told).endswith("it is served unless the model has a champion.")


def test_whoever_does_not_wait_is_told_how_to_follow_and_to_cancel(service: Processes) -> None:
    ran = run(service, *LONG, "--name", "followed")
    job = next(one for one in as_json(service, "jobs")["jobs"] if one["model"] == "followed")
    assert f"'outfielder jobs {job['id']} --watch'" in ran.stderr
    assert ran.stdout.splitlines()[-1].startswith(("vector_rnn waits for a worker", "vector_rnn is running"))
    assert run(service, "jobs", job["id"], "--cancel").returncode == 0
    service.wait_for_job(job["id"], "cancelled")
    words = run(service, "jobs", job["id"]).stdout.splitlines()[-1]
    assert words.startswith("vector_rnn was cancelled ")
    assert words.endswith("Nothing was published.")


def test_an_interrupt_ends_the_watching_and_not_the_job(service: Processes) -> None:
    arguments = [*LONG, "--name", "watched", "--wait"]
    # The progress bar begins with the name.
    status, shown = run_in_terminal(arguments, service.environment, columns=200, interrupt_at="watched")
    assert status == 130, shown
    job = next(one for one in as_json(service, "jobs")["jobs"] if one["model"] == "watched")
    assert f"the job goes on: 'outfielder jobs {job['id']} --watch'" in shown
    assert "Traceback" not in shown
    assert service.job(job["id"])["status"] in ("queued", "running")
    service.cancel(job["id"])
    service.wait_for_job(job["id"], "cancelled")


def test_a_list_without_jobs_says_so(service: Processes) -> None:
    assert run(service, "jobs", "--status", "queued").stdout == "There are no queued jobs.\n"
    assert json.loads(run(service, "jobs", "--status", "queued", "--json").stdout) == {"jobs": []}


def test_a_backtest_ends_with_a_sentence(service: Processes, sales: Path) -> None:
    ran = run(service, "backtest", str(sales), "--horizon", "12", "--level", "80,95")
    assert ran.returncode == 0, ran.stderr
    words = ran.stdout.splitlines()[-1]
    assert words.startswith("zero-shot has MASE ")
    assert "than seasonal naive" in words
    header = ran.stdout.splitlines()[1]
    assert header.endswith("in 80 %  in 95 %")


def test_a_forecast_of_an_upload_is_followed_listed_told_and_written(service: Processes, tmp_path: Path) -> None:
    rows = [f"{series},2026-01-{point + 1:02},{point % 7 + series}" for series in range(9_000) for point in range(30)]
    content = "\n".join(["unique_id,ds,y", *rows])
    uploaded = service.client.post("/datasets", content=content, headers={"Content-Type": "text/csv"})
    assert uploaded.status_code == 201, uploaded.text
    asked = {"model": "zero-shot", "dataset": uploaded.json()["id"], "output": "dataset", "horizon": 2}
    job = service.client.post("/forecast", json=asked).json()
    watched = run(service, "jobs", job["id"], "--watch")
    assert watched.returncode == 0, watched.stderr
    assert watched.stdout.splitlines()[-1].startswith("The forecast by zero-shot finished in ")
    assert job["id"] in run(service, "jobs", "--kind", "forecast").stdout
    asked_again = ("--dataset", asked["dataset"], "--model", "zero-shot", "--horizon", "2")
    file = tmp_path / "forecasts.parquet"
    ran = run(service, "forecast", *asked_again, "--output", str(file))
    assert ran.returncode == 0, ran.stderr
    assert f"{file}: 2 steps of 9,000 series, zero-shot version 1; kept as data set " in ran.stderr
    assert file.read_bytes() == service.client.get(f"/jobs/{job['id']}/result").content
    ended = json.loads(run(service, "forecast", *asked_again, "--output", str(file), "--json").stdout)
    assert (ended["status"], ended["result"]["n_forecasts"]) == ("succeeded", 9_000)


def test_who_watches_a_job_that_fails_gets_the_status_of_a_failure(service: Processes) -> None:
    uploaded = service.client.post("/datasets", json={"series": {"a": [None, None]}}).json()
    asked = {"model": "zero-shot", "dataset": uploaded["id"], "output": "dataset"}
    job = service.client.post("/forecast", json=asked).json()
    ran = run(service, "jobs", job["id"], "--watch")
    assert (ran.returncode, "No series of the data set can be forecast" in ran.stdout) == (1, True), ran
    # To show it is no failure.
    assert run(service, "jobs", job["id"]).returncode == 0
