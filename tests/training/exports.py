"""Exports of networks, and the plain way to forecast with them that exports must agree with."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from service.domain.recipes.recipe import Recipe
from service.domain.recipes.resolve import resolve
from service.domain.scaling import measure
from service.engines.onnx import OnnxRuntime, graph_path
from service.training.export.onnx_export import make_onnx_graphs
from service.training.export.process import export
from service.training.export.serving_graph import ServingGraph
from tests.networks.samples import FixedWeights, answer, calm

Array = np.ndarray[Any, np.dtype[np.float32]]


class Exported:
    """A SavedModel on disk, loaded, beside the network that it was made from."""

    def __init__(self, folder: Path, **request: Any) -> None:
        self.recipe = resolve(request)
        self.network = calm(self.recipe)
        self._xp = FixedWeights()
        self.folder = folder
        self.graph = export(self.recipe, self.network.get_weights(), folder)
        self.loaded: Any = tf.saved_model.load(str(folder))
        self.signatures = self.loaded.signatures

    @cached_property
    def engine(self) -> OnnxRuntime:
        """The fast engine, over graphs of the same weights."""
        return make_engine(self.graph, self.recipe, self.folder)

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
            block = answer(self.network, fed, self._xp)
            block = block[:, -1] if self.recipe.head == "sequence" else block
            values = np.concatenate([values, block], axis=1)
        forecast = statistics.inverse(values[:, given : given + horizon])[0]
        return np.asarray(forecast, dtype=np.float32)


def make_engine(graph: ServingGraph, recipe: Recipe, folder: Path) -> OnnxRuntime:
    """The engine that runs a graph's networks in ONNX Runtime; their files go into the folder."""
    for call, model in make_onnx_graphs(graph.networks, recipe).items():
        path = folder / graph_path(call)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(model)
    return OnnxRuntime(folder, None if recipe.reads_whole_series else recipe.longest_window)


def compare_engines(
    signatures: Mapping[str, Any], engine: OnnxRuntime, recipe: Recipe, rows: list[Array], padding: float = np.nan
) -> None:
    """Demands the signatures' numbers of every call of the fast engine, for the rows in one batch."""
    lengths = np.array([len(row) for row in rows], np.int32)
    values = np.full((len(rows), int(lengths.max())), padding, np.float32)
    for target, row in zip(values, rows, strict=True):
        target[: len(row)] = row
    inputs = {"series": tf.constant(values[:, :, None]), "lengths": tf.constant(lengths)}
    expected = signatures["forecast_ragged"](**inputs)["forecast"].numpy()
    served = engine.forecast(values, lengths)
    assert served.shape == (len(rows), recipe.horizon)
    for i, row in enumerate(rows):
        assert_same(served[i], expected[i], row)
    for steps in (1, recipe.horizon, recipe.horizon + 1, 3 * recipe.horizon + 2):
        expected = signatures["rollout"](**inputs, horizon=tf.constant(steps))["forecast"].numpy()
        served = engine.rollout(values, lengths, steps)
        assert served.shape == (len(rows), steps)
        for i, row in enumerate(rows):
            assert_same(served[i], expected[i], row, share=1e-4)
    if "all_steps" in signatures:
        answer = signatures["all_steps"](**inputs)
        forecast, counts = engine.all_steps(values, lengths)
        assert counts.tolist() == answer["steps"].numpy().tolist()
        for i, row in enumerate(rows):
            assert_same(forecast[i], answer["forecast"].numpy()[i], row)


def compare_engines_in_batches(signatures: Mapping[str, Any], engine: OnnxRuntime, recipe: Recipe) -> None:
    """As `compare_engines`, of series alone and together, in any order and behind any padding."""
    rows = rows_for(recipe)
    compare_engines(signatures, engine, recipe, rows)
    compare_engines(signatures, engine, recipe, rows[::-1], padding=1e30)
    compare_engines(signatures, engine, recipe, rows[:1])
    compare_engines(signatures, engine, recipe, rows[-1:])
    compare_engines(signatures, engine, recipe, rows * 2)


def rows_for(recipe: Recipe) -> list[Array]:
    """Series of the shortest length that the model takes to longer ones than it reads."""
    moved = {} if recipe.scaling == "none" and not recipe.log else {"scale": 40.0, "level": 200.0}
    lengths = [recipe.min_length, recipe.min_length + 1, recipe.min_length + 5, 31, recipe.window, recipe.window + 33]
    return [waves(1, length, seed=length, **moved)[0] for length in lengths if length >= recipe.min_length]


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
