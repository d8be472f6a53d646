"""Small SavedModels with the signatures of real ones, and the same forecasts in plain Python."""

# TensorFlow has no types: its classes, decorators and results are Any.
# mypy: disable-error-code="misc,untyped-decorator,no-any-return"

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import tensorflow as tf

from service.store.manifest import Manifest
from service.store.publish import publish, staging
from tests.conftest import SHARED

SERIES = tf.TensorSpec([None, None, 1], tf.float32, name="series")
LENGTHS = tf.TensorSpec([None], tf.int32, name="lengths")
HORIZON = tf.TensorSpec([], tf.int32, name="horizon")

MODES = {"one_step": ["one_step", "autoregressive"], "vector": ["vector"], "sequence": ["sequence", "vector"]}


@dataclass(frozen=True)
class Kind:
    """A model that forecasts the mean of the last `memory` points, plus `bias`, plus a tenth for each step ahead."""

    head: str = "sequence"
    horizon: int = 10
    memory: int = 5
    bias: float = 0.0
    min_length: int = 1
    window: int | None = None

    def expected(self, values: Sequence[float], horizon: int | None = None) -> list[float]:
        """The forecast of a series, whole blocks fed back."""
        given = list(values)
        horizon = self.horizon if horizon is None else horizon
        while len(given) < len(values) + horizon:
            recent = given[-self.memory :]
            mean = sum(recent) / len(recent) + self.bias
            given += [mean + (step + 1) / 10 for step in range(self.horizon)]
        return given[len(values) : len(values) + horizon]


class MeanModel(tf.Module):
    """The graph of a Kind."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        # A variable, so that a loaded object that nobody keeps alive is found out.
        self.bias = tf.Variable(float(kind.bias))

    def signatures(self) -> dict[str, Any]:
        found = {"serving_default": self.forecast, "forecast_ragged": self.forecast_ragged, "rollout": self.rollout}
        return {**found, "all_steps": self.all_steps} if self.kind.head == "sequence" else found

    def _block(self, x: Any, ends: Any) -> Any:
        """The forecast [batch, horizon] after the first `ends` [batch] points of x [batch, time]."""
        positions = tf.range(tf.shape(x)[1])[None, :]
        recent = (positions < ends[:, None]) & (positions >= ends[:, None] - self.kind.memory)
        total = tf.reduce_sum(tf.where(recent, x, 0.0), axis=1, keepdims=True)
        count = tf.cast(tf.minimum(ends, self.kind.memory), tf.float32)[:, None]
        steps = tf.range(1, self.kind.horizon + 1, dtype=tf.float32)[None, :] / 10.0
        return total / count + self.bias + steps

    @tf.function(input_signature=[SERIES])
    def forecast(self, series: Any) -> dict[str, Any]:
        shape = tf.shape(series)
        return self.forecast_ragged(series, tf.fill([shape[0]], shape[1]))

    @tf.function(input_signature=[SERIES, LENGTHS])
    def forecast_ragged(self, series: Any, lengths: Any) -> dict[str, Any]:
        return {"forecast": self._block(series[:, :, 0], lengths)}

    @tf.function(input_signature=[SERIES, LENGTHS, HORIZON])
    def rollout(self, series: Any, lengths: Any, horizon: Any) -> dict[str, Any]:
        block = self.kind.horizon
        n_blocks = (horizon + block - 1) // block
        x = tf.pad(series[:, :, 0], [[0, 0], [0, n_blocks * block]])
        positions = tf.range(tf.shape(x)[1])[None, :]
        blocks = tf.TensorArray(tf.float32, size=n_blocks, element_shape=[None, block])

        def body(i: Any, x: Any, blocks: Any) -> tuple[Any, ...]:
            ends = lengths + i * block
            forecast = tf.ensure_shape(self._block(x, ends), [None, block])
            offsets = positions - ends[:, None]
            placed = tf.gather(forecast, tf.clip_by_value(offsets, 0, block - 1), batch_dims=1)
            fresh = (offsets >= 0) & (offsets < block)
            return i + 1, tf.where(fresh, placed, x), blocks.write(i, forecast)

        filled = tf.while_loop(lambda i, *_: i < n_blocks, body, (tf.constant(0), x, blocks))[-1].stack()
        values = tf.reshape(tf.transpose(filled, [1, 0, 2]), [tf.shape(x)[0], n_blocks * block])
        return {"forecast": values[:, :horizon]}

    @tf.function(input_signature=[SERIES, LENGTHS])
    def all_steps(self, series: Any, lengths: Any) -> dict[str, Any]:
        x = series[:, :, 0]
        time = tf.shape(x)[1]
        ends = tf.range(1, time + 1)
        forecast = tf.map_fn(
            lambda end: self._block(x, tf.fill([tf.shape(x)[0]], end)), ends, fn_output_signature=tf.float32
        )
        return {"forecast": tf.transpose(forecast, [1, 0, 2]), "steps": lengths}


@cache
def saved(kind: Kind) -> Path:
    """A kind's SavedModel, made once for all tests of a process. To be read only."""
    folder = Path(mkdtemp(dir=SHARED)) / "model"
    model = MeanModel(kind)
    tf.saved_model.save(model, str(folder), signatures=model.signatures())
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


def add_kinds(root: Path) -> None:
    """Publishes one version of each of KINDS."""
    for name, kind in KINDS.items():
        add_version(root, name, kind)
