"""Small models with the signatures and fast graphs of real ones, and the same forecasts in plain Python."""

# TensorFlow has no types: its classes, decorators and results are Any.
# mypy: disable-error-code="misc,untyped-decorator,no-any-return"

import shutil
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import tensorflow as tf

from service.engines.onnx import graph_path
from service.networks.tensorflow_operations import TensorFlowOperations
from service.store.manifest import Manifest
from service.store.publish import publish, staging
from service.training.export.onnx_export import trace_onnx
from tests.conftest import SHARED

SERIES = tf.TensorSpec([None, None, 1], tf.float32, name="series")
LENGTHS = tf.TensorSpec([None], tf.int32, name="lengths")
HORIZON = tf.TensorSpec([], tf.int32, name="horizon")

MODES = {"one_step": ["one_step", "autoregressive"], "vector": ["vector"], "sequence": ["sequence", "vector"]}


@dataclass(frozen=True)
class Kind:
    """A model that forecasts the mean of the last `memory` points, plus `bias`, plus a tenth for each step ahead.

    Without `has_graphs` TensorFlow runs it, which takes long to load it.
    """

    head: str = "sequence"
    horizon: int = 10
    memory: int = 5
    bias: float = 0.0
    min_length: int = 1
    window: int | None = None
    has_graphs: bool = True

    def expected(self, values: Sequence[float], horizon: int | None = None) -> list[float]:
        """The forecast of a series, whole blocks fed back."""
        given = list(values)
        horizon = self.horizon if horizon is None else horizon
        while len(given) < len(values) + horizon:
            recent = given[-self.memory :]
            mean = sum(recent) / len(recent) + self.bias
            given += [mean + (step + 1) / 10 for step in range(self.horizon)]
        return given[len(values) : len(values) + horizon]


def _block(xp: Any, kind: Kind, bias: Any, x: Any, ends: Any) -> Any:
    """The forecasts [batch, n, horizon] after the first `ends` [batch, n] points of x [batch, time]."""
    positions = xp.reshape(xp.arange(xp.size(x, 1)), (1, 1, -1))
    ends = xp.expand_dims(ends, 2)
    values = xp.where(positions < ends, xp.expand_dims(x, 1), 0.0)
    recent = xp.where(positions >= ends - kind.memory, values, 0.0)  # [batch, n, time]
    mean = xp.sum(recent, axis=2, keepdims=True) / xp.cast(xp.minimum(ends, kind.memory), "float32")
    return mean + bias + np.arange(1, kind.horizon + 1, dtype=np.float32) / np.float32(10)


def _rollout(xp: Any, kind: Kind, bias: Any, series: Any, lengths: Any, horizon: Any) -> Any:
    """Whole blocks fed back until `horizon` steps are there: [batch, horizon]."""
    block = kind.horizon
    n_blocks = (horizon + (block - 1)) // block
    longer = xp.pad(series, 0, n_blocks * block)
    positions = xp.expand_dims(xp.arange(xp.size(longer, 1)), 0)

    def step(trip: Any, carried: Any) -> tuple[Any, Any]:
        (x,) = carried
        ends = lengths + trip * block
        forecast = _block(xp, kind, bias, x, xp.expand_dims(ends, 1))[:, 0]
        offsets = positions - xp.expand_dims(ends, 1)
        inside = xp.minimum(xp.maximum(offsets, 0), block - 1)
        return [xp.where(xp.equal(offsets, inside), xp.pick(forecast, inside), x)], forecast

    blocks = xp.loop(step, [longer], n_blocks, width=block)
    return xp.reshape(blocks, (xp.size(series, 0), -1))[:, :horizon]


def _all_steps(xp: Any, kind: Kind, bias: Any, series: Any) -> Any:
    """The forecast after every point: [batch, time, horizon]."""
    ends = xp.expand_dims(xp.arange(xp.size(series, 1)) + 1, 0)
    return _block(xp, kind, bias, series, ends)


