"""Composition root of the training worker: takes jobs from the queue and trains them."""

import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from service.errors import SlotTaken
from service.settings import Settings

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
    from service.domain.recipe import Recipe
    from service.jobs.runner import JobRun, run_jobs
    from service.store.publish import sweep
    from service.telemetry.logging import configure
    from service.training.trainer import Trainer

    configure()
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)

    trainer = Trainer(settings.models_store)

    def perform(task: dict[str, Any], run: JobRun) -> dict[str, Any]:
        return trainer.train(Recipe.from_dict(task["recipe"]), run)

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


def leave(status: int) -> None:
    """Ends the process without waiting for the thread that may still be in the middle of a batch."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
