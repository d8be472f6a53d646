"""Jobs from their submission to their end: with a real worker, and streams of events that break."""

import io
import shutil
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from outfielder_client import Client, Conflict, Event, JobFailed, NotFound
from outfielder_client.events import EventParser
from tests.api.server import running
from tests.api.test_forecast_jobs import worker as forecasting_worker
from tests.api.test_jobs import worker
from tests.client.conftest import PATIENT, PATIENT_FOR_MINUTES, Make
from tests.client.proxy import proxying

EPOCHS = 4


@pytest.fixture(scope="module")
def working(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a real worker, whose fits only take time."""
    root = tmp_path_factory.mktemp("models") / "store"
    state = tmp_path_factory.mktemp("state")
    shutil.copytree(store, root)
    with running(root, state, backtest_inline_points=5) as url, worker(state):
        yield url


def test_a_job_is_waited_for_and_its_events_are_all_there(make: Make, working: str) -> None:
    seen: list[Event] = []
    with make(working, retry=PATIENT) as client:
        job = client.train("lstm", name="mine", epochs=EPOCHS)
        assert job.status in ("queued", "running")
        job.wait(progress=seen.append)
        assert job.status == "succeeded"
        assert job.result["model"] == "mine"
        assert [event.data["epoch"] for event in seen[:-1]] == list(range(1, EPOCHS + 1))
        assert seen[-1].kind == "done"
        # From the middle on.
        later = list(client.watch(job.id, last_id=seen[1].id))
        assert [event.id for event in later] == [event.id for event in seen[2:]]
        assert client.job(job.id)["status"] == "succeeded"
        assert job.id in [each["id"] for each in client.jobs(status="succeeded")]
        with pytest.raises(Conflict) as caught:
            job.cancel()
        assert caught.value.code == "job_ended"


def test_jobs_are_filtered_read_about_and_repeated(make: Make, working: str) -> None:
    with make(working, retry=PATIENT) as client:
        before = datetime.now(UTC)
        name = f"looked-at-{uuid.uuid4().hex}"
        job = client.train("lstm", name=name, epochs=2, priority=3).wait(progress=False)
        after = datetime.now(UTC)
        of_it = [each["id"] for each in client.jobs(model=name, kind="train")]
        assert of_it == [job.id]
        assert job.id in [each["id"] for each in client.jobs(submitted_after=before, submitted_before=after)]
        assert [each["id"] for each in client.jobs(model=name, submitted_before="2020-01-01")] == []
        assert job.log().splitlines()[-1].endswith("ends well")
        assert [each["member_epoch"] for each in job.history()] == [1, 2]
        again = job.retry()
        assert (again.record["retry_of"], again.record["request"]) == (job.id, job.record["request"])
        with pytest.raises(Conflict) as caught:
            again.retry()
        assert caught.value.code == "job_not_ended"
        assert again.wait(progress=False).status == "succeeded"


@pytest.mark.parametrize("cut_bytes", [150, 400, 700])
def test_a_stream_that_breaks_goes_on_behind_the_last_event(make: Make, working: str, cut_bytes: int) -> None:
    with proxying(int(working.rpartition(":")[2])) as proxy, make(proxy.url, retry=PATIENT) as client:
        job = client.train("lstm", epochs=EPOCHS)
        proxy.fault_of[f"GET /jobs/{job.id}/events"] = ["429", cut_bytes, "drop", "503", cut_bytes + 90, 600, "lose"]
        seen = list(client.watch(job.id))
    assert [event.data["epoch"] for event in seen if event.kind == "progress"] == list(range(1, EPOCHS + 1))
    assert [event.kind for event in seen].count("done") == 1
    assert len({event.id for event in seen}) == len(seen)


def test_a_server_that_restarts_while_a_job_is_watched_loses_nothing(make: Make, store: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with proxying(None) as proxy, make(proxy.url, retry=PATIENT_FOR_MINUTES) as client, worker_of(store, state):
        with running(store, state) as url:
            proxy.upstream = int(url.rpartition(":")[2])
            job = client.train("lstm", epochs=20)
            events = client.watch(job.id)
            seen = [next(events)]
            proxy.upstream = None
        with running(store, state) as url:
            proxy.upstream = int(url.rpartition(":")[2])
            seen += events
            assert [each["id"] for each in client.jobs()] == [job.id]
    assert [event.data["epoch"] for event in seen[:-1]] == list(range(1, 21))


def test_a_job_that_is_cancelled_is_no_result(make: Make, working: str) -> None:
    with make(working, retry=PATIENT) as client:
        job = client.train("lstm", epochs=10_000)
        job.cancel()
        with pytest.raises(JobFailed, match="cancelled") as caught:
            job.wait(progress=False)
        assert caught.value.code == "cancelled"
        assert caught.value.job["id"] == job.id
        assert job.refresh().status == "cancelled"
        with pytest.raises(NotFound):
            client.wait("0" * 32)


def test_who_stops_watching_lets_the_job_go_on(make: Make, working: str) -> None:
    with make(working, retry=PATIENT) as client:
        job = client.train("lstm", epochs=EPOCHS)
        next(iter(client.watch(job.id)))
        assert job.wait(progress=False).status == "succeeded"


def test_the_chapter_is_many_jobs(make: Make, working: str) -> None:
    with make(working, retry=PATIENT) as client:
        jobs = client.train_all("chapter", name="trial", epochs=1)
        assert len({job.id for job in jobs}) == len(jobs) > 5
        for job in jobs:
            job.cancel()


def test_series_of_ones_own_are_trained_on(make: Make, working: str) -> None:
    values = [float(day % 7) for day in range(60)]
    days = [date(2026, 1, 1) + timedelta(days=day) for day in range(60)]
    with make(working, retry=PATIENT) as client:
        dataset = client.upload(values, freq="D", start="2026-01-01")
        requests = [
            client.train("ridge", {"a": values}, freq="D", missing="ffill").record["request"],
            client.train("ridge", pl.DataFrame({"ds": days, "y": values})).record["request"],
            client.train("ridge", pl.DataFrame({"y": values})).record["request"],
            client.train("ridge", dataset=dataset["id"]).record["request"],
        ]
    assert [request["data"]["kind"] for request in requests] == ["series", "dataset", "series", "dataset"]
    assert requests[0]["data"]["n_points"] == 60


def test_a_backtest_of_many_points_is_waited_for(make: Make, working: str) -> None:
    with make(working, retry=PATIENT) as client:
        job = client.submit_backtest([float(v) for v in range(20)], model="lstm", horizon=1, level=None)
        assert job["kind"] == "backtest"
        client.cancel(job["id"])


def test_the_progress_of_a_job_is_a_line_of_text_or_a_bar(
    working: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(working, retry=PATIENT) as client:
        client.train("lstm", name="shown", epochs=EPOCHS).wait(progress=True)
        assert f"epoch {EPOCHS}/{EPOCHS}" in capsys.readouterr().err
        # Without tqdm.
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
        client.train("lstm", name="shown", epochs=EPOCHS).wait(progress=True)
        line = capsys.readouterr().err
        assert f"shown: epoch {EPOCHS}/{EPOCHS}, val_loss 2, 0 s left" in line
        assert line.endswith("shown: succeeded" + " " * (len(line) - len(line.rstrip()) - 1) + "\n")
        # Neither a terminal nor a notebook: nothing.
        client.train("lstm", name="shown", epochs=1).wait()
        assert capsys.readouterr().err == ""
        terminal = io.StringIO()
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stderr", terminal)
        client.train("lstm", name="shown", epochs=1).wait()
        assert "shown: succeeded" in terminal.getvalue()


def test_events_are_read_as_the_standard_says() -> None:
    parser = EventParser()
    lines = [": a comment", "id: 7", "event: progress", 'data: {"a":', "data:1}", "", "data: {}", "", "", "data: {"]
    events = [event for line in lines if (event := parser.read(line)) is not None]
    assert events == [Event("7", "progress", {"a": 1}), Event("7", "message", {})]


def worker_of(store: Path, state: Path) -> Any:
    """A worker of a server that has made its job database."""
    with running(store, state):
        pass
    return worker(state)


@pytest.fixture(scope="module")
def forecasting(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a worker that forecasts uploads."""
    state = tmp_path_factory.mktemp("state")
    with running(store, state) as url, forecasting_worker(store, state):
        yield url


def test_a_whole_upload_is_forecast_into_a_file(make: Make, forecasting: str, tmp_path: Path) -> None:
    with make(forecasting) as client:
        dataset = client.upload({f"s{i}": [float((i + t) % 7) for t in range(30)] for i in range(50)})
        events: list[Event] = []
        path = tmp_path / "forecasts.parquet"
        job = client.forecast_dataset(dataset["id"], path, model="lstm", horizon=4, progress=events.append)
        table = pq.read_table(path)
        assert (job["status"], job["result"]["n_forecasts"]) == ("succeeded", 50)
        assert table.column("unique_id").to_pylist()[::4] == [f"s{i}" for i in range(50)]
        assert events[-1].kind == "done"
        with pytest.raises(JobFailed, match="No series of the data set can be forecast"):
            client.forecast_dataset(client.upload({"a": [None, None]})["id"], path, model="lstm", progress=False)
