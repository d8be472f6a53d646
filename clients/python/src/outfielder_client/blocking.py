"""The blocking client."""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from outfielder_client.api import Api
from outfielder_client.connection import DEFAULT_URL, Connection, make_connection
from outfielder_client.effects import Items, Program
from outfielder_client.errors import UnusableInput
from outfielder_client.events import Event
from outfielder_client.parts import Partition
from outfielder_client.plotting import plot
from outfielder_client.progress import Progress
from outfielder_client.retries import Retry
from outfielder_client.transport import Transport

P = ParamSpec("P")
T = TypeVar("T")


def expect_one(architecture: Any) -> None:
    """Raises UnusableInput for what would be many jobs."""
    if architecture == "chapter":
        raise UnusableInput("'chapter' is a job for each of the chapter's models: use train_all, which gives them all.")


def blocking(call: Callable[Concatenate[Api, P], Program[T]]) -> Callable[Concatenate["Client", P], T]:
    """A call of the API as a method that blocks."""

    @wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._transport.run(call(self._api, *args, **kwargs))

    return method


def iterating(call: Callable[Concatenate[Api, P], Items[T]]) -> Callable[Concatenate["Client", P], Iterator[T]]:
    """A call of the API as a method that gives an iterator."""

    @wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._transport.iterate(call(self._api, *args, **kwargs))

    return method


def submitting(
    call: Callable[Concatenate[Api, P], Program[list[dict[str, Any]]]],
) -> Callable[Concatenate["Client", P], "list[Job]"]:
    """A call of the API that submits jobs as a method that gives their handles."""

    @wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> "list[Job]":
        return [Job(self, record) for record in self._transport.run(call(self._api, *args, **kwargs))]

    return method


def submitting_one(
    call: Callable[Concatenate[Api, P], Program[list[dict[str, Any]]]],
) -> Callable[Concatenate["Client", P], "Job"]:
    """As `submitting`, where there is one job."""

    @wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> "Job":
        expect_one(kwargs.get("architecture", args[0] if args else None))
        return Job(self, self._transport.run(call(self._api, *args, **kwargs))[0])

    return method


class Client:
    """Calls a server; safe for several threads. Close it when done, or use it in a `with` statement."""

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
        """Connects when it is first used.

        Args:
            url: where the server is.
            api_key: by default that of the environment variable OUTFIELDER_API_KEY.
            timeout: seconds that one attempt may wait for the server.
            retry: when a request is sent again.
            partition: when a request is cut into several.
            headers: sent with every request.
        """
        self._open(make_connection(url, api_key, timeout, retry, partition, headers))

    @classmethod
    def of(cls, connection: Connection) -> "Client":
        """A client of a connection that another client made."""
        client = cls.__new__(cls)
        client._open(connection)
        return client

    def _open(self, connection: Connection) -> None:
        self._api = Api(connection)
        self._transport = Transport(connection)

    @property
    def url(self) -> str:
        return self._api.connection.url

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    forecast = blocking(Api.forecast)
    forecast_dataset = blocking(Api.forecast_dataset)
    anomalies = blocking(Api.anomalies)
    backtest = blocking(Api.backtest)
    submit_backtest = blocking(Api.submit_backtest)
    train = submitting_one(Api.train)
    train_all = submitting(Api.train)
    submit = submitting(Api.submit)
    job = blocking(Api.job)
    jobs = iterating(Api.jobs)
    retry = submitting_one(Api.retry)
    log = blocking(Api.log)
    history = iterating(Api.history)
    cancel = blocking(Api.cancel)
    watch = iterating(Api.watch)
    wait = blocking(Api.wait)
    upload = blocking(Api.upload)
    replace_dataset = blocking(Api.replace_dataset)
    datasets = iterating(Api.datasets)
    dataset = blocking(Api.dataset)
    dataset_series = iterating(Api.dataset_series)
    delete_dataset = blocking(Api.delete_dataset)
    schedule = blocking(Api.schedule)
    schedules = iterating(Api.schedules)
    get_schedule = blocking(Api.get_schedule)
    change_schedule = blocking(Api.change_schedule)
    run_schedule = blocking(Api.run_schedule)
    delete_schedule = blocking(Api.delete_schedule)
    models = iterating(Api.models)
    model = blocking(Api.model)
    version = blocking(Api.version)
    delete_version = blocking(Api.delete_version)
    set_alias = blocking(Api.set_alias)
    set_default = blocking(Api.set_default)
    leaderboard = blocking(Api.leaderboard)
    request = blocking(Api.request)
    health = blocking(Api.health)
    is_ready = blocking(Api.is_ready)
    plot = staticmethod(plot)


class Job:
    """A submitted job. `record` is what the server last said of it."""

    def __init__(self, client: Client, record: dict[str, Any]) -> None:
        self._client = client
        self.record = record

    @property
    def id(self) -> str:
        job_id: str = self.record["id"]
        return job_id

    @property
    def status(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`, when it was last asked for."""
        status: str = self.record["status"]
        return status

    @property
    def result(self) -> dict[str, Any] | None:
        """Of a job that has succeeded: model, version, metrics and gate."""
        result: dict[str, Any] | None = self.record["result"]
        return result

    def refresh(self) -> "Job":
        """Asks the server for the present record."""
        self.record = self._client.job(self.id)
        return self

    def wait(self, *, progress: Progress = None) -> "Job":
        """Waits for the end, with a progress bar; `progress` is as of `Client.wait`. Raises JobFailed."""
        self.record = self._client.wait(self.id, progress=progress)
        return self

    def cancel(self) -> "Job":
        """Cancels it. Raises Conflict if it has ended before."""
        self.record = self._client.cancel(self.id)
        return self

    def retry(self) -> "Job":
        """Submits its request once more, and gives the new job. Raises Conflict if it has not ended."""
        return self._client.retry(self.id)

    def log(self) -> str:
        """What workers logged about it, a line for each event."""
        return self._client.log(self.id)

    def history(self) -> list[dict[str, Any]]:
        """Its epochs with their losses, in the order in which they were fitted."""
        return list(self._client.history(self.id))

    def events(self) -> Iterator[Event]:
        """Its events as they come, as of `Client.watch`."""
        return self._client.watch(self.id)

    def __repr__(self) -> str:
        return f"Job({self.id!r}, model={self.record['model']!r}, status={self.status!r})"
