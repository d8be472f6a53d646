"""What the drill sees of a service while a fault lasts: jobs that get so far, and forecasts that are answered."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import httpx

from tests.drill.audit import SERIES
from tests.drill.cluster import Cluster, Host, wait_for


class Answers:
    """What became of forecasts that are asked for all the time."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures: list[str] = []

    @property
    def are_good(self) -> bool:
        return bool(self.seconds) and not self.failures

    def tell(self) -> str:
        failed = f", {len(self.failures)} failed ({self.failures[0]})" if self.failures else ", none failed"
        return f"{len(self.seconds)} forecasts, slowest {max(self.seconds, default=0):.2f} s{failed}"


@contextmanager
def forecasting(cluster: Cluster) -> Iterator[Answers]:
    """Asks every API that is on for forecasts, one after another, until the block ends."""
    answers, stop = Answers(), Event()

    def ask() -> None:
        with httpx.Client(timeout=30) as http:
            while not stop.wait(0.02):
                for host in cluster.hosts:
                    began = time.monotonic()
                    try:
                        answer = http.post(f"{host.url}/forecast", json={"series": SERIES})
                        if answer.status_code != 200:
                            answers.failures.append(answer.text[:200])
                    except httpx.TransportError as error:
                        answers.failures.append(repr(error))
                    answers.seconds.append(time.monotonic() - began)

    thread = Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def wait_until_served(host: Host, model: str) -> None:
    """Waits until a host forecasts with a model."""
    body = {"model": model, "series": SERIES}

    def is_served() -> bool:
        return httpx.post(f"{host.url}/forecast", json=body, timeout=30).status_code == 200

    wait_for(is_served, f"{model} is served", 60, host)


def wait_for_epoch(host: Host, job_id: str, epoch: int) -> None:
    """Waits until a job has come so far."""

    def reached() -> bool:
        progress = client.job(job_id)["progress"] or {}
        return (progress.get("epoch") or 0) >= epoch

    with host.client() as client:
        wait_for(reached, f"epoch {epoch} of job {job_id}", 300, host)


def wait_for_another_run(host: Host, job_id: str, seconds: float) -> None:
    """Waits until another worker has taken a job over."""

    def is_taken_over() -> bool:
        job = client.job(job_id)
        assert job["attempt"] > 1 or job["status"] != "succeeded", "the job ended before it could be taken over"
        return bool(job["attempt"] > 1)

    with host.client() as client:
        wait_for(is_taken_over, "another worker takes over", seconds, host)


def wait_for_run(host: Host, job_id: str, attempt: int) -> None:
    """Waits until a job is at its first, second, third.. run."""

    def runs() -> bool:
        job = client.job(job_id)
        return bool(job["status"] == "running" and job["attempt"] >= attempt)

    with host.client() as client:
        wait_for(runs, f"run {attempt} of job {job_id}", 300, host)


def wait_for_progress(host: Host, job_id: str) -> int:
    """The first epoch that the present run of a job ends; those that it found done are not told."""
    with host.client() as client:
        attempt = client.job(job_id)["attempt"]
        for event in client.watch(job_id):
            if event.kind == "progress" and event.data["attempt"] >= attempt and event.data["epoch"]:
                return int(event.data["epoch"])
    return 0
