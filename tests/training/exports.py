"""Exports of networks, and the plain way to forecast with them that exports must agree with."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from service.domain.recipes.resolve import resolve
from service.domain.scaling import measure
from service.training.export.process import export
from tests.networks.samples import answer, calm

Array = np.ndarray[Any, np.dtype[np.float32]]


class Exported:
    """A SavedModel on disk, loaded, beside the network that it was made from."""

    def __init__(self, folder: Path, **request: Any) -> None:
        self.recipe = resolve(request)
        self.network = calm(self.recipe)
        export(self.recipe, self.network.get_weights(), folder)
        self.loaded: Any = tf.saved_model.load(str(folder))
        self.signatures = self.loaded.signatures

    def forecast(self, series: Array) -> Array:
        """By `serving_default`: [batch, time] -> [batch, horizon]."""
        answer: Array = self.signatures["serving_default"](series=tf.constant(series[:, :, None]))["forecast"].numpy()
        return answer

    def ragged(self, rows: list[Array], horizon: int | None = None, padding: float = np.nan) -> Array:
        """By `forecast_ragged`, or `rollout` where a horizon is given, of series of different lengths in one batch."""
        padded = np.full((len(rows), max(map(len, rows)), 1), padding, np.float32)
        for target, row in zip(padded, rows, strict=True):
            target[: len(row), 0] = row
        inputs: dict[str, Any] = {
            "series": tf.constant(padded),
            "lengths": tf.constant([len(row) for row in rows], tf.int32),
        }
        name = "forecast_ragged"
        if horizon is not None:
            name, inputs["horizon"] = "rollout", tf.constant(horizon)
        answer: Array = self.signatures[name](**inputs)["forecast"].numpy()
        return answer

    def expected(self, series: Array, horizon: int | None = None) -> Array:
        """The plain way: NumPy computes the network, fed the whole longer series again for each block; scale frozen."""
        read = series if self.recipe.reads_whole_series else series[-self.recipe.window :]
        statistics = measure(read[None], self.recipe.scaling)
        values = statistics.transform(read[None])
        given = values.shape[1]
        horizon = self.recipe.horizon if horizon is None else horizon
        while values.shape[1] < given + horizon:
            fed = values[:, -self.recipe.window :] if self.recipe.preset.is_fixed_length else values
            block = answer(self.network, fed)
            block = block[:, -1] if self.recipe.head == "sequence" else block
            values = np.concatenate([values, block], axis=1)
        forecast = statistics.inverse(values[:, given : given + horizon])[0]
        return np.asarray(forecast, dtype=np.float32)


def waves(n: int, time: int, seed: int = 0, *, scale: float = 0.3, level: float = 0.0) -> Array:
    """Smooth series in the range that the chapter's models know, or moved elsewhere."""
    rng = np.random.default_rng(seed)
    phase, frequency = 6.0 * rng.random((n, 1)), 0.5 * rng.random((n, 1))
    noise = 0.1 * rng.standard_normal((n, time))
    series = (np.sin(phase + (0.1 + frequency) * np.arange(time)) + noise) * scale + level
    return np.asarray(series, dtype=np.float32)


def assert_same(actual: Array, expected: Array, series: Array, share: float = 1e-5) -> None:
    """The contract's "same numbers": within a share of the forecast's magnitude or the series' standard deviation."""
    spread = series.astype(np.float64).std()
    # A series of one point has no spread, and a forecast that happens to be near zero no magnitude of its own.
    unit = np.maximum(np.abs(expected), spread if spread > 0 else np.abs(expected).max())
    assert np.all(np.isfinite(actual))
    difference = (np.abs(actual.astype(np.float64) - expected) / np.maximum(unit, 1e-30)).max()
    assert difference <= share, f"{difference:.1e} of the series' magnitude"
