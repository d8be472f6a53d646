"""The server that a command calls: from the options or the settings."""

from typing import TYPE_CHECKING

from service.settings import Settings

if TYPE_CHECKING:
    from service.cli.client import Client


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


def connect(url: str | None, api_key: str | None) -> "Client":
    from service.cli.client import Client

    return Client(url if url is not None else url_of(read_settings()), api_key)
