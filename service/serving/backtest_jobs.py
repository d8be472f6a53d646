"""Backtests as jobs: the task that the API submits, and how a worker computes it without a server."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.domain.panel import Panel
from service.engines.engine import Loader
from service.errors import BacktestFailed, InvalidRequest, NotFound, ServiceError, VersionDamaged
from service.parts.board import Board, forget_parts
from service.parts.records import JobRecords
from service.serving.backtest_plan import BacktestData, BacktestPlan, BacktestRequest
from service.serving.backtest_records import LINEAR, BacktestRecords, Span
from service.serving.backtesting import Answer
from service.serving.forecasting import ForecastLimits
from service.serving.open_backtest import OpenBacktest, open_backtest
from service.serving.shared_backtest import SharedBacktest
from service.storage.object_storage import ObjectStorage
from service.store.model_store import FolderStore, ModelStore

logger = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
# Of the plan. A job of fewer takes less time than others need to load its version and its series.
FEWEST_SHARED_PARTS = 4

# Told how many series are done, of how many, and about how many seconds the others will take.
Report = Callable[[int, int, float], None]


def make_task(
    plan: BacktestPlan, request: BacktestRequest, data: BacktestData, panel_id: str, digest: str | None = None
) -> dict[str, Any]:
    """The task of a backtest whose panel is kept under an id. The version is the one that the request reached.

    Args: `digest` is that of an upload, which may be replaced before the job runs.
    """
    settled = asdict(request) | {"model": plan.manifest.name, "version": plan.manifest.version}
    return {
        "kind": "backtest",
        "model": plan.manifest.name,
        "request": settled,
        "pointers": data.pointers,
        "panel": panel_id,
        "digest": digest,
        "freq": data.asked_freq,
    }


class BacktestJobs:
    """Runs the tasks of backtests, one at a time, and parts of such that other workers have."""

    def __init__(
        self,
        store: ModelStore | Path,
        loader: Callable[[], Loader],
        limits: ForecastLimits,
        load_panel: Callable[..., Panel],
        *,
        checkpoints: ObjectStorage | None = None,
        board: Board | None = None,
    ) -> None:
        """Args:
        store: the models', or its folder.
        loader: makes what loads versions.
        load_panel: finds a panel by its id; also takes the `digest` that an upload had.
        checkpoints: where large jobs leave the parts that are done; with None each run begins anew, alone.
        board: the parts of jobs that other workers may take.
        """
        self._store = FolderStore(store) if isinstance(store, Path) else store
        self._make_loader = loader
        self._limits = limits
        self._load_panel = load_panel
        self._checkpoints = checkpoints
        self._board = board
        # The backtest of the part before: the next is mostly one of the same job.
        self._kept_open: tuple[str, ExitStack, OpenBacktest] | None = None

    def run(
        self,
        task: Mapping[str, Any],
        report: Report,
        raise_if_stopped: Callable[[], None],
        *,
        confirm: Callable[[], None] = lambda: None,
        job_id: str = "",
        attempt: int = 1,
    ) -> Answer:
        """Runs a job. One of many parts goes on from those that its runs before have done, and is helped by others.

        Args:
            raise_if_stopped: called between parts; an error that it raises ends the backtest.
            confirm: called before what the job has left is removed; raises where another run has the job by now, which
                goes on from it.
            attempt: counts the job's runs, from 1.

        Raises:
            BacktestFailed: no series can be forecast, the version can't fulfil the request, or a part can't be done.
            NotFound: the version, or the panel, was deleted meanwhile.
        """
        self.close()
        try:
            answer = self._run(task, report, raise_if_stopped, job_id, attempt)
        except InvalidRequest as error:
            confirm()
            self._forget(job_id)
            raise BacktestFailed(error.flaws[0].message) from error
        except ServiceError:
            confirm()
            self._forget(job_id)
            raise
        confirm()
        self._forget(job_id)
        return answer

    def run_part(self, task: Mapping[str, Any], job_id: str, raise_if_stopped: Callable[[], None]) -> dict[str, Any]:
        """Does a part of a job that another worker has. Its outcome goes to the job's checkpoints.

        Returns:
            `{"is_refused"}`: whether this process can't do it, since it finds another version, other series or no
            checkpoints of the job.
        """
        try:
            return {"is_refused": not self._do_part(task, job_id, raise_if_stopped)}
        except (InvalidRequest, NotFound, VersionDamaged) as error:
            logger.warning("can't help with backtest %s: %s", job_id, error)
            self.close()
            return {"is_refused": True}
        except BaseException:  # raised again: a stop or a fault, after which nobody may come for another part
            self.close()
            raise

    def close(self) -> None:
        """Lets go of what is kept for the next part, which takes memory."""
        if self._kept_open is not None:
            kept_open, self._kept_open = self._kept_open, None
            kept_open[1].close()

    def _run(
        self,
        task: Mapping[str, Any],
        report: Report,
        raise_if_stopped: Callable[[], None],
        job_id: str,
        attempt: int,
    ) -> Answer:
        teller = ProgressTeller(report, raise_if_stopped)
        with self._open(task, raise_if_stopped) as opened:
            if self._checkpoints is None or self._board is None or opened.n_parts < FEWEST_SHARED_PARTS:
                return opened.run(teller.tell)
            records = JobRecords(self._checkpoints, job_id)
            shared = SharedBacktest(opened, records, self._board, job_id, attempt, task)
            return shared.run(teller.tell, raise_if_stopped)

    def _do_part(self, task: Mapping[str, Any], job_id: str, raise_if_stopped: Callable[[], None]) -> bool:
        if self._checkpoints is None:
            return False
        records = JobRecords(self._checkpoints, job_id)
        # On a host without an object store in common nobody else would see what was done.
        if records.find(LINEAR) is None:
            return False
        opened = self._reopen(task, job_id, raise_if_stopped)
        kept = BacktestRecords(records, opened.identify())
        span = Span(*task["part"]["span"])
        linear = kept.find_linear()
        if linear is None or kept.key_of(span) != task["part"]["key"]:
            return False
        if kept.find(span) is None:
            kept.keep(span, opened.score(span, linear, lambda done: raise_if_stopped()))
        return True

    def _reopen(self, task: Mapping[str, Any], job_id: str, raise_if_stopped: Callable[[], None]) -> OpenBacktest:
        if self._kept_open is None or self._kept_open[0] != job_id:
            self.close()
            stack = ExitStack()
            self._kept_open = job_id, stack, stack.enter_context(self._open(task, raise_if_stopped))
        return self._kept_open[2]

    @contextmanager
    def _open(self, task: Mapping[str, Any], raise_if_stopped: Callable[[], None]) -> Iterator[OpenBacktest]:
        fields = task["request"]
        request = BacktestRequest(**{**fields, "level": tuple(fields["level"])})
        self._store.prepare(task["model"], raise_if_stopped)
        panel = self._load_panel(task["panel"], digest=task.get("digest"))
        # A job of an earlier release has no frequency.
        data = BacktestData(panel, task["pointers"], task.get("freq"))
        with open_backtest(self._store.catalog(), self._make_loader(), self._limits, request, data) as opened:
            yield opened

    def _forget(self, job_id: str) -> None:
        """Takes away what an ended job has no use for any more."""
        if self._checkpoints is not None and self._board is not None:
            JobRecords(self._checkpoints, job_id).remove()
            forget_parts(self._board, job_id)


class ProgressTeller:
    """Reports every second or so, however many parts there are."""

    def __init__(self, report: Report, raise_if_stopped: Callable[[], None]) -> None:
        self._report = report
        self._raise_if_stopped = raise_if_stopped
        self._started = self._reported = time.monotonic()

    def tell(self, done: int, total: int, done_before: int = 0) -> None:
        """Args: `done_before` are those of `done` that an earlier run had done, in time that is not this one's."""
        self._raise_if_stopped()
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS or done == total:
            self._reported = now
            seconds_each = (now - self._started) / max(1, done - done_before)
            self._report(done, total, round(seconds_each * (total - done), 1))
