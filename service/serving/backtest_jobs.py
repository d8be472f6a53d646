"""Backtests as jobs: the task that the API submits, and how a worker computes it without a server."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.domain.panel import Panel
from service.engines.engine import Loader
from service.errors import BacktestFailed, InvalidRequest
from service.serving.backtest_plan import BacktestData, BacktestPlan, BacktestRequest
from service.serving.backtesting import Answer, Backtesting
from service.serving.batcher import Batcher
from service.serving.forecasting import ForecastLimits
from service.serving.registry import Registry
from service.store.model_store import FolderStore, ModelStore

REPORT_SECONDS = 1.0

# Told how many series are done, of how many, and about how many seconds the others will take.
Report = Callable[[int, int, float], None]


def make_task(
    plan: BacktestPlan, request: BacktestRequest, pointers: str, panel_id: str, digest: str | None = None
) -> dict[str, Any]:
    """The task of a backtest whose panel is kept under an id. The version is the one that the request reached.

    Args: `digest` is that of an upload, which may be replaced before the job runs.
    """
    settled = asdict(request) | {"model": plan.manifest.name, "version": plan.manifest.version}
    return {
        "kind": "backtest",
        "model": plan.manifest.name,
        "request": settled,
        "pointers": pointers,
        "panel": panel_id,
        "digest": digest,
    }


class BacktestJobs:
    """Runs the tasks of backtests, one at a time."""

    def __init__(
        self,
        store: ModelStore | Path,
        loader: Callable[[], Loader],
        limits: ForecastLimits,
        load_panel: Callable[..., Panel],
    ) -> None:
        """Args: `store` is the models', or its folder; `loader` makes what loads versions; `load_panel` finds by id.

        The latter also takes the `digest` that an upload had.
        """
        self._store = FolderStore(store) if isinstance(store, Path) else store
        self._make_loader = loader
        self._limits = limits
        self._load_panel = load_panel

    def run(self, task: Mapping[str, Any], report: Report, raise_if_stopped: Callable[[], None]) -> Answer:
        """Args: `raise_if_stopped` is called between parts; an error that it raises ends the backtest.

        Raises:
            BacktestFailed: no series can be forecast, or the version can't fulfil the request.
            NotFound: the version, or the panel, was deleted meanwhile.
        """
        fields = task["request"]
        request = BacktestRequest(**{**fields, "level": tuple(fields["level"])})
        self._store.prepare(task["model"], raise_if_stopped)
        data = BacktestData(self._load_panel(task["panel"], digest=task.get("digest")), task["pointers"])
        try:
            return asyncio.run(self._run(request, data, ProgressTeller(report, raise_if_stopped).tell))
        except InvalidRequest as error:
            raise BacktestFailed(error.flaws[0].message) from error

    async def _run(self, request: BacktestRequest, data: BacktestData, on_part: Callable[[int, int], None]) -> Answer:
        catalog = self._store.catalog()
        registry = Registry(catalog, self._make_loader(), max_loaded=1)
        batcher = Batcher(limit=1, threads=1)
        await registry.open()
        try:
            backtesting = Backtesting(registry, batcher, self._limits)
            return await backtesting.run(await backtesting.prepare(request, data), on_part)
        finally:
            await batcher.close()
            await registry.close()


class ProgressTeller:
    """Reports every second or so, however many parts there are."""

    def __init__(self, report: Report, raise_if_stopped: Callable[[], None]) -> None:
        self._report = report
        self._raise_if_stopped = raise_if_stopped
        self._started = self._reported = time.monotonic()

    def tell(self, done: int, total: int) -> None:
        self._raise_if_stopped()
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS or done == total:
            self._reported = now
            self._report(done, total, round((now - self._started) * (total - done) / done, 1))
