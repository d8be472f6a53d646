"""Writes the pretrained version: SavedModel, ONNX graphs and manifest, each proved against the others."""

import hashlib
import importlib.metadata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from service.domain.seasons import MOST_POINTS_READ, Seasons
from service.engines import onnx
from service.engines.onnx import OnnxZeroShot, graph_path
from service.engines.savedmodel import SavedModelZeroShot
from service.engines.zero_shot import ARCHITECTURE, Combined
from service.networks.experts import EXPERTS
from service.networks.operations import NumPyOperations
from service.networks.pretrained_combiner import COMBINER
from service.networks.zero_shot import Combiner, flatten, to_combiner
from service.store.layout import MANIFEST
from service.store.manifest import Manifest
from service.training.export.zero_shot_graphs import (
    DEFAULT_HORIZON,
    ZeroShotGraph,
    combine_series,
    make_zero_shot_onnx,
)

NAME = "zero-shot"
# Of the largest number of a series. Weights follow differences of logarithms of small errors, times a power.
TOLERANCES = {"forecast": 1e-4, "unit": 1e-3, "weights": 5e-3}
PROOFS = ((Seasons(12), 120, 18), (Seasons(1), 30, 6), (Seasons(4), 9, 8), (Seasons(24, 168), 500, 48))


def export(
    combiner: Combiner,
    folder: Path,
    *,
    residuals: Sequence[float],
    factors: Sequence[float],
    facts: dict[str, Any],
    seed: int,
) -> Manifest:
    """Writes a version into an empty folder.

    Args:
        residuals: absolute errors in units of the combiner, ascending.
        factors: what units are multiplied with, for each group of `service.engines.zero_shot.find_group`.
        facts: `data`, `metrics`, `epochs_run` and `seconds` of the manifest. The digest of `data` is added: of the
            combiner and of the graphs, so that stores get a version whose graphs alone are new.

    Raises:
        RuntimeError: an engine's numbers differ from NumPy's.
    """
    graph = ZeroShotGraph(combiner)
    tf.saved_model.save(graph, str(folder), signatures=graph.signatures())
    models = make_zero_shot_onnx(combiner)
    for call, model in models.items():
        path = folder / graph_path(call)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(model)
    np.savez(folder / COMBINER, *flatten(combiner))
    difference = _prove(combiner, folder)
    manifest = Manifest(
        name=NAME,
        version=1,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        architecture=ARCHITECTURE,
        head="vector",
        hyper_parameters={
            "architecture": ARCHITECTURE,
            "experts": list(EXPERTS),
            "unit_factors": list(factors),
            "scaling": "mean",
        },
        modes=["vector"],
        window=MOST_POINTS_READ,
        horizon=DEFAULT_HORIZON,
        min_length=1,
        scaling="mean",
        reads_whole_series=False,
        seed=seed,
        gate=None,
        device="cpu",
        library_versions={name: importlib.metadata.version(name) for name in ("outfielder", "jax", "numpy")}
        | {"tensorflow": tf.__version__},
        job_id=None,
        parameters=sum(array.size for array in flatten(combiner)[2:]),
        calibration={
            "season": 1,
            "window": MOST_POINTS_READ,
            "residuals": [[float(f"{value:.6g}") for value in residuals]],
            "part": "synthetic and M1",
        },
        engines={onnx.NAME: {"difference": difference}},
        **{**facts, "data": {**facts["data"], "digest": _digest(combiner, models.values())}},
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())
    return manifest


def export_again(folder: Path, into: Path) -> Manifest:
    """Writes a version anew from its own weights, with the graphs that today's code makes of them.

    Args:
        folder: the version.
        into: an empty folder.
    """
    manifest = Manifest.from_json((folder / MANIFEST).read_bytes())
    with np.load(folder / COMBINER) as archive:
        combiner = to_combiner([archive[name] for name in archive.files])
    assert manifest.calibration is not None  # `export` wrote it
    return export(
        combiner,
        into,
        residuals=manifest.calibration["residuals"][0],
        factors=manifest.hyper_parameters["unit_factors"],
        facts={name: getattr(manifest, name) for name in ("data", "metrics", "epochs_run", "seconds")},
        seed=manifest.seed,
    )


def _digest(combiner: Combiner, graphs: Iterable[bytes]) -> str:
    """SHA-256 of a combiner's numbers and of graphs."""
    return hashlib.sha256(b"".join((*(array.tobytes() for array in flatten(combiner)), *graphs))).hexdigest()


def _prove(combiner: Combiner, folder: Path) -> float:
    """The largest difference of the ONNX graphs from the SavedModel, as a share of the largest forecast of a series."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for seasons, time, horizon in PROOFS:
        lengths = rng.integers(1, time + 1, 20).astype(np.int32)
        lengths[0] = time
        position = np.arange(time)
        waves = 5 + np.sin(2 * np.pi * position / max(seasons.short, 9)) + rng.normal(size=(20, time)) * 0.3
        series = np.where(position < lengths[:, None], waves, 0.0).astype(np.float32)
        long_season = np.int64(seasons.long) if seasons.long else None
        backtest, combination = combine_series(
            NumPyOperations(),
            combiner,
            series,
            lengths.astype(np.int64),
            np.int64(seasons.short),
            long_season,
            np.int64(horizon),
        )
        expected = Combined(
            combination.forecast, combination.unit, combination.weights.mean(axis=2), backtest.log_errors
        )
        served = SavedModelZeroShot(tf, folder).combine(series, lengths, seasons, horizon)
        fast = OnnxZeroShot(folder).combine(series, lengths, seasons, horizon)
        for name, answer in (("SavedModel", served), ("ONNX", fast)):
            for field, tolerance in TOLERANCES.items():
                wanted, got = getattr(expected, field), getattr(answer, field)
                size = np.abs(wanted).max(axis=1, keepdims=True)
                difference = float((np.abs(got - wanted) / size).max())
                if not difference <= tolerance:
                    raise RuntimeError(f"{name}: {field} differs from NumPy's by {difference:.1e}")
        worst = max(worst, float((np.abs(fast.forecast - served.forecast) / np.abs(served.forecast).max()).max()))
    return worst
