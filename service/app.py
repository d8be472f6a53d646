"""Composition root of the API process: makes the collaborators, joins them, serves."""

import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from importlib.metadata import version
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.api.application import make_application
from service.api.cancellation import WaitingClients
from service.api.connection_watch import ConnectionLimits, ConnectionWatch
from service.api.dependencies import Services
from service.api.http_protocol import ServerConfig
from service.api.json_numbers import BodyLimits
from service.api.lifecycle import Lifecycle
from service.api.memory_budget import MemoryBudget, settle_allocator
from service.api.request_body import BodyReader
from service.api.scheduled_training import run_schedules
from service.datasets.shared_results import open_results
from service.datasets.shared_store import open_datasets
from service.datasets.sources import Sources
from service.datasets.store import DatasetStore
from service.datasets.upload import Uploader
from service.datasets.upload_limits import UploadLimits
from service.engines.loaders import make_loader
from service.errors import DatabaseUnavailable, InsecureServer
from service.jobs.queue import JobQueue
from service.jobs.schedules import Schedules
from service.listener import BACKLOG, check_exposure, format_url, is_loopback, listen
from service.serving.activations import Activations
from service.serving.anomalies import Anomalies
from service.serving.backtesting import Backtesting
from service.serving.batcher import Batcher
from service.serving.forecasting import Forecasting, ForecastLimits
from service.serving.registry import Registry
from service.settings import Settings
from service.storage.private_files import keep_private
from service.store.catalog import Catalog
from service.store.shared_store import open_store
from service.telemetry.logging import configure
from service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# Engine calls use several cores by themselves; beyond a few at once they only take turns.
MAX_COMPUTE_THREADS = 4
# What a request in progress is given when the process ends.
GRACE_SECONDS = 10
GARBAGE_THRESHOLD = 50_000
SWITCH_SECONDS = 0.0005
DAY_SECONDS = 86_400
EXPIRE_EVERY_SECONDS = 3600
METRICS_EVERY_SECONDS = 1.0


