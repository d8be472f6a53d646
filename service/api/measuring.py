"""From the body of POST /backtest to its series, and to a job where they are many."""

import asyncio
from dataclasses import replace
from functools import partial

from service.api.dependencies import Services
from service.api.schemas.backtest import BacktestBody
from service.api.sources import check_source
from service.api.submission import keep_panel
from service.datasets.store import DatasetStore, name_inline
from service.domain.frequency import check_frequency, check_same
from service.jobs.job import Job
from service.serving.offline import make_task
from service.serving.study import Material, Study, read_material


def load_material(body: BacktestBody, datasets: DatasetStore) -> Material:
    """The series to be measured on. Blocks: not for the event loop.

    Raises:
        InvalidRequest: not exactly one of series and dataset, series that can't be read, an unknown frequency.
        DatasetNotFound.
    """
    check_source({name: getattr(body, name) for name in body.model_fields_set})
    if body.freq is not None:
        check_frequency(body.freq)
    if body.dataset is None:
        return read_material(body.series, body.freq)
    panel = datasets.load(body.dataset)
    if body.freq is not None:
        if panel.freq is not None:
            check_same(body.freq, panel.freq)
        else:
            panel = replace(panel, freq=body.freq)
    return Material(panel, "/dataset")


async def submit_backtest(services: Services, body: BacktestBody, study: Study, material: Material) -> Job:
    """Leaves a backtest to a worker. The job shows what was asked for, inline series as digest and counts.

    Raises:
        QueueFull.
    """
    shown = body.model_dump(exclude_unset=True, exclude={"series"})
    keep, panel_id = None, body.dataset
    if panel_id is None:
        panel = material.panel
        digest = await asyncio.to_thread(panel.digest)
        shown["series"] = {"digest": digest, "n_series": panel.n_series, "n_points": panel.n_points}
        keep, panel_id = partial(keep_panel, services.datasets, panel), name_inline(digest)
    task = make_task(study, body.to_request(), material.pointers, panel_id)
    return await services.jobs.submit(shown, task, keep=keep)
