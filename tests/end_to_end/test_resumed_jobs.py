"""A job whose process is killed goes on from its checkpoint, and publishes what an undisturbed job would have."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.end_to_end.processes import Processes
from tests.end_to_end.test_service import find_processes

pytestmark = pytest.mark.timeout(1800)

RNG = np.random.default_rng(1)
MONTHS = np.arange(96)
SERIES = [(40 + 0.1 * MONTHS + 9 * np.sin(MONTHS * np.pi / 6) + RNG.random(96)).round(3).tolist() for _ in range(3)]
OWN = {"kind": "series", "series": SERIES, "freq": "MS"}
# With how many checkpoints a job is killed.
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "lstm": (1, {"architecture": "lstm", "data": OWN, "horizon": 6, "epochs": 30, "max_windows": 1600}),
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


# What each kind goes on from, test_checkpoints.py and test_shared_tuning.py in tests/training tell: they interrupt fits
# without a kill.
@pytest.mark.parametrize(
    "kind", ["lstm", *(pytest.param(kind, marks=pytest.mark.exhaustive) for kind in ("waves", "tuned", "auto"))]
)
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
