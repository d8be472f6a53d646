"""Training on any series, and forecasts of what it published through the serving path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.datasets.store import DatasetStore
from service.domain.intermittency import is_intermittent
from service.domain.panel import Panel
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import PanelData
from service.domain.recipes.training_plan import TrainingPlan
from service.domain.series import trim
from service.serving.postprocess import SeriesForecast
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from service.training.data.panel_split import read_panel
from service.training.fits import Fits
from service.training.panel_training import train_on_panel
from service.training.progress import ProgressReporter
from service.training.trainer import Trainer
from service.training.training_result import TrainingResult
from tests.serving.test_forecasting import Runner
from tests.training.recorder import Recorder

Series = Sequence[float | None] | np.ndarray

# Of a network, enough to go through all of a job.
SHORT: dict[str, Any] = {"epochs": 2, "max_windows": 400, "batch_size": 50}


class Bench:
    """A store, the data sets beside it, and a trainer."""

    def __init__(self, folder: Path) -> None:
        self.datasets = DatasetStore(folder / "datasets")
        self.trainer = Trainer(folder / "store", self.datasets.load)
        self.jobs = 0

    def plan(self, series: Sequence[Series], freq: str = "D", **request: Any) -> tuple[TrainingPlan, Panel]:
        values = tuple(np.array([np.nan if value is None else value for value in one], float) for one in series)
        panel = Panel(tuple(map(str, range(len(values)))), values, (None,) * len(values), freq)
        data = PanelData(
            "series",
            self.datasets.keep(panel),
            panel.digest(),
            len(values),
            panel.n_points,
            freq,
            is_intermittent=is_intermittent(values),
        )
        self.jobs += 1
        lengths = np.array([len(trim(one)) for one in values], dtype=np.int64)
        return make_training_plan({"name": f"model-{self.jobs}", **request}, data, lengths), panel

    def train(self, series: Sequence[Series], freq: str = "D", **request: Any) -> Manifest:
        """A published version."""
        made, _ = self.plan(series, freq, **request)
        result = self.trainer.train(made, Recorder(f"job-{self.jobs}"))
        return self.catalog().resolve(made.name, result["version"])

    def fit(self, series: Sequence[Series], freq: str = "D", **request: Any) -> TrainingResult:
        """What would be published, in a fraction of the time."""
        made, panel = self.plan(series, freq, **request)
        run = Recorder(f"job-{self.jobs}")
        return train_on_panel(
            made, read_panel(panel), self.catalog(), Fits(run.raise_if_stopped), ProgressReporter(made, run)
        )

    def forecast(self, manifest: Manifest, series: Sequence[Any], **fields: Any) -> list[SeriesForecast]:
        runner = Runner(self.trainer.store.root)
        try:
            return list(runner.forecast(series, model=manifest.name, version=manifest.version, **fields).series)
        finally:
            runner.close()

    def catalog(self) -> Catalog:
        catalog = Catalog(self.trainer.store.root)
        catalog.refresh()
        return catalog


def regular(n: int, seed: int = 0) -> list[float]:
    """Daily values with the week's season and noise."""
    noise = np.random.default_rng(seed).random(n)
    return [20 + 3.0 * (i % 7) + float(noise[i]) for i in range(n)]


def sparse(n_series: int, n: int = 160, share: float = 1 / 8) -> list[list[float]]:
    """Spare parts: zeros, and one to four of them asked for now and then."""
    rng = np.random.default_rng(3)
    return [
        [float(value) for value in np.where(rng.random(n) < share, rng.integers(1, 5, n), 0)] for _ in range(n_series)
    ]


def values_of(forecast: SeriesForecast) -> np.ndarray:
    assert forecast.values is not None, forecast.flaw
    return np.asarray(forecast.values, np.float64)


def bounds_of(forecast: SeriesForecast, level: str) -> tuple[np.ndarray, np.ndarray]:
    assert forecast.intervals is not None, forecast.flaw
    return forecast.intervals[level]
