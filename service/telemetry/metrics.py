"""What Prometheus reads at /metrics. Labels are bounded: route templates, never paths; known methods; stored models.

Several API processes leave their numbers in a folder (the client library's multi-process mode, switched on by
PROMETHEUS_MULTIPROC_DIR before it is imported), and whichever is asked answers for all.
"""

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# From a forecast of one series, under a millisecond, to a bulk request of many thousands.
LATENCY_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics of this process, or of all that share a folder."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if self._folder is None:
            ProcessCollector(registry=registry)
        else:
            _forget_dead(Path(self._folder))
        self._requests = Counter(
            "outfielder_requests", "HTTP requests.", ["method", "route", "status"], registry=registry
        )
        self._latency = Histogram(
            "outfielder_request_seconds",
            "Seconds from a request's headers to the end of its answer.",
            ["route"],
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=registry,
        )
        self._forecasts = Counter(
            "outfielder_forecasts", "Series that were forecast.", ["model", "mode"], registry=registry
        )
        self._waiting = Gauge(
            "outfielder_forecasts_waiting",
            "Forecast requests that wait.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._loaded = Gauge(
            "outfielder_loaded_versions", "Model versions in memory.", registry=registry, multiprocess_mode="livesum"
        )
        self._damaged = Gauge(
            "outfielder_damaged_entries",
            "Entries of the model store that are damaged; GET /models names them.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._jobs = Gauge(
            "outfielder_jobs",
            "Training jobs in the job database.",
            ["status"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._database_up = Gauge(
            "outfielder_job_database_up",
            "Whether the job database answers: 1, or 0 while nothing can be submitted.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._job_workers = Gauge(
            "outfielder_job_workers",
            "Workers that hold a lease, each with room for a job.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._uploads = Gauge(
            "outfielder_uploads_bytes",
            "Bytes on disk of uploads and kept series, those in progress included.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._uploads_limit = Gauge(
            "outfielder_uploads_limit_bytes",
            "The most that outfielder_uploads_bytes may be.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._damaged_uploads = Gauge(
            "outfielder_damaged_uploads",
            "Uploads and kept series that could not be read for their damage; GET /readyz names them.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._store_age = Gauge(
            "outfielder_store_age_seconds",
            "Seconds since the model store was last read whole, where it is an object store; 0 for a folder.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._store_failures = Gauge(
            "outfielder_store_failures",
            "Looks at the model store that failed since this machine has a copy, where it is an object store.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._scheduled_runs = Counter(
            "outfielder_scheduled_runs",
            "Times that schedules were due, by whether jobs were submitted.",
            ["outcome"],
            registry=registry,
        )
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        # Finding a metric by its labels costs more than counting; there are as many as labels have values: few.
        self._of_request = cache(
            lambda method, route, status: (
                self._requests.labels(method, route, str(status)),
                self._latency.labels(route),
            )
        )
        self._of_forecast = cache(self._forecasts.labels)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts an answered request. `route` is the template of a route, or a fixed word where none matched."""
        known = method if method in METHODS else "other"
        count, latency = self._of_request(known, route, status)
        count.inc()
        latency.observe(seconds)

    def count_forecasts(self, model: str, mode: str, n_series: int) -> None:
        """Counts forecasts of a stored model."""
        self._of_forecast(model, mode).inc(n_series)

    def count_scheduled_run(self, outcome: Literal["submitted", "failed"]) -> None:
        """Counts a time that a schedule was due."""
        self._scheduled_runs.labels(outcome).inc()

    def watch(self, *, waiting: Callable[[], int], loaded: Callable[[], int], damaged: Callable[[], int]) -> None:
        """Where `refresh` reads these numbers."""
        self._watched += [(self._waiting, waiting), (self._loaded, loaded), (self._damaged, damaged)]

    def watch_store(
        self, *, age_seconds: Callable[[], float], failures: Callable[[], int], damaged_uploads: Callable[[], int]
    ) -> None:
        """Where `refresh` reads these numbers."""
        self._watched += [(self._store_age, age_seconds), (self._store_failures, failures)]
        self._watched += [(self._damaged_uploads, damaged_uploads)]

    def refresh(self) -> None:
        """Takes down what this process would say if it were asked now; another may be asked."""
        for gauge, read in self._watched:
            gauge.set(read())

    def set_jobs(self, counts: Mapping[str, int]) -> None:
        """Sets the number of jobs by status; of those not given, none is told."""
        if self._folder is None:
            self._jobs.clear()
        for status, count in counts.items():
            self._jobs.labels(status).set(count)

    def set_job_database(self, *, is_up: bool, workers: int = 0) -> None:
        """Sets whether the job database answers, and how many workers live."""
        self._database_up.set(is_up)
        self._job_workers.set(workers)

    def set_uploads(self, n_bytes: int, limit_bytes: int) -> None:
        """Sets how much room uploads take, and may take."""
        self._uploads.set(n_bytes)
        self._uploads_limit.set(limit_bytes)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        self.refresh()
        if self._folder is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, path=self._folder)
        return generate_latest(together)


def _forget_dead(folder: Path) -> None:
    """Takes the gauges of processes that have died out of the sums."""
    for file in folder.glob("gauge_live*_*.db"):
        number = int(file.stem.rpartition("_")[2])
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            mark_process_dead(number, path=str(folder))
