"""Composition root of the worker: takes jobs from the queue, trains models, backtests them and forecasts uploads."""

import logging
import os
import signal
import sys
import threading
import time
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from service.errors import DatabaseUnavailable, InvalidRequest, SlotTaken, TooMuchMemory
from service.jobs.job import Progress
from service.settings import Settings, count_cores
from service.supervisor import Child, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from service.datasets.store import DatasetStore
    from service.job_process import TaskRun

logger = logging.getLogger(__name__)

# Of a job, so that a forecast on the same machine never waits for it. Forecasts have 0.
NICENESS = 10
DAY_SECONDS = 86_400.0
EXPIRE_EVERY_SECONDS = 3600.0
# Of a GPU's memory, what the jobs of a machine may take together.
GPU_SHARED = 0.8


def main(settings: Settings, slot: int = 0) -> int:
    """Works until a signal ends it; the job at hand is left to the next worker.

    Args:
        slot: which of the machine's workers it is.

    Returns:
        The exit status: 0 when a signal ended it, 1 when another worker has its place or the job database can't be
        used, with the reason on standard error.
    """
    os.nice(NICENESS)
    # The job engine takes seconds to import, which `--help` and the API need not wait for.
    from service.datasets.shared_store import open_datasets
    from service.job_supervisor import JobSupervisor
    from service.jobs.runner import run_jobs
    from service.parts.records import sweep_records
    from service.storage.object_storage import ObjectStorage
    from service.storage.private_files import keep_private
    from service.store.shared_store import open_store
    from service.telemetry.logging import configure

    configure(json=settings.logs_json)
    # What performs the jobs has this process' umask.
    keep_private(settings.state_dir, settings.models_folder)
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)

    supervisor = JobSupervisor(
        [*_command(settings.jobs, slot), "--performs"],
        memory_bytes=settings.each_job_bytes,
        max_seconds=settings.max_job_seconds,
    )
    open_store(settings.models_store, settings.models_folder).sweep()
    expiry = CopyExpiry(open_datasets(settings.models_store, settings.datasets_dir), settings.dataset_days)
    checkpoints = ObjectStorage(settings.checkpoints_url)

    def sweep(find_ended: "Callable[[Sequence[str]], set[str]]") -> None:
        expiry.run()
        sweep_records(checkpoints, find_ended)

    expiry.run()
    try:
        # A job that runs is to tell how far it is at once, so none is taken before that can be.
        supervisor.start()
        supervisor.wait_until_ready(stop)
        run_jobs(
            settings.job_database_url,
            settings.state_dir,
            supervisor.perform,
            stop=stop,
            slot=slot,
            n_slots=settings.jobs,
            on_started=lambda: logger.info("waiting for jobs"),
            sweep=sweep,
        )
    except (SlotTaken, DatabaseUnavailable) as error:
        print(f"outfielder worker: {error.message}", file=sys.stderr)
        return 1
    finally:
        supervisor.close()
    return 0


class CopyExpiry:
    """Removes a machine's copies of uploads that none of its jobs has read for so long; other machines may use them."""

    def __init__(self, datasets: "DatasetStore", days: float) -> None:
        self._datasets = datasets
        self._days = days
        self._ran_at = -EXPIRE_EVERY_SECONDS

    def run(self) -> None:
        """To be called as often as is convenient: it does something every hour, and at first."""
        if time.monotonic() - self._ran_at < EXPIRE_EVERY_SECONDS:
            return
        self._ran_at = time.monotonic()
        try:
            self._datasets.expire_copies(self._days * DAY_SECONDS)
        except OSError:
            logger.exception("old copies of uploads can't be removed")


def perform(settings: Settings) -> None:
    """Performs the jobs that a worker passes on, until it ends: see `service.job_process`."""
    from service.hidden_libraries import hide
    from service.job_process import serve_tasks
    from service.telemetry.logging import configure

    configure(json=settings.logs_json)
    # Ctrl-C and the like are meant for the worker, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name, value in {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # oneDNN's kernels order sums by the processor they find; without them a recipe gives the same model everywhere.
        "TF_ENABLE_ONEDNN_OPTS": "0",
        # By default the first job would take all of a GPU's memory.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        # Of large panels with gaps there are copies in temporary files, for which /tmp may be too small, or memory.
        "TMPDIR": str(settings.state_dir.absolute()),
        **shares_of_cores(settings.jobs),
        **share_of_gpu(settings.jobs, os.environ),
    }.items():
        os.environ.setdefault(name, value)
    hide("pandas", "matplotlib")
    serve_tasks(partial(_load, settings))


