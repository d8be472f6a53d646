"""The model that the peers serve, from MODEL, a version's folder, with the engine that ENGINE names.

`savedmodel` is what a person who has the SavedModel serves; `onnx` is our own fast engine's graph, handed to the peers,
so that only the servers differ. Either runs as the peer is best off with it. Run in the peers' environments, which
have no package of ours.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

# From so many rows on, all cores help.
MANY_ROWS = 64


def load() -> Callable[[Any], Any]:
    """A function from series [batch, time] to forecasts [batch, horizon]."""
    forecast = _load_onnx() if os.environ["ENGINE"] == "onnx" else _load_savedmodel()
    for rows in (1, 8, 1000):
        forecast(np.zeros((rows, 50), np.float32))
    return forecast


def _load_savedmodel() -> Callable[[Any], Any]:
    import tensorflow as tf

    model = tf.saved_model.load(os.environ["MODEL"])

    def forecast(series: Any) -> Any:
        # The model must outlive its signature.
        call = model.signatures["serving_default"]
        return call(series=tf.constant(series[:, :, None], tf.float32))["forecast"].numpy()

    return forecast


def _load_onnx() -> Callable[[Any], Any]:
    few, many = (_open(threads) for threads in (1, os.cpu_count() or 1))

    def forecast(series: Any) -> Any:
        series = np.ascontiguousarray(series, np.float32)
        lengths = np.full(len(series), series.shape[1], np.int32)
        session = few if len(series) < MANY_ROWS else many
        return session.run(None, {"series": series, "lengths": lengths})[0]

    return forecast


def _open(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads that spin would take the cores from the server.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = f"{os.environ['MODEL']}/assets.extra/forecast.onnx"
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
