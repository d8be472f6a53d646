"""A worker that forecasts uploads, and takes its time over each part: a process for the tests to submit to."""

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from service.datasets.forecast_output import open_output
from service.datasets.store import DatasetStore
from service.engines.loaders import AutoLoader
from service.jobs.runner import run_jobs
from service.jobs.supervised_run import SupervisedRun
from service.serving import forecasting
from service.serving.forecast_jobs import ForecastJobs
from service.serving.forecasting import ForecastLimits
from service.worker import report_series


def main() -> None:
    url, state_dir, store, pause = sys.argv[1:]
    forecasting.MOST_PART_SERIES = 20
    datasets = DatasetStore(Path(state_dir) / "datasets", 10**9)
    limits = ForecastLimits(1000, 10**6, 10**5)
    load = partial(datasets.load, mapped=True)
    jobs = ForecastJobs(Path(store), AutoLoader, limits, load, partial(open_output, datasets))

    def perform(task: dict[str, Any], run: SupervisedRun) -> dict[str, Any]:
        def report(done: int, total: int, eta: float) -> None:
            report_series(run, done, total, eta)  # type: ignore[arg-type] # it has what is asked of one

        def look() -> None:
            run.raise_if_stopped()
            time.sleep(float(pause))

        return jobs.run(task, run.job_id, report, look)

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_jobs(url, Path(state_dir), perform, stop=stop, on_started=lambda: print("started", flush=True))
    os._exit(0)


if __name__ == "__main__":
    main()
