"""Servers that restart, shed load, hang and cut answers: nothing is lost and nothing is doubled."""

import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outfielder_client import (
    Client,
    ConnectionFailed,
    Overloaded,
    Partition,
    Retry,
    TimedOut,
    Unavailable,
)
from outfielder_client.effects import Pause
from outfielder_client.retries import read_retry_after
from tests.api.server import running, wait_until
from tests.client.conftest import PATIENT, PATIENT_FOR_MINUTES, Make
from tests.client.proxy import Proxy

FAULTS = ("429", "503", "drop", "lose", "cut", "short")
SERIES = [float(value) for value in range(1, 25)]


@pytest.fixture
def client(make: Make, proxy: Proxy) -> Iterator[Any]:
    """A client behind the proxy; the default of tests here."""
    with make(proxy.url, retry=PATIENT) as client:
        yield client


def jobs_of(url: str) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = httpx.get(f"{url}/jobs", params={"limit": 1000}, timeout=60).json()["jobs"]
    return jobs


@pytest.mark.parametrize("fault", FAULTS)
def test_a_forecast_comes_whatever_happened_on_the_way(client: Any, proxy: Proxy, fault: str) -> None:
    expected = client.forecast(SERIES, model="lstm")["forecasts"]
    proxy.faults = [fault, fault]
    assert client.forecast(SERIES, model="lstm")["forecasts"] == expected
    assert proxy.met == [fault, fault]


def test_whoever_waits_for_a_second_does_not_wait_longer_to_connect() -> None:
    # A machine that swallows what it is sent can't be had in a test: this is what the transport is told.
    with Client("http://127.0.0.1:9", timeout=1.0) as client:
        assert client._transport._http.timeout.connect == 1.0
    with Client("http://127.0.0.1:9", timeout=60.0) as client:
        assert client._transport._http.timeout.connect == 10.0


def test_a_server_that_hangs_is_asked_again(make: Make, proxy: Proxy) -> None:
    proxy.faults = ["hang"]
    with make(proxy.url, retry=PATIENT, timeout=2.0) as client:
        assert client.forecast(SERIES, model="lstm")["model"] == "lstm"
    assert proxy.met == ["hang"]


def test_a_call_may_have_a_time_out_of_its_own(make: Make, proxy: Proxy) -> None:
    proxy.faults = ["hang", "hang"]
    impatient = make(proxy.url, retry=Retry(attempts=2, first_pause_seconds=0.0))
    with impatient as client, pytest.raises(TimedOut, match="did not answer in time"):
        client.forecast(SERIES, timeout=0.05)
    assert proxy.met == ["hang", "hang"]


@pytest.mark.parametrize("faults", [[fault] for fault in FAULTS] + [["lose", "cut", "429", "drop", "lose"]])
def test_a_job_is_submitted_once(client: Any, proxy: Proxy, url: str, faults: list[str | int]) -> None:
    before = jobs_of(url)
    proxy.fault_of["POST /train"] = list(faults)
    job = client.train("lstm", epochs=1)
    after = jobs_of(url)
    assert proxy.met == faults
    assert [each["id"] for each in after[: len(after) - len(before)]] == [job.id]
    # Another call is another job.
    assert client.train("lstm", epochs=1).id != job.id
    assert len(jobs_of(url)) == len(before) + 2


def test_an_upload_is_kept_once(client: Any, proxy: Proxy, url: str) -> None:
    before = httpx.get(f"{url}/datasets", timeout=60).json()["datasets"]
    proxy.fault_of["POST /datasets"] = ["lose", "cut", "503", "drop"]
    dataset = client.upload(b"y\n1\n2\n3\n4\n")
    after = httpx.get(f"{url}/datasets", timeout=60).json()["datasets"]
    assert [each["id"] for each in after] == [dataset["id"], *(each["id"] for each in before)]
    # The answer to the removal is lost; it is removed nevertheless, and that is no error.
    proxy.faults = ["lose"]
    client.delete_dataset(dataset["id"])
    assert httpx.get(f"{url}/datasets", timeout=60).json()["datasets"] == before


def test_a_cancellation_whose_answer_is_lost_is_one(client: Any, proxy: Proxy) -> None:
    job = client.train("lstm", epochs=1)
    proxy.fault_of[f"POST /jobs/{job.id}/cancel"] = ["lose", "429"]
    assert client.cancel(job.id)["status"] == "cancelled"


