"""The Python client of Outfielder, a forecasting REST microservice."""

from outfielder_client.asynchronous import AsyncClient, AsyncJob
from outfielder_client.blocking import Client, Job
from outfielder_client.errors import (
    AccessDenied,
    Conflict,
    ConnectionFailed,
    DataFinding,
    Flaw,
    FrequencyUnknown,
    InvalidRequest,
    JobFailed,
    NotFound,
    OutfielderError,
    Overloaded,
    RequestRefused,
    SeriesLeftOut,
    TimedOut,
    Unavailable,
    UnusableInput,
)
from outfielder_client.events import Event
from outfielder_client.parts import Partition
from outfielder_client.plotting import plot
from outfielder_client.retries import Retry

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DataFinding",
    "Event",
    "Flaw",
    "FrequencyUnknown",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "NotFound",
    "OutfielderError",
    "Overloaded",
    "Partition",
    "RequestRefused",
    "Retry",
    "SeriesLeftOut",
    "TimedOut",
    "Unavailable",
    "UnusableInput",
    "plot",
]
