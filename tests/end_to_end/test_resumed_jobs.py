"""A job whose process is killed goes on from its checkpoint, and publishes what an undisturbed job would have."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.end_to_end.processes import Processes
from tests.end_to_end.test_service import find_processes

RNG = np.random.default_rng(1)
MONTHS = np.arange(96)
SERIES = [(40 + 0.1 * MONTHS + 9 * np.sin(MONTHS * np.pi / 6) + RNG.random(96)).round(3).tolist() for _ in range(3)]
OWN = {"kind": "series", "series": SERIES, "freq": "MS"}
# With how many checkpoints a job is killed.
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "lstm": (1, {"architecture": "lstm", "data": OWN, "horizon": 6, "epochs": 60, "max_windows": 1600}),
    "waves": (1, {"architecture": "gru", "data": {"n_series": 1000}, "epochs": 60, "units": 8, "dropout": 0.1}),
    # In the second round.
    "tuned": (
        8,
        {
            "architecture": "gru",
            "data": {"n_series": 1000},
            "epochs": 10,
            "units": 8,
            "layers": 1,
            "dropout": 0.1,
            "batch_size": 32,
            "tune": {"trials": 8, "max_seconds": 3600},
        },
    ),
    "auto": (4, {"architecture": "auto", "data": OWN, "horizon": 6}),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    processes = Processes(tmp_path_factory.mktemp("resumed"), OUTFIELDER_STARTER_MODELS="none")
    processes.start("up")
    try:
        processes.wait_until_ready()
        yield processes
    finally:
        processes.close()


@pytest.mark.parametrize("kind", ["lstm", "waves", "tuned", pytest.param("auto", marks=pytest.mark.exhaustive)])
def test_a_killed_job_goes_on_and_ends_with_the_weights_of_an_undisturbed_one(service: Processes, kind: str) -> None:
    n_checkpoints, request = KINDS[kind]
    killed = service.train(**request, name=f"{kind}-killed")
    left = service.folder / "state" / "checkpoints" / killed["id"]
    service.wait_until(lambda: len(list(left.glob("*"))) >= n_checkpoints, "checkpoints")
    (performing,) = find_processes("--performs", service)
    os.kill(performing, signal.SIGKILL)
    done = ended(service, killed)
    assert done["attempt"] == 2
    told = epochs_of_second_run(service, killed["id"])
    assert told[0] == 0
    assert 1 not in told, "the first epoch was run again"
    assert not list(left.glob("*"))

    undisturbed = ended(service, service.train(**request, name=f"{kind}-undisturbed"))
    assert weights_of(service.store, f"{kind}-killed") == weights_of(service.store, f"{kind}-undisturbed")
    assert done["result"]["metrics"] == undisturbed["result"]["metrics"]
    assert done["result"].get("trials") == undisturbed["result"].get("trials")
    assert done["progress"]["epoch"] == undisturbed["progress"]["epoch"] == undisturbed["progress"]["epochs"]


def ended(service: Processes, job: dict[str, Any]) -> dict[str, Any]:
    """Fits of `auto` take a minute or two, and longer beside others."""
    service.wait_until(lambda: service.job(job["id"])["status"] not in ("queued", "running"), "the end", 900.0)
    return service.wait_for_job(job["id"])


def epochs_of_second_run(service: Processes, job_id: str) -> list[int]:
    lines = service.client.get(f"/jobs/{job_id}/events").text.splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return [event["epoch"] for event in events if event.get("attempt") == 2 and "epoch" in event]


def weights_of(store: Path, name: str) -> bytes:
    return (store / name / "1" / "variables" / "variables.data-00000-of-00001").read_bytes()


def test_an_idle_worker_helps_and_the_model_is_that_of_one_worker_alone(tmp_path: Path) -> None:
    alone, together = (train_shared(tmp_path / str(n_workers), n_workers) for n_workers in (1, 2))
    assert alone == together


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


def train_shared(folder: Path, n_workers: int) -> list[Any]:
    """Weights, scores, trials and progress of jobs that an idle worker helps with."""
    folder.mkdir()
    # With more threads a product adds up in another order.
    settings = {"OUTFIELDER_STARTER_MODELS": "none", "OUTFIELDER_JOBS": str(n_workers), "PJRT_NPROC": "1"}
    processes = Processes(folder, **settings)
    processes.start("up")
    try:
        processes.wait_until(lambda: processes.logs().count("waiting for jobs") >= n_workers, "workers", 600.0)
        published = []
        for name, request in SHARED.items():
            n_helped = processes.logs().count("helps with a part")
            job = ended(processes, processes.train(**request, name=name))
            assert (processes.logs().count("helps with a part") > n_helped) == (n_workers == 2)
            assert "left_out" not in job["result"]
            progress = job["progress"]["epoch"], job["progress"]["epochs"]
            results = job["result"]["metrics"], job["result"].get("trials")
            published.append((weights_of(processes.store, name), results, progress))
        assert "pruned" in {trial["state"] for trial in published[-1][1][1]}
        return published
    finally:
        processes.close()


def test_a_backtest_on_two_workers_whose_processes_are_killed_ends_with_the_same_scores(tmp_path: Path) -> None:
    settings = {
        "OUTFIELDER_STARTER_MODELS": "none",
        "OUTFIELDER_JOBS": "2",
        "OUTFIELDER_BACKTEST_INLINE_POINTS": "1000",
    }
    processes = Processes(tmp_path, **settings)
    series = {str(i): (np.roll(SERIES[i % 3], i)[: 60 + i % 30] + i / 100).tolist() for i in range(2400)}
    request = {"model": "zero-shot", "horizon": 6, "windows": 12, "series": series, "freq": "MS"}
    processes.start("up")
    try:
        processes.wait_until(lambda: processes.logs().count("waiting for jobs") >= 2, "workers", 600.0)
        killed = processes.client.post("/backtest", json=request).json()
        left = tmp_path / "state" / "checkpoints" / killed["id"]
        # The clock, the linear baseline, and what is done: by now the other worker helps.
        processes.wait_until(lambda: len(list(left.glob("*"))) >= 5, "finished parts", 600.0)
        for performing in find_processes("--performs", processes):
            os.kill(performing, signal.SIGKILL)
        done = ended(processes, killed)
        assert done["attempt"] == 2
        # Nothing that was done is done again: parts have 341 series.
        assert min(series for series in epochs_of_second_run(processes, killed["id"]) if series) > 2 * 341
        assert not list(left.glob("*"))
        undisturbed = ended(processes, processes.client.post("/backtest", json=request).json())
        assert "helps with a part" in processes.logs()
        assert done["result"] == undisturbed["result"]
        assert done["progress"]["epoch"] == done["progress"]["epochs"] == 2400
    finally:
        processes.close()
