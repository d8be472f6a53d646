"""The server that a command calls: from the options or the settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.errors import ServiceError
from service.settings import Settings

if TYPE_CHECKING:
    from outfielder_client import Client


class RequestRefused(ServiceError):
    """The server answered with an error, or not at all."""

    code = "request_refused"


def read_settings(
    host: str | None = None, port: int | None = None, workers: int | None = None, jobs: int | None = None
) -> Settings:
    """The settings of the environment, with what the command line overrides."""
    given = {"host": host, "port": port, "workers": workers, "jobs": jobs}
    return Settings.model_validate(Settings().model_dump() | {k: v for k, v in given.items() if v is not None})


def url_of(settings: Settings) -> str:
    """Where a server of these settings is reached from this machine."""
    everywhere = settings.host in ("0.0.0.0", "::", "")
    host = "127.0.0.1" if everywhere else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


@contextmanager
def connect(url: str | None, api_key: str | None) -> "Iterator[Client]":
    """A client of the server. What it raises is one message.

    Raises:
        RequestRefused.
    """
    from outfielder_client import Client, ConnectionFailed, OutfielderError, Retry

    address = url if url is not None else url_of(read_settings())
    try:
        # Whoever types a command wants to know at once that no server is there.
        with Client(address, api_key, retry=Retry(unreachable=False)) as client:
            yield client
    except ConnectionFailed as error:
        hint = "Start one with 'outfielder up', or name one with --url."
        raise RequestRefused(f"{error.message} {hint}") from error
    except OutfielderError as error:
        raise RequestRefused(error.message) from error