class MeanModel(tf.Module):
    """The TensorFlow graph of a Kind."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        # A variable, so that a loaded object that nobody keeps alive is found out.
        self.bias = tf.Variable(float(kind.bias))
        self._xp = TensorFlowOperations()

    def signatures(self) -> dict[str, Any]:
        found = {"serving_default": self.forecast, "forecast_ragged": self.forecast_ragged, "rollout": self.rollout}
        return {**found, "all_steps": self.all_steps} if self.kind.head == "sequence" else found

    @tf.function(autograph=False, input_signature=[SERIES])
    def forecast(self, series: Any) -> dict[str, Any]:
        shape = tf.shape(series)
        return self.forecast_ragged(series, tf.fill([shape[0]], shape[1]))

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS])
    def forecast_ragged(self, series: Any, lengths: Any) -> dict[str, Any]:
        return {"forecast": _block(self._xp, self.kind, self.bias, series[:, :, 0], lengths[:, None])[:, 0]}

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS, HORIZON])
    def rollout(self, series: Any, lengths: Any, horizon: Any) -> dict[str, Any]:
        return {"forecast": _rollout(self._xp, self.kind, self.bias, series[:, :, 0], lengths, horizon)}

    @tf.function(autograph=False, input_signature=[SERIES, LENGTHS])
    def all_steps(self, series: Any, lengths: Any) -> dict[str, Any]:
        return {"forecast": _all_steps(self._xp, self.kind, self.bias, series[:, :, 0]), "steps": lengths}


def _make_graphs(kind: Kind) -> dict[str, bytes]:
    """A kind's ONNX graphs, by the engine's call."""
    bias = np.float32(kind.bias)
    graphs = {
        "forecast": trace_onnx(
            lambda xp, series, lengths: {
                "forecast": _block(xp, kind, bias, series, xp.expand_dims(lengths, 1))[:, 0],
            }
        ),
        "rollout": trace_onnx(
            lambda xp, series, lengths: {
                "forecast": _rollout(xp, kind, bias, series, lengths, xp.traced("horizon", "int64")),
            },
            takes_horizon=True,
        ),
    }
    if kind.head == "sequence":
        graphs["all_steps"] = trace_onnx(
            lambda xp, series, lengths: {"forecast": _all_steps(xp, kind, bias, series), "steps": lengths}
        )
    return graphs


@cache
def saved(kind: Kind) -> Path:
    """A kind's SavedModel, with its graphs if it has some, made once for all tests of a process. To be read only."""
    folder = Path(mkdtemp(dir=SHARED)) / "model"
    model = MeanModel(kind)
    tf.saved_model.save(model, str(folder), signatures=model.signatures())
    for call, graph in (_make_graphs(kind) if kind.has_graphs else {}).items():
        path = folder / graph_path(call)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(graph)
    return folder


def add_version(root: Path, name: str, kind: Kind, **fields: Any) -> Manifest:
    """Publishes a model of a kind, as a worker does."""
    job_id = f"job-of-{name}-{uuid.uuid4().hex}"
    staged = staging(root, job_id)
    shutil.copytree(saved(kind), staged, dirs_exist_ok=True)
    manifest = Manifest(
        **{
            "name": name,
            "version": 0,
            "created_at": "2026-01-01T00:00:00.000Z",
            "architecture": "naive",
            "head": kind.head,
            "hyper_parameters": {},
            "modes": MODES[kind.head],
            "window": kind.window or 50,
            "horizon": kind.horizon,
            "min_length": kind.min_length,
            "scaling": "none" if kind.window is None else "standard",
            "reads_whole_series": kind.window is None,
            "data": {"kind": "synthetic"},
            "seed": 42,
            "metrics": {"validation": {"mse": 0.5}},
            "gate": None,
            "epochs_run": 1,
            "seconds": 1.0,
            "device": "cpu",
            "library_versions": {},
            "job_id": job_id,
            "parameters": 1,
            **fields,
        }
    )
    return publish(root, staged, manifest)


KINDS = {
    "lstm": Kind(window=50),
    "whole": Kind(horizon=4, memory=3, min_length=4),
    "stepwise": Kind(head="one_step", horizon=1, memory=4),
    "vector": Kind(head="vector", horizon=3, memory=2, min_length=2),
}


def add_kinds(root: Path, without_graphs: Collection[str] = ()) -> None:
    """Publishes one version of each of KINDS."""
    for name, kind in KINDS.items():
        add_version(root, name, replace(kind, has_graphs=name not in without_graphs))
