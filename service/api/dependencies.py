"""The collaborators that routes depend on."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from service.api.cancellation import WaitingClients
from service.api.lifecycle import Lifecycle
from service.api.memory_budget import MemoryBudget
from service.api.request_body import BodyReader
from service.datasets.sources import Sources
from service.datasets.store import DatasetStore
from service.datasets.task_results import TaskResults
from service.datasets.upload import Uploader
from service.jobs.queue import JobQueue
from service.jobs.schedules import Schedules
from service.serving.activations import Activations
from service.serving.anomalies import Anomalies
from service.serving.backtesting import Backtesting
from service.serving.batcher import Batcher
from service.serving.forecasting import Forecasting
from service.serving.registry import Registry
from service.settings import Settings
from service.store.catalog import Catalog
from service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of one application."""

    settings: Settings
    catalog: Catalog
    registry: Registry
    batcher: Batcher
    forecasting: Forecasting
    backtesting: Backtesting
    activations: Activations
    anomalies: Anomalies
    jobs: JobQueue
    schedules: Schedules
    datasets: DatasetStore
    uploader: Uploader
    sources: Sources
    metrics: Metrics
    lifecycle: Lifecycle
    clients: WaitingClients
    budget: MemoryBudget
    bodies: BodyReader
    task_results: TaskResults

    def locate(self, path: str) -> str:
        """A path of the API as clients reach it, below a proxy's path."""
        return self.settings.root_path + path


async def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Injected = Annotated[Services, Depends(get_services)]
