"""A training job from recipe to published version."""

import importlib.metadata
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.domain.recipe import Recipe
from service.domain.scaling import measure
from service.errors import TrainingFailed
from service.jobs.job import Progress
from service.store.manifest import Manifest
from service.store.publish import find_by_job, publish, staging
from service.training.evaluate import evaluate
from service.training.exporter import Exporter
from service.training.fit import Epoch, fit, predict
from service.training.material import Material, prepare
from service.zoo.network import Network

Array = NDArray[np.float32]

# Series for the proof of an export, of each length.
PROOF_SERIES = 8


class Run(Protocol):
    """What a job is told of its run, and tells."""

    job_id: str
    attempt: int

    def report(self, progress: Progress) -> None: ...

    def raise_if_stopped(self) -> None: ...


class Trainer:
    """Trains, proves and publishes models, one at a time."""

    def __init__(self, store_root: Path) -> None:
        self.store_root = store_root
        self._exporter = Exporter()

    def train(self, recipe: Recipe, run: Run) -> dict[str, Any]:
        """Runs a job to its published version.

        A job that is run again after a crash trains again, unless its version is already there.

        Returns:
            The job's result: `{"model", "version", "metrics", "gate"}`.

        Raises:
            TrainingFailed: the model could not be exported, or gave no finite numbers.
        """
        published = find_by_job(self.store_root, recipe.name, run.job_id)
        if published is not None:
            return _result(published)
        self._exporter.start()
        started = time.monotonic()
        run.report(Progress(0, recipe.epochs, None, None, None))
        material = prepare(recipe)
        network, epochs = fit(
            recipe,
            (material.train.scaled_inputs, material.train.targets),
            (material.validation.scaled_inputs, material.validation.targets),
            on_batch=run.raise_if_stopped,
            on_epoch=_reporter(recipe, run),
        )
        if not all(np.all(np.isfinite(weights)) for weights in network.get_weights()):
            raise TrainingFailed("The training diverged: its weights are not finite. Try a lower learning_rate.")
        metrics = evaluate(network, material)
        seconds = time.monotonic() - started
        run.raise_if_stopped()
        manifest = _manifest(recipe, network, material, metrics, len(epochs), seconds, run.job_id)
        folder = staging(self.store_root, run.job_id)
        try:
            self._exporter.export(recipe, network.get_weights(), _proofs(recipe, network, material), folder)
            run.raise_if_stopped()
            return _result(publish(self.store_root, folder, manifest))
        finally:
            # Published, it has another name by now; else nobody will ask for it.
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        self._exporter.close()


def _reporter(recipe: Recipe, run: Run) -> Callable[[Epoch], None]:
    """Reports each epoch, with the time left by the mean of those after the first, which compiles."""
    seconds: list[float] = []

    def report(epoch: Epoch) -> None:
        seconds.append(epoch.seconds)
        steady = seconds[1:] or seconds
        left = (recipe.epochs - epoch.number) * sum(steady) / len(steady)
        run.report(Progress(epoch.number, recipe.epochs, epoch.loss, epoch.val_loss, round(left, 1)))

    return report


def _proofs(recipe: Recipe, network: Network, material: Material) -> list[tuple[Array, Array]]:
    """Test series of the window's length and of a shorter odd one, with the trained network's forecasts for them."""
    inputs = material.test.inputs[:PROOF_SERIES]
    lengths = {recipe.window, max(recipe.min_length, recipe.window // 2 + 1)}
    return [(part := inputs[:, -length:], _forecast(recipe, network, part)) for length in sorted(lengths)]


def _forecast(recipe: Recipe, network: Network, inputs: Array) -> Array:
    statistics = measure(inputs, recipe.scaling)
    return statistics.inverse(predict(network, statistics.transform(inputs)))


def _manifest(
    recipe: Recipe,
    network: Network,
    material: Material,
    metrics: dict[str, Any],
    epochs_run: int,
    seconds: float,
    job_id: str,
) -> Manifest:
    data = recipe.to_dict()["data"]
    return Manifest(
        name=recipe.name,
        version=0,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        architecture=recipe.architecture,
        head=recipe.head,
        hyper_parameters=recipe.to_dict(),
        modes=list(recipe.modes),
        window=recipe.window,
        horizon=recipe.horizon,
        min_length=recipe.min_length,
        scaling=recipe.scaling,
        reads_whole_series=recipe.reads_whole_series,
        data={
            **data,
            "digest": material.digest,
            "n_windows": material.n_windows,
            "freq": None,
            "season": None,
        },
        seed=recipe.seed,
        metrics=metrics,
        gate=None,
        epochs_run=epochs_run,
        seconds=round(seconds, 3),
        device="gpu" if tf.config.list_physical_devices("GPU") else "cpu",
        library_versions={name: importlib.metadata.version(name) for name in ("outfielder", "keras", "numpy")}
        | {"tensorflow": tf.__version__},
        job_id=job_id,
        parameters=network.count_params(),
    )


def _result(manifest: Manifest) -> dict[str, Any]:
    return {
        "model": manifest.name,
        "version": manifest.version,
        "metrics": manifest.metrics,
        "gate": manifest.gate,
    }
