"""A worker of two jobs: both slots help with one job, or have one each, and what is killed goes on elsewhere."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.end_to_end.processes import Processes
from tests.end_to_end.test_resumed_jobs import KINDS, SERIES, ended, epochs_of_second_run, weights_of
from tests.end_to_end.test_service import find_processes

# An ensemble, and a search whose second round ends trials early.
SHARED: dict[str, dict[str, Any]] = {
    "members": {**KINDS["lstm"][1], "ensemble": {"members": 4}, "epochs": 8, "units": 8},
    "trials": {
        "architecture": "linear",
        "data": {"n_series": 2000},
        "epochs": 8,
        "batch_size": 16,
        "tune": {"trials": 8, "max_seconds": 3600},
    },
}
pytestmark = pytest.mark.timeout(1800)

SETTINGS = {
    "OUTFIELDER_BACKTEST_INLINE_POINTS": "1000",
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
    trials: list[dict[str, Any]] | None
    progress: tuple[int, int]
    n_helped: int


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


def count_helped(processes: Processes) -> int:
    return sum(path.read_text().count("helps with a part") for path in processes.folder.glob("*.log"))


def train_shared(processes: Processes) -> dict[str, Trained]:
    """What an idle worker can help with."""
    trained = {}
    for name, request in SHARED.items():
        n_helped = count_helped(processes)
        job = ended(processes, processes.train(**request, name=name))
        assert "left_out" not in job["result"]
        trained[name] = Trained(
            weights_of(processes.store, name),
            job["result"]["metrics"],
            job["result"].get("trials"),
            (job["progress"]["epoch"], job["progress"]["epochs"]),
            count_helped(processes) - n_helped,
        )
    return trained


@pytest.fixture(scope="module")
def together(machine: Machine) -> dict[str, Trained]:
    return train_shared(machine.processes)


def epoch_of(job: dict[str, Any]) -> int:
    return (job["progress"] or {}).get("epoch") or 0


@pytest.mark.parametrize("name", SHARED)
def test_an_idle_worker_helps(together: dict[str, Trained], name: str) -> None:
    assert together[name].n_helped > 0
    done, all_epochs = together[name].progress
    assert done == all_epochs
    assert (name == "trials") == ("pruned" in {trial["state"] for trial in together[name].trials or ()})


# Without processes tests/training/test_shared_fits.py and test_shared_tuning.py compare them.
@pytest.mark.exhaustive
def test_a_model_is_that_of_one_worker_alone(together: dict[str, Trained], tmp_path: Path) -> None:
    processes = Processes(tmp_path, **SETTINGS)
    try:
        start(processes, 1)
        alone = train_shared(processes)
    finally:
        processes.close()
    assert [one.n_helped for one in alone.values()] == [0, 0]
    assert alone == {name: one._replace(n_helped=0) for name, one in together.items()}


def test_a_shared_backtest_whose_processes_are_killed_ends_with_the_same_scores(machine: Machine) -> None:
    processes, _ = machine
    series = {str(i): (np.roll(SERIES[i % 3], i)[: 60 + i % 30] + i / 100).tolist() for i in range(2400)}
    request = {"model": "zero-shot", "horizon": 6, "windows": 12, "series": series, "freq": "MS"}
    n_helped = count_helped(processes)
    killed = processes.client.post("/backtest", json=request).json()
    left = processes.folder / "state" / "checkpoints" / killed["id"]
    # The clock, the linear baseline, and what is done. By the next part the other worker helps.
    processes.wait_until(lambda: len(list(left.glob("*"))) >= 4, "finished parts", 600.0)
    for performing in find_processes("--performs", processes):
        os.kill(performing, signal.SIGKILL)
    done = ended(processes, killed)
    assert done["attempt"] == 2
    # Nothing that was done is done again: parts have 341 series.
    assert min(n_series for n_series in epochs_of_second_run(processes, killed["id"]) if n_series) > 341
    assert not list(left.glob("*"))
    undisturbed = ended(processes, processes.client.post("/backtest", json=request).json())
    assert count_helped(processes) > n_helped
    assert done["result"] == undisturbed["result"]
    assert done["progress"]["epoch"] == done["progress"]["epochs"] == 2400


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
