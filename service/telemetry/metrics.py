"""What Prometheus reads at /metrics. Labels are bounded: route templates, never paths; known methods; stored models."""

from collections.abc import Callable, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# From a forecast of one series, under a millisecond, to a bulk request of many thousands.
LATENCY_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One process's metrics, on a registry of their own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
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
        self._waiting = Gauge("outfielder_forecasts_waiting", "Forecast requests that wait.", registry=registry)
        self._loaded = Gauge("outfielder_loaded_versions", "Model versions in memory.", registry=registry)
        self._jobs = Gauge("outfielder_jobs", "Training jobs in the job database.", ["status"], registry=registry)
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

    def watch(self, *, waiting: Callable[[], int], loaded: Callable[[], int]) -> None:
        """Reads these numbers whenever the metrics are read."""
        self._waiting.set_function(waiting)
        self._loaded.set_function(loaded)

    def set_jobs(self, counts: Mapping[str, int]) -> None:
        """Sets the number of jobs by status."""
        for status, count in counts.items():
            self._jobs.labels(status).set(count)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
