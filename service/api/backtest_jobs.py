"""Turns the body of POST /backtest into series, and into a job if there are many of them."""

import asyncio
from functools import partial

from service.api.dependencies import Services
from service.api.schemas.anomalies import AnomaliesBody
from service.api.schemas.backtest import BacktestBody
from service.api.series_source import check_source, load_dataset
from service.api.train_jobs import keep_panel
from service.datasets.dataset_ids import name_inline
from service.datasets.store import DatasetStore
from service.domain.frequency import check_frequency, check_same
from service.jobs.job import Job
from service.serving.backtest_jobs import make_task
from service.serving.backtest_plan import BacktestData, BacktestPlan, read_backtest_data


def load_backtest_data(body: BacktestBody | AnomaliesBody, datasets: DatasetStore) -> BacktestData:
    """The series to look back on. Blocks: not for the event loop.

    Raises:
        InvalidRequest: not exactly one of series and dataset, series that can't be read, an unknown frequency.
        DatasetNotFound.
    """
    check_source({name: getattr(body, name) for name in body.model_fields_set})
    if body.freq is not None:
        check_frequency(body.freq)
    if body.dataset is None:
        return read_backtest_data(body.series, body.freq, start=getattr(body, "start", None))
    panel = load_dataset(datasets, body.dataset)
    if body.freq is not None and panel.freq is not None:
        check_same(body.freq, panel.freq)
    return BacktestData(panel, "/dataset", body.freq)


async def submit_backtest(
    services: Services, body: BacktestBody, plan: BacktestPlan, data: BacktestData, idempotency_key: str | None
) -> Job:
    """Submits a backtest as a job. The job shows the request, inline series as digest and counts.

    Raises:
        QueueFull, IdempotencyKeyReused.
    """
    shown = body.model_dump(exclude_unset=True, exclude={"series"})
    keep, panel_id = None, body.dataset
    panel = data.panel
    digest = await asyncio.to_thread(panel.digest)
    if panel_id is None:
        shown["series"] = {"digest": digest, "n_series": panel.n_series, "n_points": panel.n_points}
        keep, panel_id = partial(keep_panel, services.datasets, panel), name_inline(digest)
    task = make_task(plan, body.to_request(), data, panel_id, digest)
    return await services.jobs.submit(shown, task, idempotency_key=idempotency_key, keep=keep)
