"""Forecasts of whole uploads as jobs: the task that the API submits, and how a worker computes it without a server."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from service.domain.forecast_columns import ForecastColumns
from service.domain.panel import Panel
from service.engines.engine import Loader
from service.errors import ForecastFailed, InvalidRequest
from service.serving.backtest_jobs import ProgressTeller, Report
from service.serving.batcher import Batcher
from service.serving.forecast_columns import make_columns
from service.serving.forecast_plan import ForecastRequest
from service.serving.forecasting import Forecast, Forecasting, ForecastLimits
from service.serving.registry import Registry
from service.store.model_store import FolderStore, ModelStore


class Output(Protocol):
    """Where forecasts are written to, in the order of the series; nobody sees them before they are kept."""

    def write(self, columns: ForecastColumns, head: Mapping[str, Any]) -> None:
        """Args: `head` is what holds for all of them: model, version, mode, horizon, rolled_out."""
        ...

    def keep(self) -> dict[str, Any]:
        """Keeps what was written, as a data set. Returns what the job's result tells of it."""
        ...


# Opens the output of a job, given the job's id, the frequency of the series, and the id of their data set; gives what
# was kept at an earlier run in its place.
OpenOutput = Callable[[str, str | None, str], AbstractContextManager[Output | dict[str, Any]]]


def make_task(request: ForecastRequest, dataset_id: str, digest: str | None) -> dict[str, Any]:
    """The task of a forecast of an upload.

    Args:
        request: one of `Forecasting.settle`.
        digest: the upload's, which may be replaced before the job runs.
    """
    return {
        "kind": "forecast",
        "model": request.model,
        "request": asdict(request),
        "panel": dataset_id,
        "digest": digest,
    }


class ForecastJobs:
    """Runs the tasks of forecasts, one at a time."""

    def __init__(
        self,
        store: ModelStore | Path,
        loader: Callable[[], Loader],
        limits: ForecastLimits,
        load_panel: Callable[..., Panel],
        open_output: OpenOutput,
    ) -> None:
        """Args: `store` is the models', or its folder; `loader` makes what loads versions; `load_panel` finds by id."""
        self._store = FolderStore(store) if isinstance(store, Path) else store
        self._make_loader = loader
        self._limits = limits
        self._load_panel = load_panel
        self._open_output = open_output

    def run(
        self, task: Mapping[str, Any], job_id: str, report: Report, raise_if_stopped: Callable[[], None]
    ) -> dict[str, Any]:
        """Forecasts all series, and keeps the forecasts. A job that is run again begins anew, unless it was done.

        Args: `raise_if_stopped` is called between parts; an error that it raises ends the forecast.

        Raises:
            ForecastFailed: no series can be forecast, or the version can't fulfil the request.
            NotFound: the version, or the panel, was deleted meanwhile.
            UploadsFull, StorageUnavailable: the forecasts can't be kept.
        """
        fields = task["request"]
        request = ForecastRequest(
            **{**fields, "level": tuple(fields["level"]), "quantiles": tuple(fields["quantiles"])}
        )
        self._store.prepare(task["model"], raise_if_stopped)
        panel = self._load_panel(task["panel"], digest=task.get("digest"))
        head = {"model": request.model, "version": request.version, "mode": request.mode, "horizon": request.horizon}
        freq = panel.freq if request.freq is None else request.freq
        with self._open_output(job_id, freq, task["panel"]) as output:
            if isinstance(output, dict):
                return {**head, **output}
            progress = ProgressTeller(report, raise_if_stopped)
            try:
                asyncio.run(self._run(request, panel, output, progress.tell))
            except InvalidRequest as error:
                raise ForecastFailed(error.flaws[0].message) from error
            return {**head, **output.keep()}

    async def _run(
        self, request: ForecastRequest, panel: Panel, output: Output, on_part: Callable[[int, int], None]
    ) -> None:
        registry = Registry(self._store.catalog(), self._make_loader(), max_loaded=1)
        batcher = Batcher(limit=1, threads=1)
        await registry.open()
        done = n_forecasts = 0
        flaw = ""
        try:
            async for part in Forecasting(registry, batcher, self._limits).answer_parts(panel, request):
                await asyncio.to_thread(output.write, make_columns(part), _tell(part))
                done += len(part.series)
                n_forecasts += part.n_forecasts
                if not n_forecasts:
                    flaw = next(series.flaw.message for series in part.series if series.flaw is not None)
                await asyncio.to_thread(on_part, done, panel.n_series)
        finally:
            await batcher.close()
            await registry.close()
        if not n_forecasts:
            raise ForecastFailed(f"No series of the data set can be forecast. {flaw}")


def _tell(part: Forecast) -> dict[str, Any]:
    plan = part.plan
    return {
        "model": part.model,
        "version": part.version,
        "mode": plan.mode,
        "horizon": plan.horizon,
        "rolled_out": plan.rolled_out,
    }
