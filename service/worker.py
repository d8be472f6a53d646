"""Composition root of the worker: takes jobs from the queue, trains models and backtests them."""

import logging
import os
import signal
import sys
import threading
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from service.errors import SlotTaken
from service.jobs.job import Progress
from service.settings import Settings, count_cores
from service.supervisor import Child, Supervisor

if TYPE_CHECKING:
    from service.jobs.runner import JobRun

logger = logging.getLogger(__name__)

# Of a job, so that a forecast on the same machine never waits for it. Forecasts have 0.
NICENESS = 10


def main(settings: Settings, slot: int = 0) -> int:
    """Works until a signal ends it; the job at hand is left to the next worker.

    Args:
        slot: which of the machine's workers it is.

    Returns:
        The exit status: 0 when a signal ended it, 1 when another worker has its place.
    """
    os.nice(NICENESS)
    for name, value in {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # oneDNN's kernels order sums by the processor they find; without them a recipe gives the same model everywhere.
        "TF_ENABLE_ONEDNN_OPTS": "0",
        # By default the first job would take all of a GPU's memory.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        **shares_of_cores(settings.jobs),
    }.items():
        os.environ.setdefault(name, value)
    # TensorFlow and the job engine take seconds to import, which `--help` and the API need not wait for.
    from service.datasets.store import DatasetStore
    from service.domain.plan import Plan
    from service.engines.loaders import AutoLoader
    from service.jobs.runner import JobRun, run_jobs
    from service.serving.forecasting import Limits
    from service.serving.offline import OfflineBacktests
    from service.storage.private import keep_private
    from service.store.publish import sweep
    from service.telemetry.logging import configure
    from service.training.compiled.cache import keep_programs
    from service.training.device import choose_device
    from service.training.trainer import Trainer

    configure()
    keep_private(settings.state_dir, settings.models_store)
    choose_device()
    keep_programs(settings.programs_dir)
    # It takes every further graph of a process for a mistake; here each job has its own.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)

    load_panel = DatasetStore(settings.datasets_dir).load
    trainer = Trainer(settings.models_store, load_panel)
    loader = partial(AutoLoader, beside_training=True)
    limits = Limits(settings.max_horizon, settings.max_answer_values, settings.max_series_length)
    backtests = OfflineBacktests(settings.models_store, loader, limits, load_panel)

    def perform(task: dict[str, Any], run: JobRun) -> dict[str, Any]:
        if task["kind"] == "backtest":
            return backtests.run(task, partial(report_series, run), run.raise_if_stopped)
        return trainer.train(Plan.from_dict(task["plan"]), run)

    sweep(settings.models_store)
    try:
        run_jobs(
            settings.job_database_url,
            settings.state_dir,
            perform,
            stop=stop,
            slot=slot,
            n_slots=settings.jobs,
            on_started=lambda: logger.info("waiting for jobs"),
        )
    except SlotTaken as error:
        print(f"outfielder worker: {error.message}", file=sys.stderr)
        return 1
    finally:
        trainer.close()
    return 0


def main_of_many(settings: Settings) -> int:
    """Keeps as many workers running as the settings say, until a signal ends them.

    Returns:
        The exit status: 0 when a signal ended them, 1 when one of them can't start.
    """
    from service.telemetry.logging import configure

    configure()
    return Supervisor(make_children(settings, are_essential=True)).run()


def make_children(settings: Settings, *, are_essential: bool = False) -> list[Child]:
    """A machine's workers as children of a supervisor."""
    command = [sys.executable, "-m", "service.cli", "worker", "--jobs", str(settings.jobs), "--slot"]
    return [Child(f"worker {slot}", [*command, str(slot)], are_essential) for slot in range(settings.jobs)]


def shares_of_cores(n_jobs: int) -> dict[str, str]:
    """Environment variables that give each of a machine's jobs its part of the cores, read by XLA and TensorFlow.

    With more threads than cores, threads that wait for each other wait for the scheduler: small networks took a
    quarter more time.
    """
    threads = str(max(1, count_cores() // n_jobs))
    return {"PJRT_NPROC": threads, "TF_NUM_INTRAOP_THREADS": threads}


def report_series(run: "JobRun", done: int, total: int, eta_seconds: float) -> None:
    """Tells how far a backtest has come: series stand in the place of epochs."""
    run.report(Progress(done, total, None, None, eta_seconds))


def leave(status: int) -> None:
    """Ends the process without waiting for the thread that may still be in the middle of a batch."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
