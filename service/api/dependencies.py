"""What routes are handed: the collaborators that the application was created with."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from starlette.requests import ClientDisconnect, Request

from service.api.lifecycle import Lifecycle
from service.datasets.intake import Intake
from service.datasets.store import DatasetStore
from service.domain.series import describe
from service.errors import DeadlineExceeded, InvalidRequest
from service.jobs.queue import JobQueue
from service.serving.backtesting import Backtesting
from service.serving.batcher import Batcher
from service.serving.forecasting import Forecasting
from service.serving.registry import Registry
from service.settings import Settings
from service.store.catalog import Catalog
from service.telemetry.metrics import Metrics

T = TypeVar("T")

# How long after its body a request runs before its connection is watched.
PATIENCE_SECONDS = 0.01
TIMEOUT_HEADER = "X-Request-Timeout-Ms"
LONGEST_TIMEOUT_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of one application."""

    settings: Settings
    catalog: Catalog
    registry: Registry
    batcher: Batcher
    forecasting: Forecasting
    backtesting: Backtesting
    jobs: JobQueue
    datasets: DatasetStore
    intake: Intake
    metrics: Metrics
    lifecycle: Lifecycle


async def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Injected = Annotated[Services, Depends(get_services)]


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Awaits work for a client, and cancels it when the client goes away or its deadline passes.

    The body must have been read.

    Raises:
        ClientDisconnect: nobody is there to take the result.
        DeadlineExceeded: the milliseconds of the header X-Request-Timeout-Ms are over.
        InvalidRequest: that header is no number of milliseconds.
    """
    seconds = _read_timeout(request, work)
    if seconds is None:
        return await _while_connected(request, work)
    try:
        async with asyncio.timeout(seconds):
            return await _while_connected(request, work)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"There was no answer within the {seconds * 1000:g} ms of {TIMEOUT_HEADER}. Give it more time, ask for "
            "less, or ask again when the server has less to do."
        ) from error


def _read_timeout(request: Request, work: Coroutine[Any, Any, Any]) -> float | None:
    given = request.headers.get(TIMEOUT_HEADER)
    if given is None:
        return None
    if given.isascii() and given.isdigit() and 0 < int(given[:20]) <= LONGEST_TIMEOUT_MS:
        return int(given) / 1000
    work.close()
    raise InvalidRequest.at(
        "",
        "bad_header",
        f"{TIMEOUT_HEADER}: expected milliseconds, a whole number from 1 to {LONGEST_TIMEOUT_MS}, got "
        f"{describe(given)}.",
    )


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None  # coroutines run in tasks
    watching: asyncio.Task[None] | None = None
    has_left = False

    async def leave() -> None:
        nonlocal has_left
        # With the body read, the next message can only be that the client has gone.
        await request.receive()
        has_left = True
        task.cancel()

    def watch() -> None:
        nonlocal watching
        watching = asyncio.ensure_future(leave())

    # Most answers are there before anybody can lose patience, and a task for each would cost more than they do.
    timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, watch)
    try:
        return await work
    except asyncio.CancelledError:
        if has_left:
            task.uncancel()
            raise ClientDisconnect from None
        raise
    finally:
        timer.cancel()
        if watching is not None:
            watching.cancel()
