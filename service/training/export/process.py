"""Writes a network as a SavedModel, loads it back as a server would, and compares its numbers.

Run as a module it does so for a training worker, one request a line, in a process that trains nothing and sees no GPU:
layers traced beside a GPU may save kernels that no CPU can run, and a model that only works where it was made is found
out before anybody is served by it.
"""

import gc
import json
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.hidden_libraries import hidden

# This process fits nothing.
with hidden("pandas", "matplotlib", "jax"):
    import keras
    import tensorflow as tf

from service.domain.recipes.recipe import Recipe
from service.errors import ExportMismatch, StorageUnavailable
from service.networks.recurrent import normalises_inside
from service.storage.disk_errors import find_disk_errno, is_disk_error, make_storage_error
from service.store.layout import PLACE
from service.training.export.serving_graph import ServingGraph, make_serving_graph
from service.training.export.verification import add_graphs
from service.training.forecast_difference import least_unit, measure_difference

Array = NDArray[np.float32]

# Of the forecast's magnitude or the series' standard deviation, whichever is larger.
TOLERANCE = 1e-5
# A layer-normalised cell that has hardly been trained magnifies rounding at every step, thirtyfold before training:
# two right programs differ by more.
TOLERANCE_OF_NORMALISED_CELLS = 1e-4
PARENT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Proof:
    """Series of one length [n, time] and the trained network's forecasts for them [n, horizon], in the user's units."""

    inputs: Array
    forecasts: Array


def export(recipe: Recipe, weights: list[Array], folder: Path) -> ServingGraph:
    """Writes the SavedModel of a recipe with trained weights, in the order of Keras' `get_weights`.

    Those of an ensemble's members stand one after the other.

    Returns:
        The graph that was saved.
    """
    keras.utils.clear_session(free_memory=False)
    graph = make_serving_graph(recipe, weights)
    tf.saved_model.save(graph, str(folder), signatures=graph.signatures())
    return graph


def prove(loaded: Any, proofs: list[Proof], tolerance: float = TOLERANCE) -> float:
    """Demands the trained network's numbers of every forecasting signature of a SavedModel that was loaded from disk.

    The series are asked for alone by length, all in one ragged batch padded with NaN, and as the start of a roll-out.

    Returns:
        The largest difference, as a share of what `TOLERANCE` is a share of.

    Raises:
        ExportMismatch: a difference is over the tolerance.
    """
    default, ragged, rollout = (loaded.signatures[name] for name in ("serving_default", "forecast_ragged", "rollout"))
    longest = max(proof.inputs.shape[1] for proof in proofs)
    padded = np.concatenate([_pad(proof.inputs, longest) for proof in proofs])[:, :, None]
    lengths = np.concatenate([np.full(len(p.inputs), p.inputs.shape[1], np.int32) for p in proofs])
    horizon = np.int32(proofs[0].forecasts.shape[1])
    alone = np.concatenate([default(series=tf.constant(p.inputs[:, :, None]))["forecast"].numpy() for p in proofs])
    batched = ragged(series=tf.constant(padded), lengths=tf.constant(lengths))["forecast"].numpy()
    rolled = rollout(series=tf.constant(padded), lengths=tf.constant(lengths), horizon=tf.constant(horizon))
    expected = np.concatenate([proof.forecasts for proof in proofs])
    rows = [row for proof in proofs for row in proof.inputs]
    least = least_unit(rows)
    worst = 0.0
    for name, served in {
        "alone": alone,
        "batched": batched,
        "rolled out": rolled["forecast"].numpy(),
    }.items():
        difference = max(
            measure_difference(got, wanted, row, least) for got, wanted, row in zip(served, expected, rows, strict=True)
        )
        if not difference <= tolerance:
            raise ExportMismatch(
                f"The exported model's forecasts ({name}) differ from the trained model's by {difference:.1e} of their "
                f"magnitude, more than {tolerance:.0e}. It was not published."
            )
        worst = max(worst, difference)
    return worst


def tolerance_of(recipe: Recipe) -> float:
    """How far a recipe's forecasts may be from the trained network's."""
    inside = any(normalises_inside(member) for member in recipe.members or (recipe,))
    return TOLERANCE_OF_NORMALISED_CELLS if inside else TOLERANCE


def _pad(values: Array, length: int) -> Array:
    return np.pad(values, [(0, 0), (0, length - values.shape[1])], constant_values=np.nan)


def _end_with(parent: int) -> None:
    """Ends this process with the one that started it, whose job was killed: nobody waits for an answer any more."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(0)


def main() -> None:
    """Answers requests on standard input, one JSON object a line: recipe, weights, folder, proofs.

    `weights` and `proofs` name NumPy archives. Each gets one line on standard output: `{"difference", "engines"}` or
    `{"code", "message"}`, where the numbers differ or the disk takes no more.
    """
    threading.Thread(target=_end_with, args=(os.getppid(),), name="parent", daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # Whatever a library prints must not be taken for an answer.
    os.dup2(2, 1)
    # It takes every further graph of a process for a mistake; here each model has its own.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Among the million objects of the libraries there is no garbage to look for.
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with np.load(request["weights"]) as archive:
                weights = [archive[f"arr_{i}"] for i in range(len(archive.files))]
            with np.load(request["proofs"]) as archive:
                arrays = [archive[f"arr_{i}"] for i in range(len(archive.files))]
            proofs = [Proof(*pair) for pair in zip(arrays[::2], arrays[1::2], strict=True)]
            folder = Path(request["folder"])
            recipe = Recipe.from_dict(request["recipe"])
            graph = export(recipe, weights, folder)
            # The loaded object owns the variables and must outlive its signatures.
            loaded: Any = tf.saved_model.load(str(folder))
            difference = prove(loaded, proofs, tolerance_of(recipe))
            series = [proof.inputs for proof in proofs]
            engines = add_graphs(graph, recipe, folder, series, signatures=loaded.signatures)
            answer: dict[str, Any] = {"difference": difference, "engines": engines}
        except ExportMismatch as error:
            answer = {"code": error.code, "message": error.message}
        except (OSError, tf.errors.OpError) as error:
            number = error.errno if isinstance(error, OSError) else find_disk_errno(str(error))
            if number is None or not is_disk_error(number):
                raise
            answer = {"code": StorageUnavailable.code, "message": make_storage_error(PLACE, number, error).message}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
