"""The engine that runs a SavedModel's signatures in TensorFlow, which is imported when the first version is loaded."""

import contextlib
import math
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from service.domain.seasons import Seasons
from service.engines.engine import Array, Engine, EngineChoice, Kind, Lengths
from service.engines.normalized import NormalizedEngine
from service.engines.zero_shot import ONE_SEASON, TWO_SEASONS, Combined, ZeroShotEngine
from service.errors import VersionDamaged
from service.hidden_libraries import hidden
from service.store.manifest import Manifest

Place = Callable[[], AbstractContextManager[Any]]


NAME = "savedmodel"
SAVED_MODEL = "saved_model.pb"


class SavedModelLoader:
    """Loads versions whose signatures a `SavedModelRuntime` runs."""

    def __init__(self, *, beside_training: bool = False) -> None:
        """Args: `beside_training`: the process also trains; leave it the GPUs, and forecast on the CPU."""
        self._beside_training = beside_training
        self._tensorflow: Any = None
        self._importing = threading.Lock()

    def choose(self, manifest: Manifest) -> EngineChoice:
        """This engine, which runs every version."""
        del manifest
        return EngineChoice(NAME, "The setting says so.")

    def __call__(self, folder: Path, manifest: Manifest) -> Engine:
        """Loads a version's folder and tries each signature that will be used.

        Raises:
            VersionDamaged: the folder can't be loaded, or an answer isn't a forecast.
        """
        with self._importing:
            if self._tensorflow is None:
                self._tensorflow = _import_tensorflow(hide_gpus=not self._beside_training)
        place = (lambda: self._tensorflow.device("/CPU:0")) if self._beside_training else contextlib.nullcontext
        try:
            if SAVED_MODEL not in manifest.files:
                raise ValueError(f"{SAVED_MODEL} is not among the files that were published")
            if manifest.is_zero_shot:
                zero_shot = ZeroShotEngine(SavedModelZeroShot(self._tensorflow, folder, place), manifest)
                zero_shot.warm()
                return zero_shot
            engine = SavedModelRuntime(self._tensorflow, folder, place)
            engine.warm(manifest)
            return NormalizedEngine.of(engine, manifest)
        except Exception as error:  # TensorFlow raises many unrelated classes for a folder that it can't read or run
            raise VersionDamaged(
                f"Version {manifest.version} of {manifest.name!r} can't be loaded. Train it again, or restore it."
            ) from error


class _LoadedModel:
    """A SavedModel in memory."""

    def __init__(self, tensorflow: Any, folder: Path, place: Place = contextlib.nullcontext) -> None:
        """Args: `place` gives the context in which it is loaded and runs."""
        self._tf = tensorflow
        self._place = place
        # The loaded object owns the variables: its signatures alone would find them deleted.
        with place():
            self._loaded = tensorflow.saved_model.load(str(folder))
        self._signatures = dict(self._loaded.signatures)

    def _integer(self, value: int) -> Any:
        return self._tf.constant(value, self._tf.int32)

    def _call(self, signature: str, series: Array, lengths: Lengths, **inputs: Any) -> dict[str, Any]:
        constant = self._tf.constant
        with self._place():
            answer: dict[str, Any] = self._signatures[signature](
                series=constant(series[:, :, None]), lengths=constant(lengths), **inputs
            )
        return answer


class SavedModelRuntime(_LoadedModel):
    """One loaded SavedModel of a trained version."""

    def estimate(self, kind: Kind, rows: int, length: int, horizon: int) -> float:
        """Infinity: a call takes milliseconds, and first ones of a shape may take seconds."""
        del kind, rows, length, horizon
        return math.inf

    def forecast(self, series: Array, lengths: Lengths) -> Array:
        return _array(self._call("forecast_ragged", series, lengths)["forecast"])

    def rollout(self, series: Array, lengths: Lengths, horizon: int) -> Array:
        return _array(self._call("rollout", series, lengths, horizon=self._integer(horizon))["forecast"])

    def all_steps(self, series: Array, lengths: Lengths) -> tuple[Array, Lengths]:
        answer = self._call("all_steps", series, lengths)
        return _array(answer["forecast"]), np.asarray(answer["steps"].numpy(), dtype=np.int32)

    def warm(self, manifest: Manifest) -> None:
        """Runs each signature once, so that the first client does not wait for it.

        Raises:
            ValueError: an answer's shape is not the manifest's.
        """
        length = manifest.min_length + 1
        series = np.linspace(0.0, 0.5, length, dtype=np.float32)[None, :]
        lengths = np.array([length], dtype=np.int32)
        answers: dict[str, tuple[Array, tuple[int, ...]]] = {
            "forecast_ragged": (self.forecast(series, lengths), (1, manifest.horizon)),
            "rollout": (self.rollout(series, lengths, manifest.horizon + 1), (1, manifest.horizon + 1)),
        }
        if "sequence" in manifest.modes:
            forecast, steps = self.all_steps(series, lengths)
            answers["all_steps"] = (forecast, (1, int(steps[0]), manifest.horizon))
        for name, (answer, shape) in answers.items():
            if answer.shape != shape:
                raise ValueError(f"{name} answered with the shape {answer.shape}, expected {shape}")


class SavedModelZeroShot(_LoadedModel):
    """One loaded SavedModel of a zero-shot version."""

    def combine(self, series: Array, lengths: Lengths, seasons: Seasons, horizon: int) -> Combined:
        numbers = {"season": seasons.short, "horizon": horizon}
        if seasons.long:
            numbers["long_season"] = seasons.long
        inputs = {name: self._integer(value) for name, value in numbers.items()}
        answer = self._call(TWO_SEASONS if seasons.long else ONE_SEASON, series, lengths, **inputs)
        return Combined(*(_array(answer[name]) for name in Combined._fields))


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.numpy(), dtype=np.float32)


def _import_tensorflow(*, hide_gpus: bool) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # As in training: the same order of sums on every processor.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # Beside training, Keras and JAX are there before.
    with hidden("pandas", "matplotlib", "jax"):
        import tensorflow

    if hide_gpus:
        # A process that serves must not take the memory of a GPU that a worker trains on. Whoever used TensorFlow in
        # this process before has chosen its devices.
        with contextlib.suppress(RuntimeError):
            tensorflow.config.set_visible_devices([], "GPU")
    return tensorflow
