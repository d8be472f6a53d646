"""The time of one engine call, by preset and batch: SavedModel signatures in TensorFlow, and fast graphs.

Run it with `make bench-engines`. Series of 50 points, both engines in this process and in turns, medians in
milliseconds: forecasts of batches of 1, 32 and 256, and of one series 10 and 100 steps rolled out. A call has one
thread in ONNX Runtime and as many as it takes in TensorFlow.
"""

import os
import sys
import tempfile
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np

from benchmarks.autoregression import measure
from benchmarks.machine import describe_machine
from service.domain.recipes.presets import PRESETS

BATCHES = (1, 32, 256)
STEPS = (10, 100)
POINTS = 50


def main() -> int:
    import keras
    import onnxruntime
    import tensorflow as tf

    from service.domain.recipes.resolve import resolve
    from service.engines.engine import Runtime
    from service.engines.onnx import OnnxRuntime
    from service.engines.savedmodel import SavedModelRuntime
    from service.networks.network import make_network
    from service.training.export.process import export
    from service.training.export.verification import add_graphs

    print(f"{describe_machine()}, TensorFlow {tf.__version__}, ONNX Runtime {onnxruntime.__version__}\n")
    columns = [*(f"batch {n}" for n in BATCHES), *(f"{n} steps" for n in STEPS)]
    print(f"| model | engine | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    series = np.sin(0.3 * np.arange(POINTS, dtype=np.float32) + np.arange(max(BATCHES), dtype=np.float32)[:, None])
    lengths = np.full(max(BATCHES), POINTS, np.int32)
    for architecture in PRESETS:
        keras.utils.set_random_seed(42)
        recipe = resolve({"architecture": architecture})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model")
            graph = export(recipe, make_network(recipe).get_weights(), path)
            # Whether fresh weights pass the proof does not matter here; those of a layer-normalised cell are chaotic.
            add_graphs(graph, recipe, path, [series[:4]], tolerance=np.inf)
            window = None if recipe.reads_whole_series else recipe.longest_window
            engines: dict[str, Runtime] = {"TensorFlow": SavedModelRuntime(tf, path), "ONNX": OnnxRuntime(path, window)}
        rows: dict[str, list[float]] = {name: [] for name in engines}
        for n in BATCHES:
            inputs = (series[:n], lengths[:n])
            for name, took in measure({name: partial(one.forecast, *inputs) for name, one in engines.items()}).items():
                rows[name].append(took)
        for n in STEPS:
            one_series = (series[:1], lengths[:1], n)
            calls = {name: partial(engine.rollout, *one_series) for name, engine in engines.items()}
            for name, took in measure(calls).items():
                rows[name].append(took)
        for name, values in rows.items():
            shown = " | ".join(f"{value:.3f}" if value < 1 else f"{value:.1f}" for value in values)
            print(f"| {architecture if name == 'TensorFlow' else ''} | {name} | {shown} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
