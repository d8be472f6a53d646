"""A worker of two jobs: both slots help with one job, or have one each, and what is killed goes on elsewhere."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.end_to_end.processes import Processes
from tests.end_to_end.test_resumed_jobs import KINDS, ended, weights_of

ENSEMBLE = {**KINDS["lstm"][1], "ensemble": {"members": 4}, "epochs": 8, "units": 8}
SETTINGS = {
    # With more threads a product adds up in another order.
    "PJRT_NPROC": "1",
    # Compiled as the tests' own programs are: see tests/conftest.py.
    **({"XLA_FLAGS": os.environ["XLA_FLAGS"]} if "XLA_FLAGS" in os.environ else {}),
}


class Machine(NamedTuple):
    processes: Processes
    workers: "subprocess.Popen[bytes]"


class Trained(NamedTuple):
    weights: bytes
    metrics: dict[str, Any]
    progress: tuple[int, int]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    processes = Processes(tmp_path_factory.mktemp("two"), **SETTINGS)
    try:
        yield start(processes, 2)
    finally:
        processes.close()


def start(processes: Processes, n_jobs: int) -> Machine:
    processes.start("serve")
    workers = processes.start("worker", "--jobs", str(n_jobs))
    processes.wait_until(lambda: processes.logs().count("waiting for jobs") >= n_jobs, "workers", 600.0)
    processes.wait_until_ready()
    return Machine(processes, workers)


def train_an_ensemble(processes: Processes) -> Trained:
    job = ended(processes, processes.train(**ENSEMBLE, name="shared"))
    assert "left_out" not in job["result"]
    progress = job["progress"]["epoch"], job["progress"]["epochs"]
    return Trained(weights_of(processes.store, "shared"), job["result"]["metrics"], progress)


@pytest.fixture(scope="module")
def together(machine: Machine) -> Trained:
    return train_an_ensemble(machine.processes)


def epoch_of(job: dict[str, Any]) -> int:
    return (job["progress"] or {}).get("epoch") or 0


def test_an_idle_worker_helps(machine: Machine, together: Trained) -> None:
    assert "helps with a part" in machine.processes.logs()
    done, all_epochs = together.progress
    assert done == all_epochs


@pytest.mark.exhaustive  # Without processes tests/training/test_shared_fits.py compares them.
def test_a_model_is_that_of_one_worker_alone(together: Trained, tmp_path: Path) -> None:
    alone = Processes(tmp_path, **SETTINGS)
    try:
        start(alone, 1)
        assert train_an_ensemble(alone) == together
        assert "helps with a part" not in alone.logs()
    finally:
        alone.close()


def test_two_jobs_run_at_once_let_others_go_first_and_go_on_with_one_worker(machine: Machine) -> None:
    processes, workers = machine
    # A backtest is a job that compiles nothing. The end of these nobody sees.
    walks = np.random.default_rng(0).standard_normal((1200, 250)).cumsum(axis=1).round(2).tolist()
    request = {"model": "zero-shot", "series": walks, "horizon": 3, "season": 7}
    submitted = [processes.client.post("/backtest", json={**request, "windows": n}) for n in (199, 200)]
    assert [response.status_code for response in submitted] == [202, 202]

    def find_running() -> list[dict[str, Any]]:
        jobs = processes.client.get("/jobs").json()["jobs"]
        found = [job for job in jobs if job["status"] == "running" and epoch_of(job)]
        return found if len(found) == 2 else []

    running = processes.wait_until(find_running, "both at work")
    assert {job["id"] for job in running} == {response.json()["id"] for response in submitted}
    lists = Path(f"/proc/{workers.pid}/task").glob("*/children")
    children = [int(child) for one in lists for child in one.read_text().split()]
    if sys.platform == "linux":
        nice = min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
        assert [os.getpriority(os.PRIO_PROCESS, child) for child in children] == [nice, nice]
    # Killed, and started with one slot: it does the job of the other one too.
    workers.kill()
    workers.wait()
    processes.wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "their end")
    before = {job["id"]: epoch_of(processes.job(job["id"])) for job in running}
    processes.start("worker", "--jobs", "1")
    for _ in range(2):
        (moved,) = processes.wait_until(
            lambda: {key for key, epoch in before.items() if epoch_of(processes.job(key)) not in (0, epoch)},
            "a job that goes on",
        )
        processes.cancel(moved)
        del before[moved]