def test_a_frame_in_many_parts_over_a_bad_network_is_whole(make: Make, proxy: Proxy, url: str) -> None:
    frame = pl.DataFrame(
        {
            "unique_id": [f"s{number}" for number in range(40) for _ in range(6)],
            "ds": [f"2026-01-0{day}" for _ in range(40) for day in range(1, 7)],
            "y": [float(number) for number in range(40) for _ in range(6)],
        }
    )
    dated = frame.with_columns(pl.col("ds").str.to_date())
    by_steps = frame.with_columns(pl.col("ds").str.tail(1).cast(pl.Int64))
    chance = random.Random(7)
    partition = Partition(max_points=30, concurrency=3)
    for whole in (frame, dated, by_steps):
        proxy.faults = [chance.choice([*FAULTS, "pass", "pass"]) for _ in range(40)]
        with make(proxy.url, retry=PATIENT, partition=partition) as client:
            answer = client.forecast(whole, model="lstm", horizon=2)
        assert answer["unique_id"].to_list() == [
            name for name in whole["unique_id"].unique(maintain_order=True) for _ in range(2)
        ]
        levels = whole["y"].unique(maintain_order=True)
        assert answer["lstm"].to_list() == pytest.approx([y + step for y in levels for step in (0.1, 0.2)], abs=1e-4)
    # What was uploaded for it is gone, each at its first or at a later attempt.
    proxy.faults = []
    assert httpx.get(f"{url}/datasets", timeout=60).json()["datasets"] == []


def test_a_server_that_restarts_is_waited_for(make: Make, store: Path, tmp_path: Path, proxy: Proxy) -> None:
    root = tmp_path / "store"
    shutil.copytree(store, root)
    with ExitStack() as stack, make(proxy.url, retry=PATIENT_FOR_MINUTES) as client:
        with running(root, tmp_path / "state") as url:
            proxy.upstream = int(url.rpartition(":")[2])
            first = client.train("lstm", epochs=1)
            proxy.upstream = None

        def restart() -> None:
            wait_until(lambda: proxy.met.count("down") >= 5)
            url = stack.enter_context(running(root, tmp_path / "state"))
            proxy.upstream = int(url.rpartition(":")[2])

        thread = threading.Thread(target=restart)
        thread.start()
        second = client.train("lstm", epochs=1)
        thread.join()
        assert {job["id"] for job in client.jobs()} == {first.id, second.id}


@pytest.mark.parametrize(("fault", "kind"), [("429", Overloaded), ("503", Unavailable), ("lose", ConnectionFailed)])
def test_what_does_not_pass_is_raised(make: Make, proxy: Proxy, fault: str, kind: type[Exception]) -> None:
    proxy.faults = [fault] * 3
    with make(proxy.url, retry=Retry(attempts=3, first_pause_seconds=0.0)) as client, pytest.raises(kind):
        client.forecast(SERIES)
    assert proxy.met == [fault] * 3


def test_the_time_that_a_server_asks_for_is_waited_or_told(
    make: Make, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []

    def pause(seconds: float) -> Pause:
        paused.append(seconds)
        return Pause(0.0)

    monkeypatch.setattr("outfielder_client.retries.Pause", pause)
    proxy.faults = ["429"]
    proxy.retry_after = "17"
    with make(proxy.url, retry=PATIENT) as client:
        client.forecast(SERIES, model="lstm")
        assert paused == [17.0]
        proxy.faults = ["429"]
        proxy.retry_after = "3600"
        with pytest.raises(Overloaded) as caught:
            client.forecast(SERIES, model="lstm")
    assert caught.value.retry_after_seconds == 3600


@given(attempt=st.integers(1, 10_000), first=st.floats(0, 10), longest=st.floats(0, 100))
def test_pauses_grow_to_a_bound_and_differ(attempt: int, first: float, longest: float) -> None:
    retry = Retry(first_pause_seconds=first, longest_pause_seconds=longest)
    whole = min(first * 2.0 ** min(attempt - 1, 60), longest)
    assert whole / 2 <= retry.pause_seconds(attempt) <= whole


def test_a_retry_after_is_seconds_or_a_date() -> None:
    assert read_retry_after("3") == 3
    assert read_retry_after("-3") == 0
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    later = read_retry_after("Wed, 21 Oct 2215 07:28:00 GMT")
    assert later is not None
    assert later > 1e9
    assert read_retry_after("soon") is None
    assert read_retry_after(None) is None


def test_a_client_that_is_not_used_any_more_leaves_no_connection(url: str) -> None:
    client = Client(url)
    client.close()
    with pytest.raises(RuntimeError):
        client.forecast(SERIES)
