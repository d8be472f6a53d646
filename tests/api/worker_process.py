"""A worker whose fits only take time: a process for the tests to submit to."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from service.jobs.job import Progress
from service.jobs.runner import run_jobs
from service.jobs.supervised_run import SupervisedRun

EPOCH_SECONDS = 0.2


def train(task: dict[str, Any], run: SupervisedRun) -> dict[str, Any]:
    epochs = task["plan"]["recipes"][0]["epochs"]
    for epoch in range(epochs):
        eta_seconds = EPOCH_SECONDS * (epochs - epoch - 1)
        run.report(Progress(epoch + 1, epochs, 1.0, 2.0, eta_seconds, member=1, member_epoch=epoch + 1))
        deadline = time.monotonic() + EPOCH_SECONDS
        while time.monotonic() < deadline:
            run.raise_if_stopped()
            time.sleep(0.01)
    return {"model": task["model"], "version": 1, "metrics": {}, "gate": None}


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_jobs(sys.argv[1], Path(sys.argv[2]), train, stop=stop, on_started=lambda: print("started", flush=True))
    os._exit(0)


if __name__ == "__main__":
    main()
