"""The cost of autoregressive steps: continuing from the state inside the graph, or feeding the whole series again.

Run it with `make bench-autoregression`. One series of 50 points, SavedModel signatures in this process; 10 steps, 100
steps and the loop take turns, medians in milliseconds. Both ways give the same numbers, which is checked first.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np

from benchmarks.machine import describe_machine

ARCHITECTURES = ("simple_rnn", "deep_rnn", "ln_rnn", "lstm", "gru", "wavenet")
ROUNDS = 15


def measure(calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median milliseconds of each call, taken in turns so that a change of the machine's speed meets all alike."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            samples[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values) for name, values in samples.items()}


def main() -> int:
    import keras
    import tensorflow as tf

    from service.domain.recipes.resolve import resolve
    from service.networks.network import make_network
    from service.training.export.process import export

    print(f"{describe_machine()}, TensorFlow {tf.__version__}")
    print(f"{'model':<12} {'10 steps':>9} {'100 steps':>10} {'100/10':>7} {'loop of 100':>12} {'loop/graph':>11}")
    series = np.sin(0.3 * np.arange(50, dtype=np.float32))[None, :, None]
    for architecture in ARCHITECTURES:
        keras.utils.set_random_seed(42)
        recipe = resolve({"architecture": architecture, "head": "one_step", "scaling": "none"})
        with tempfile.TemporaryDirectory() as folder:
            export(recipe, make_network(recipe).get_weights(), Path(folder, "model"))
            loaded = tf.saved_model.load(str(Path(folder, "model")))
        default, rollout = loaded.signatures["serving_default"], loaded.signatures["rollout"]
        inputs, lengths = tf.constant(series), tf.constant([50])

        def roll(horizon: int, run: Any = rollout, x: Any = inputs, n: Any = lengths) -> Any:
            return run(series=x, lengths=n, horizon=tf.constant(horizon))["forecast"].numpy()[0]

        def loop(horizon: int, run: Any = default) -> Any:
            values = series
            for _ in range(horizon):
                step = run(series=tf.constant(values))["forecast"].numpy()
                values = np.concatenate([values, step[:, :, None]], axis=1)
            return values[0, 50:, 0]

        if not np.allclose(roll(100), loop(100), atol=1e-4):
            print(f"{architecture}: the loop and the graph disagree", file=sys.stderr)
            return 1
        times = measure({"10": lambda: roll(10), "100": lambda: roll(100), "loop": lambda: loop(100)})
        print(
            f"{architecture:<12} {times['10']:>9.2f} {times['100']:>10.2f} {times['100'] / times['10']:>7.2f} "
            f"{times['loop']:>12.1f} {times['loop'] / times['100']:>11.1f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
