"""Networks, their exports, and the plain way to forecast with them that exports must agree with."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.resolve import resolve
from service.domain.scaling import measure
from service.training.data.wave_data import prepare_waves
from service.training.export import export
from service.training.fit import fit
from service.zoo.network import Network, make_network

Array = np.ndarray[Any, np.dtype[np.float32]]


def trained(recipe: Recipe) -> Network:
    """A network after the service's own training."""
    waves = prepare_waves(recipe)
    network, _ = fit(
        recipe,
        (waves.train.scaled_inputs, waves.train.targets),
        (waves.validation.scaled_inputs, waves.validation.targets),
        on_batch=lambda: None,
        on_epoch=lambda epoch: None,
    )
    return network


def fresh(recipe: Recipe) -> Network:
    """A network with initial weights, moved a little so that no bias is zero."""
    keras.utils.set_random_seed(5)
    network = make_network(recipe)
    rng = np.random.default_rng(5)
    network.set_weights([w + 0.02 * rng.standard_normal(w.shape).astype(np.float32) for w in network.get_weights()])
    return network


class Exported:
    """A SavedModel on disk, loaded, beside the network that it was made from."""

    def __init__(self, folder: Path, **request: Any) -> None:
        small: dict[str, Any] = {}
        # A layer-normalised cell magnifies rounding until it is trained: it gets the whole of its training.
        if request["architecture"] != "ln_rnn":
            small["data"] = {"n_series": 3000}
            preset = PRESETS[request["architecture"]]
            if preset.is_fitted and not preset.is_solved:
                small["epochs"] = 2
        self.recipe = resolve({**small, **request})
        # Presets are trained as the chapter does, unscaled. What varies them keeps fresh weights, which compiles
        # nothing; but not layer normalisation.
        varied = self.recipe.scaling != "none" or self.recipe.head != self.recipe.preset.head
        self.network = (fresh if varied and request["architecture"] != "ln_rnn" else trained)(self.recipe)
        export(self.recipe, self.network.get_weights(), folder)
        self.loaded: Any = tf.saved_model.load(str(folder))
        self.signatures = self.loaded.signatures
        self._call = tf.function(
            lambda x: self.network(x, training=False), input_signature=[tf.TensorSpec([None, None, 1], tf.float32)]
        )

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
        """The plain way: the Keras network itself, fed the whole longer series again for each block; scale frozen."""
        read = series if self.recipe.reads_whole_series else series[-self.recipe.window :]
        statistics = measure(read[None], self.recipe.scaling)
        values = statistics.transform(read[None])
        given = values.shape[1]
        block = self.recipe.horizon
        horizon = block if horizon is None else horizon
        while values.shape[1] < given + horizon:
            fed = values[:, -self.recipe.window :] if self.recipe.preset.is_fixed_length else values
            answer = self._call(tf.constant(fed[:, :, None])).numpy()
            answer = answer[:, -1] if self.recipe.head == "sequence" else answer
            values = np.concatenate([values, answer], axis=1)
        answer = statistics.inverse(values[:, given : given + horizon])[0]
        return np.asarray(answer, dtype=np.float32)


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