def create_app(
    settings: Settings, *, catalog: Catalog, registry: Registry, jobs: JobQueue, metrics: Metrics, lifecycle: Lifecycle
) -> FastAPI:
    """The application around collaborators that it opens when it starts and closes when it ends.

    Raises:
        KeysUnusable: API keys are set, but none that a client could send.
    """
    batcher = Batcher(limit=settings.queue_limit, threads=min(MAX_COMPUTE_THREADS, os.cpu_count() or 1))
    limits = ForecastLimits(settings.max_horizon, settings.max_answer_values, settings.max_series_length)
    forecasting = Forecasting(registry, batcher, limits)
    backtesting = Backtesting(registry, batcher, limits)
    datasets = open_datasets(settings.models_store, settings.datasets_dir, settings.all_uploads_bytes)
    upload_limits = UploadLimits(settings.max_dataset_points, settings.max_dataset_series)
    uploader = Uploader(datasets, upload_limits, max_bytes=settings.max_upload_bytes)
    metrics.watch(
        waiting=lambda: batcher.waiting, loaded=lambda: registry.loaded, damaged=lambda: len(registry.damaged)
    )
    metrics.watch_store(
        age_seconds=lambda: catalog.age_seconds,
        failures=lambda: catalog.failures,
        damaged_uploads=lambda: len(datasets.damaged),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await jobs.open()
        catalog.open()
        await registry.open()
        expiring = asyncio.create_task(_expire(datasets, jobs, settings))
        refreshing = asyncio.create_task(_refresh(metrics))
        scheduling = asyncio.create_task(run_schedules(services))
        lifecycle.start()
        try:
            yield
        finally:
            lifecycle.drain()
            expiring.cancel()
            refreshing.cancel()
            scheduling.cancel()
            await batcher.close()
            await registry.close()
            await asyncio.to_thread(catalog.close)
            await jobs.close()

    services = Services(
        settings=settings,
        catalog=catalog,
        registry=registry,
        batcher=batcher,
        forecasting=forecasting,
        backtesting=backtesting,
        activations=Activations(registry, catalog),
        anomalies=Anomalies(registry, batcher, limits),
        jobs=jobs,
        schedules=Schedules(jobs),
        datasets=datasets,
        uploader=uploader,
        sources=Sources(settings.source_urls),
        metrics=metrics,
        lifecycle=lifecycle,
        clients=WaitingClients(),
        # Never less than one of the largest bodies takes, and what becomes of it.
        budget=MemoryBudget(max(settings.max_in_flight_bytes, 2 * settings.max_body_bytes)),
        task_results=open_results(settings.models_store, settings.state_dir / "task_results"),
        bodies=BodyReader(
            settings.max_body_bytes, BodyLimits(values=settings.max_body_values, series=settings.max_body_series)
        ),
    )
    return make_application(
        services,
        version=version("outfielder"),
        keys=settings.all_api_keys(),
        reaches_beyond=not is_loopback(settings.host),
        lifespan=lifespan,
    )


async def _expire(datasets: DatasetStore, jobs: JobQueue, settings: Settings) -> None:
    """Removes old uploads that nobody has used, what no job reads, and old jobs that have ended, now and every hour."""
    while True:
        try:
            await asyncio.to_thread(datasets.expire, settings.dataset_days * DAY_SECONDS)
        except OSError:
            logger.exception("old uploads can't be removed")
        try:
            await jobs.expire(settings.job_days * DAY_SECONDS)
            await asyncio.to_thread(datasets.drop_retired, await _find_oldest(jobs))
        except DatabaseUnavailable:
            logger.warning("old jobs can't be removed")
        except OSError:
            logger.exception("uploads that were replaced can't be removed")
        await asyncio.sleep(EXPIRE_EVERY_SECONDS)


async def _find_oldest(jobs: JobQueue) -> float:
    """When the oldest job that waits or runs was submitted, in seconds since 1970; infinity where there is none."""
    oldest = await jobs.find_oldest()
    if oldest is None:
        return math.inf
    return datetime.fromisoformat(oldest.submitted_at).timestamp() if oldest.submitted_at else 0.0


async def _refresh(metrics: Metrics) -> None:
    """Keeps what other processes may tell of this one fresh."""
    while True:
        metrics.refresh()
        await asyncio.sleep(METRICS_EVERY_SECONDS)


def build_app(settings: Settings, lifecycle: Lifecycle | None = None) -> FastAPI:
    """The application that the settings describe."""
    catalog = open_store(settings.models_store, settings.models_folder).catalog()
    registry = Registry(
        catalog,
        make_loader(settings.engine),
        max_loaded=settings.max_loaded_models,
        preload=settings.preload_names,
        scrub=True,
    )
    return create_app(
        settings,
        catalog=catalog,
        registry=registry,
        jobs=JobQueue(settings.job_database_url, limit=settings.queue_limit, max_watchers=settings.max_watchers),
        metrics=Metrics(),
        lifecycle=lifecycle or Lifecycle(),
    )


def serve(settings: Settings, insecure: bool = False, descriptor: int | None = None) -> int:
    """Serves until a signal ends it: at first it is not ready, then it finishes what is in progress.

    Args:
        insecure: listen beyond this machine although there is no API key.
        descriptor: a socket that listens already, which several processes share; None to open one.

    Returns:
        The exit status: 0 when a signal ended it, 1 when it could not start, with the reason on standard error.
    """
    configure(json=settings.logs_json)
    keep_private(settings.state_dir, settings.models_folder)
    try:
        check_exposure(settings, insecure)
        lifecycle = Lifecycle()
        app = build_app(settings, lifecycle)
        listener = listen(settings.host, settings.port) if descriptor is None else socket.socket(fileno=descriptor)
    except InsecureServer as error:
        return _fail(error.message)
    except OSError as error:
        return _fail(str(error))
    config = make_config(app, settings)
    settle_allocator()
    # What lives as long as the process need not be looked at again and again, and a bulk answer is many small objects.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)
    # A thread that prepares a bulk answer gives the event loop its turn after half a millisecond and not after five.
    sys.setswitchinterval(SWITCH_SECONDS)
    server = DrainingServer(config, lifecycle, settings.drain_seconds)
    logger.info("listening on %s", format_url(listener))
    with listener:
        try:
            server.run(sockets=[listener])
        except SystemExit:
            # So uvicorn ends when the collaborators can't be opened; it has logged why.
            return 1
    return 0


def make_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How the application is served."""
    services: Services = app.state.services
    limits = ConnectionLimits(
        header_bytes=settings.max_header_bytes,
        connections=settings.max_connections,
        read_seconds=settings.read_seconds,
        write_seconds=settings.write_seconds,
        idle_seconds=settings.keep_alive_seconds,
    )
    return ServerConfig(
        app,
        ConnectionWatch(limits, services.budget, services.metrics),
        loop="auto",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing here asks who the client is.
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=BACKLOG,
    )


class DrainingServer(uvicorn.Server):
    """A server that, on the first signal, says for a while that it is not ready, and only then stops listening.

    Load balancers need that while to send new requests elsewhere. A second signal ends the wait, a third everything.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_seconds: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        self._asked_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not uvicorn's own: it raises the signal again at the end, as if the process had not ended by itself.
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        elif not self.should_exit:
            self.should_exit = True
        elif sig == signal.SIGINT:
            self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._asked_at is not None:
            self._lifecycle.drain()
            self.should_exit = self.should_exit or time.monotonic() - self._asked_at >= self._drain_seconds
        return await super().on_tick(counter)


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
