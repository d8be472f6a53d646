"""A worker whose training is a script of its own: a process for the tests to kill. Reports its runs in a file."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from service.errors import TrainingFailed
from service.jobs import stray_jobs
from service.jobs.job import Progress
from service.jobs.runner import run_jobs
from service.jobs.supervised_run import SupervisedRun
from tests.jobs.tuned_worker import tune


def perform(task: dict[str, Any], run: SupervisedRun) -> dict[str, Any]:
    """`epochs` epochs of `seconds` each; `fails`, `crashes` and `is_deaf` say how it may end instead."""
    state_dir = Path(sys.argv[2])
    with (state_dir / "runs.txt").open("a") as runs:
        runs.write(f"{run.job_id} {run.attempt}\n")
    for epoch in range(task["epochs"]):
        run.report(Progress(epoch + 1, task["epochs"], 1 / (epoch + 1), 2 / (epoch + 1), 0.0))
        deadline = time.monotonic() + task["seconds"]
        while time.monotonic() < deadline:
            if not task.get("is_deaf"):
                run.raise_if_stopped()
            time.sleep(0.01)
    if task.get("crashes"):
        os.kill(os.getpid(), signal.SIGKILL)
    if task.get("fails") == "named":
        raise TrainingFailed("The loss became infinite.")
    if task.get("fails") == "unnamed":
        raise ValueError("/secret/path")
    return {"model": task["model"], "version": run.attempt}


def main() -> None:
    stop = threading.Event()
    tune()
    stray_jobs.LOOK_SECONDS = float(sys.argv[3])
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_jobs(sys.argv[1], Path(sys.argv[2]), perform, stop=stop, on_started=lambda: print("started", flush=True))
    # The training thread may still be running: leave it as a worker does.
    os._exit(0)


if __name__ == "__main__":
    main()
