"""The fast engine's graphs as files of a version, proved against the SavedModel's own signatures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.engines import onnx
from service.engines.onnx import OnnxRuntime, graph_path
from service.training.export.onnx_export import make_onnx_graphs
from service.training.export.serving_graph import ServingGraph
from service.training.forecast_difference import least_unit, measure_difference

Array = NDArray[np.float32]

# Of the forecast's magnitude or the series' standard deviation, whichever is larger.
TOLERANCE = 1e-5
# Beyond the version's own horizon differences are fed back and grow.
ROLLOUT_FACTOR = 10
# Series of each length that are compared. More find nothing: a graph is wrong for all, or for lengths or batches.
N_SERIES = 8
LARGE_BATCH = 16


def add_graphs(
    graph: ServingGraph,
    recipe: Recipe,
    folder: Path,
    series: Sequence[Array],
    *,
    signatures: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Writes a version's ONNX graphs, and keeps them if they give the signatures' numbers.

    Args:
        graph: what was saved as the SavedModel.
        folder: the SavedModel's.
        series: [n, time] each, to compare forecasts of.
        signatures: those of the SavedModel as it was loaded from the folder; by default the graph's functions, which
            TensorFlow traces once more after they were saved.
        tolerance: the largest difference that is let pass, and ten times as much in a roll-out.

    Returns:
        The manifest's `engines`.
    """
    paths = []
    for call, model in make_onnx_graphs(graph.networks, recipe).items():
        path = folder / graph_path(call)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(model)
        paths.append(path)
    difference, rolled = compare(signatures or graph.signatures(), recipe, folder, series)
    if difference <= tolerance and rolled <= ROLLOUT_FACTOR * tolerance:
        return {onnx.NAME: {"difference": max(difference, rolled)}}
    for path in paths:
        path.unlink()
    return {
        onnx.NAME: {
            "reason": f"its forecasts differ from the SavedModel's by {difference:.0e} of their magnitude, rolled out "
            f"by {rolled:.0e}."
        }
    }


def compare(
    signatures: Mapping[str, Any], recipe: Recipe, folder: Path, series: Sequence[Array]
) -> tuple[float, float]:
    """The largest difference of a version's graphs from its signatures, of forecasts and of roll-outs.

    Every call is compared for series of several lengths, each alone and all in one batch that is padded with NaN.

    Returns:
        Shares of what `service.training.forecast_difference` says.
    """
    engine = OnnxRuntime(folder, None if recipe.reads_whole_series else recipe.longest_window)
    rows = _rows(recipe, series)
    least = least_unit(rows)
    horizon = 2 * recipe.horizon + 1
    difference = rolled = 0.0
    for batch in ([rows[0]], [rows[-1]], rows):
        values, lengths = _pad(batch)
        inputs = {"series": tf.constant(values[:, :, None]), "lengths": tf.constant(lengths)}
        expected = signatures["forecast_ragged"](**inputs)["forecast"].numpy()
        difference = max(difference, _difference(engine.forecast(values, lengths), expected, batch, least))
        expected = signatures["rollout"](**inputs, horizon=tf.constant(horizon))["forecast"].numpy()
        rolled = max(rolled, _difference(engine.rollout(values, lengths, horizon), expected, batch, least))
        if "all_steps" in signatures:
            answer = signatures["all_steps"](**inputs)
            forecast, steps = engine.all_steps(values, lengths)
            if not np.array_equal(steps, answer["steps"].numpy()):
                return np.inf, np.inf
            difference = max(difference, _difference(forecast, answer["forecast"].numpy(), batch, least))
    return difference, rolled


def _rows(recipe: Recipe, series: Sequence[Array]) -> list[Array]:
    """Series from the shortest that the version takes to the longest that there are."""
    rows = []
    for values in series:
        longest = values.shape[1]
        for length in sorted({recipe.min_length, (recipe.min_length + longest) // 2, longest}):
            rows += [row[-length:] for row in values[:N_SERIES]]
    # Graphs may compute large batches in another way than small ones: at least one is large.
    return sorted(rows * -(-LARGE_BATCH // len(rows)), key=len)


def _pad(rows: Sequence[Array]) -> tuple[Array, NDArray[np.int32]]:
    lengths = np.array([len(row) for row in rows], np.int32)
    padded = np.full((len(rows), int(lengths.max())), np.nan, np.float32)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return padded, lengths


def _difference(served: Array, expected: Array, rows: Sequence[Array], least: float) -> float:
    if served.shape != expected.shape:
        return float("inf")
    return max(
        measure_difference(got, wanted, row, least) for got, wanted, row in zip(served, expected, rows, strict=True)
    )
