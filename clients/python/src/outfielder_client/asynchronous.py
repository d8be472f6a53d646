"""The client for asyncio."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from outfielder_client.api import Api
from outfielder_client.blocking import expect_one
from outfielder_client.connection import DEFAULT_URL, make_connection
from outfielder_client.effects import Items, Program
from outfielder_client.events import Event
from outfielder_client.parts import Partition
from outfielder_client.plotting import plot
from outfielder_client.progress import Progress
from outfielder_client.retries import Retry
from outfielder_client.transport import AsyncTransport

P = ParamSpec("P")
T = TypeVar("T")


def awaiting(
    call: Callable[Concatenate[Api, P], Program[T]],
) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]:
    """A call of the API as a coroutine."""

    @wraps(call)
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._transport.run(call(self._api, *args, **kwargs))

    return method


def iterating(
    call: Callable[Concatenate[Api, P], Items[T]],
) -> Callable[Concatenate["AsyncClient", P], AsyncIterator[T]]:
    """A call of the API as a method that gives an asynchronous iterator."""

    @wraps(call)
    def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._transport.iterate(call(self._api, *args, **kwargs))

    return method


def submitting(
    call: Callable[Concatenate[Api, P], Program[list[dict[str, Any]]]],
) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, "list[AsyncJob]"]]:
    """A call of the API that submits jobs as a coroutine that gives their handles."""

    @wraps(call)
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> "list[AsyncJob]":
        return [AsyncJob(self, record) for record in await self._transport.run(call(self._api, *args, **kwargs))]

    return method


def submitting_one(
    call: Callable[Concatenate[Api, P], Program[list[dict[str, Any]]]],
) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, "AsyncJob"]]:
    """As `submitting`, where there is one job."""

    @wraps(call)
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> "AsyncJob":
        expect_one(kwargs.get("architecture", args[0] if args else None))
        return AsyncJob(self, (await self._transport.run(call(self._api, *args, **kwargs)))[0])

    return method


class AsyncClient:
    """`Client` for asyncio: the same methods, to be awaited or iterated with `async for`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retry: Retry | None = None,
        partition: Partition | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Args: as of `Client`."""
        connection = make_connection(url, api_key, timeout, retry, partition, headers)
        self._api = Api(connection)
        self._transport = AsyncTransport(connection)

    @property
    def url(self) -> str:
        return self._api.connection.url

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    forecast = awaiting(Api.forecast)
    forecast_dataset = awaiting(Api.forecast_dataset)
    anomalies = awaiting(Api.anomalies)
    backtest = awaiting(Api.backtest)
    submit_backtest = awaiting(Api.submit_backtest)
    train = submitting_one(Api.train)
    train_all = submitting(Api.train)
    submit = submitting(Api.submit)
    job = awaiting(Api.job)
    jobs = iterating(Api.jobs)
    retry = submitting_one(Api.retry)
    log = awaiting(Api.log)
    history = iterating(Api.history)
    cancel = awaiting(Api.cancel)
    watch = iterating(Api.watch)
    wait = awaiting(Api.wait)
    upload = awaiting(Api.upload)
    replace_dataset = awaiting(Api.replace_dataset)
    datasets = iterating(Api.datasets)
    dataset = awaiting(Api.dataset)
    dataset_series = iterating(Api.dataset_series)
    delete_dataset = awaiting(Api.delete_dataset)
    schedule = awaiting(Api.schedule)
    schedules = iterating(Api.schedules)
    get_schedule = awaiting(Api.get_schedule)
    change_schedule = awaiting(Api.change_schedule)
    run_schedule = awaiting(Api.run_schedule)
    delete_schedule = awaiting(Api.delete_schedule)
    models = iterating(Api.models)
    model = awaiting(Api.model)
    version = awaiting(Api.version)
    delete_version = awaiting(Api.delete_version)
    set_alias = awaiting(Api.set_alias)
    set_default = awaiting(Api.set_default)
    leaderboard = awaiting(Api.leaderboard)
    request = awaiting(Api.request)
    health = awaiting(Api.health)
    is_ready = awaiting(Api.is_ready)
    plot = staticmethod(plot)


class AsyncJob:
    """`Job` for asyncio."""

    def __init__(self, client: AsyncClient, record: dict[str, Any]) -> None:
        self._client = client
        self.record = record

    @property
    def id(self) -> str:
        job_id: str = self.record["id"]
        return job_id

    @property
    def status(self) -> str:
        status: str = self.record["status"]
        return status

    @property
    def result(self) -> dict[str, Any] | None:
        result: dict[str, Any] | None = self.record["result"]
        return result

    async def refresh(self) -> "AsyncJob":
        self.record = await self._client.job(self.id)
        return self

    async def wait(self, *, progress: Progress = None) -> "AsyncJob":
        self.record = await self._client.wait(self.id, progress=progress)
        return self

    async def cancel(self) -> "AsyncJob":
        self.record = await self._client.cancel(self.id)
        return self

    async def retry(self) -> "AsyncJob":
        return await self._client.retry(self.id)

    async def log(self) -> str:
        return await self._client.log(self.id)

    async def history(self) -> list[dict[str, Any]]:
        return [epoch async for epoch in self._client.history(self.id)]

    def events(self) -> AsyncIterator[Event]:
        return self._client.watch(self.id)

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r}, model={self.record['model']!r}, status={self.status!r})"
