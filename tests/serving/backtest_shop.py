"""A backtest job in parts of two series each, its board and checkpoints, and workers that help with it."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from service.engines.loaders import AutoLoader
from service.jobs.connection import connect
from service.jobs.database import migrate
from service.jobs.helping import Helper
from service.jobs.parts import PartBoard
from service.jobs.slot import Slot
from service.serving.backtest_jobs import BacktestJobs
from service.serving.backtest_plan import read_backtest_data
from service.storage.object_storage import ObjectStorage
from tests.jobs.test_parts import add_job
from tests.serving.models import KINDS, add_version
from tests.serving.test_backtest_jobs import load_panel, task_of
from tests.serving.test_backtesting import LIMITS, MONTHLY

N_SERIES = 13
POSTED = {f"series {i}": [value * (1 + i / 10) for value in MONTHLY[i:]] for i in range(N_SERIES)}
POSTED["short"] = [1.0, 2.0]
KIND = KINDS["whole"]
RESIDUALS = np.linspace(0.0, 9.9, 100 * KIND.horizon).reshape(KIND.horizon, 100).tolist()
ASKED: dict[str, Any] = {"model": "m", "windows": 3, "level": (80.0,), "forecasts": True, "season": 12}


class HelpedBoard(PartBoard):
    """The board of a job; `on_posted` acts as helpers that are faster than the job itself."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        self.on_posted: Callable[[], None] = lambda: None

    def post(self, job_id: str, tasks: Mapping[str, dict[str, Any]], *, is_rerun: bool) -> None:
        super().post(job_id, tasks, is_rerun=is_rerun)
        self.on_posted()


class Shop:
    """A job, its board and its checkpoints; parts have two series each."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        url = f"sqlite:///{folder / 'jobs.sqlite'}"
        migrate(url)
        self.engine = connect(url)
        add_job(self.engine, "job", "PENDING")
        self.storage = ObjectStorage((folder / "checkpoints").as_uri())
        self.board = HelpedBoard(self.engine)
        self.told: list[tuple[int, int]] = []
        self.workers: list[BacktestJobs] = []
        self.task = task_of(root, read_backtest_data(POSTED, "MS"), **ASKED)

    def worker(self, root: Path | None = None, **changes: Any) -> BacktestJobs:
        """Another process: it knows what stands on the board, and what is stored."""
        given = {"checkpoints": self.storage, "board": self.board, **changes}
        find_panel = given.pop("load_panel", load_panel)
        loader = partial(AutoLoader, beside_training=True)
        worker = BacktestJobs(root or self.root, loader, LIMITS, find_panel, **given)
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.engine.dispose()

    def helper(self, worker: BacktestJobs | None = None) -> Helper:
        own = worker or self.worker()
        return Helper(
            self.board,
            lambda task, run: own.run_part(task, run.job_id, run.raise_if_stopped),
            Slot(),
            threading.Event(),
        )

    def run(
        self,
        raise_if_stopped: Callable[[], None] = lambda: None,
        attempt: int = 1,
        job: BacktestJobs | None = None,
        confirm: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        return (job or self.worker()).run(
            self.task,
            lambda done, total, eta_seconds: self.told.append((done, total)),
            raise_if_stopped,
            confirm=confirm,
            job_id="job",
            attempt=attempt,
        )

    def states(self) -> dict[str, int]:
        states = [part.state for part in self.board.read("job").values()]
        return {state: states.count(state) for state in states}

    def objects(self) -> dict[str, float]:
        return {found.key: found.modified_at for found in self.storage.list_objects()}

    def stop_after(self, n_parts: int, error: BaseException) -> Callable[[], None]:
        """Raises once so many parts are kept."""

        def raise_if_stopped() -> None:
            # The others are the clock and the linear baseline.
            if len(self.objects()) >= n_parts + 2:
                raise error

        return raise_if_stopped


def add_calibrated(root: Path, bias: float = 0.0) -> None:
    add_version(root, "m", replace(KIND, bias=bias), calibration={"season": 12, "window": 30, "residuals": RESIDUALS})