def _load(settings: Settings) -> "Callable[[dict[str, Any], TaskRun], dict[str, Any]]":
    """What performs a task. It takes seconds to import."""
    from service.datasets.forecast_output import open_output
    from service.datasets.shared_store import open_datasets
    from service.domain.recipes.memory_estimate import check_memory
    from service.domain.recipes.training_plan import TrainingPlan
    from service.engines.loaders import AutoLoader
    from service.jobs.connection import connect
    from service.jobs.parts import PartBoard
    from service.serving.backtest_jobs import BacktestJobs
    from service.serving.forecast_jobs import ForecastJobs
    from service.serving.forecasting import ForecastLimits
    from service.storage.object_storage import ObjectStorage
    from service.storage.persistence import PATIENCE_SECONDS
    from service.store.shared_store import open_store
    from service.training.device import choose_device
    from service.training.jax_trainer.cache import keep_programs
    from service.training.trainer import Trainer

    choose_device()
    keep_programs(settings.programs_dir)
    # It takes every further graph of a process for a mistake; here each job has its own.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # In their file, which may hold more than a job may take of memory.
    datasets = open_datasets(
        settings.models_store, settings.datasets_dir, settings.all_uploads_bytes, patience_seconds=PATIENCE_SECONDS
    )
    load_panel = partial(datasets.load, mapped=True)
    store = open_store(settings.models_store, settings.models_folder)
    checkpoints = ObjectStorage(settings.checkpoints_url)
    board = PartBoard(connect(settings.job_database_url))
    trainer = Trainer(store, load_panel, keep_versions=settings.keep_versions, checkpoints=checkpoints, board=board)
    loader = partial(AutoLoader, beside_training=True)
    limits = ForecastLimits(settings.max_horizon, settings.max_answer_values, settings.max_series_length)
    backtests = BacktestJobs(store, loader, limits, load_panel, checkpoints=checkpoints, board=board)
    forecasts = ForecastJobs(store, loader, limits, load_panel, partial(open_output, datasets))

    def perform_task(task: dict[str, Any], run: "TaskRun") -> dict[str, Any]:
        if task["kind"] == "backtest":
            trainer.let_go()
            if "part" in task:
                return backtests.run_part(task, run.job_id, run.raise_if_stopped)
            report = partial(report_series, run)
            return backtests.run(
                task, report, run.raise_if_stopped, confirm=run.confirm, job_id=run.job_id, attempt=run.attempt
            )
        # What it keeps for the next part takes memory.
        backtests.close()
        if task["kind"] == "forecast":
            return forecasts.run(task, run.job_id, partial(report_series, run), run.raise_if_stopped)
        if "part" in task:
            return trainer.fit_part(task["part"], run)
        plan = TrainingPlan.from_dict(task["plan"])
        try:
            # The server that accepted it may have more memory, or know less of it.
            check_memory(plan, settings.each_job_bytes)
        except InvalidRequest as error:
            raise TooMuchMemory(error.message) from error
        return trainer.train(plan, run)

    return perform_task


def main_of_many(settings: Settings) -> int:
    """Keeps as many workers running as the settings say, until a signal ends them.

    Returns:
        The exit status: 0 when a signal ended them, 1 when one of them can't start.
    """
    from service.telemetry.logging import configure

    configure(json=settings.logs_json)
    return Supervisor(make_children(settings, are_essential=True)).run()


def make_children(settings: Settings, *, are_essential: bool = False) -> list[Child]:
    """A machine's workers as children of a supervisor."""
    return [Child(f"worker {slot}", _command(settings.jobs, slot), are_essential) for slot in range(settings.jobs)]


def _command(n_jobs: int, slot: int) -> list[str]:
    return [sys.executable, "-m", "service.cli", "worker", "--jobs", str(n_jobs), "--slot", str(slot)]


def shares_of_cores(n_jobs: int) -> dict[str, str]:
    """Environment variables that give each of a machine's jobs its part of the cores, read by XLA and TensorFlow.

    With more threads than cores, threads that wait for each other wait for the scheduler: small networks took a
    quarter more time.
    """
    threads = str(max(1, count_cores() // n_jobs))
    return {"PJRT_NPROC": threads, "TF_NUM_INTRAOP_THREADS": threads}


def share_of_gpu(n_jobs: int, environment: "Mapping[str, str]") -> dict[str, str]:
    """Environment variables that give each of a machine's jobs its part of a GPU's memory, read by JAX.

    A process keeps what it once took, from job to job, and by default may take three quarters: that of a large job
    would leave another too little. Each takes some more outside of its part, for the GPU's own programs.

    Args:
        environment: a part that its user has chosen, under either of JAX' names for it, stands; JAX refuses both.
    """
    if n_jobs == 1 or "XLA_PYTHON_CLIENT_MEM_FRACTION" in environment:
        return {}
    return {"XLA_CLIENT_MEM_FRACTION": f"{GPU_SHARED / n_jobs:.3f}"}


def report_series(run: "TaskRun", done: int, total: int, eta_seconds: float) -> None:
    """Tells how far a backtest or a forecast has come: series stand in the place of epochs."""
    run.report(Progress(done, total, None, None, eta_seconds))


def leave(status: int) -> None:
    """Ends the process without waiting for the thread that may still be in the middle of a batch."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
