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
from service.settings import Settings

if TYPE_CHECKING:
    from service.jobs.runner import JobRun

logger = logging.getLogger(__name__)


def main(settings: Settings) -> int:
    """Works until a signal ends it; the job at hand is left to the next worker.

    Returns:
        The exit status: 0 when a signal ended it, 1 when another worker has its place.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # oneDNN's kernels order sums by the processor they find; without them a recipe gives the same model everywhere.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # TensorFlow and the job engine take seconds to import, which `--help` and the API need not wait for.
    from service.datasets.store import DatasetStore
    from service.domain.plan import Plan
    from service.engines.loaders import AutoLoader
    from service.jobs.runner import JobRun, run_jobs
    from service.serving.forecasting import Limits
    from service.serving.offline import OfflineBacktests
    from service.store.publish import sweep
    from service.telemetry.logging import configure
    from service.training.trainer import Trainer

    configure()
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
            on_started=lambda: logger.info("waiting for jobs"),
        )
    except SlotTaken as error:
        print(f"outfielder worker: {error.message}", file=sys.stderr)
        return 1
    finally:
        trainer.close()
    return 0


def report_series(run: "JobRun", done: int, total: int, eta_seconds: float) -> None:
    """Tells how far a backtest has come: series stand in the place of epochs."""
    run.report(Progress(done, total, None, None, eta_seconds))


def leave(status: int) -> None:
    """Ends the process without waiting for the thread that may still be in the middle of a batch."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
