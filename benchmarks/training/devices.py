"""The compiled programs on a processor and on a GPU: `python -m benchmarks.training --tables device --device cpu,gpu`.

Needs JAX and Keras, no TensorFlow. Every fit has a process of its own and writes a line of JSON as soon as it ends, so
that a run which is cut off has results: `python -m benchmarks.training.devices RESULTS` prints their table. All devices
begin with the same weights and see the same batches.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

Result = dict[str, Any]

# What is asked for. On waves the flagship is one wide network; on series of one's own it is what `auto` fits.
MODELS: dict[str, Result] = {
    "lstm": {"way": "ours", "architecture": "lstm"},
    "gru": {"way": "ours", "architecture": "gru"},
    "wavenet": {"way": "ours", "architecture": "wavenet"},
    "mlp": {"way": "panel", "architecture": "mlp"},
    "theta_mlp": {"way": "panel", "architecture": "theta_mlp"},
    "flagship-waves": {"way": "ours", "architecture": "flagship", "epochs": 3},
    "flagship-series": {"way": "panel", "architecture": "flagship", "epochs": 5},
}
# From what size on a GPU pays: units and batches of an LSTM that learns from 1,400 series; one seed is enough.
SIZES: dict[str, Result] = {
    f"lstm-{units}x{batch}": {
        "way": "ours",
        "architecture": "lstm",
        "head": "vector",
        "units": units,
        "batch_size": batch,
        "epochs": 3,
        "data": {"n_series": 2000},
    }
    for batch in (32, 512)
    for units in (20, 128, 512)
}
# What a process may take to load its libraries and to end, beyond the seconds of its fit.
GRACE = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured, how long a fit may take, when all ends (`time.monotonic`), and where its lines go."""

    models: list[str]
    devices: list[str]
    seeds: tuple[int, ...]
    epochs: int
    fit_seconds: float
    ends_at: float
    lines: TextIO | None
    at_once: bool = False

    def requests(self) -> Iterator[tuple[str, Result]]:
        """What to fit, with a name for it, the most important first."""
        for i, seed in enumerate(self.seeds):
            for name in self.models:
                if i == 0 or name not in SIZES:
                    request = {**MODELS, **SIZES}[name]
                    yield (
                        name,
                        {**request, "epochs": min(self.epochs, request.get("epochs", self.epochs)), "seed": seed},
                    )


def measure_devices(run: Run) -> list[Result]:
    """Fits on each device, in turns, or on all at once, each with cores of its own."""
    cores = sorted(os.sched_getaffinity(0))
    if not run.at_once or len(run.devices) == 1:
        return [found for name, request in run.requests() for d in run.devices for found in _fit(run, d, name, request)]
    share = len(cores) // len(run.devices)

    def lane(number: int) -> list[Result]:
        mine = {"cores": cores[number * share : (number + 1) * share]}
        return [
            found
            for name, request in run.requests()
            for found in _fit(run, run.devices[number], name, {**request, **mine})
        ]

    with ThreadPoolExecutor(len(run.devices)) as pool:
        return [found for results in pool.map(lane, range(len(run.devices))) for found in results]


def _fit(run: Run, device: str, name: str, request: Result) -> list[Result]:
    """The result, or none where the time is up or the fit failed; both are told."""
    left = run.ends_at - time.monotonic()
    if left < GRACE / 4:
        return []
    asked = {**request, "device": device, "max_seconds": min(run.fit_seconds, left - GRACE / 8)}
    command = [sys.executable, "-m", "benchmarks.training.one", json.dumps(asked)]
    # Not TensorFlow, which draws other first weights: a machine with it measures the same fits as one without.
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    about: Result = {"model": name, "device": device, "seed": request["seed"]}
    try:
        limit = min(left, run.fit_seconds + GRACE)
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=limit)
        found = (
            {"error": done.stderr.strip()[-1500:]}
            if done.returncode
            else json.loads(done.stdout.strip().splitlines()[-1])
        )
    except subprocess.TimeoutExpired:
        found = {"error": f"took more than {limit:.0f} s"}
    result = {**about, **found}
    if run.lines is not None:
        print(json.dumps(result), file=run.lines, flush=True)
    told = result["error"].splitlines()[-1:] if "error" in result else f"{result['seconds']:.1f} s, {result['runs_on']}"
    print(f"{name}, {device}, seed {request['seed']}: {told}", file=sys.stderr, flush=True)
    return [] if "error" in result else [result]


def print_devices(results: list[Result]) -> None:
    """One row for each model and device; a processor is what the others are compared with."""
    devices = sorted({one["device"] for one in results}, key=lambda device: (device != "cpu", device))
    names = {one["device"]: one["runs_on"] for one in results}
    versions = {f"JAX {one['jax']}, Keras {one['keras']}, Python {one['python']}" for one in results}
    cores = {one["device"]: one["cores"] for one in results}
    print("\n### The same compiled programs on each device\n")
    print(
        "; ".join(f"{one}: {names[one]}, {cores[one]} cores" for one in devices) + f"; {', '.join(sorted(versions))}\n"
    )
    print("| model | device | first epoch s | s an epoch | times | whole s | loss | whole fits |")
    print("|---|" + "---|" * 7)
    for model in dict.fromkeys(one["model"] for one in results):
        first: float | None = None
        for device in devices:
            here = [one for one in results if one["model"] == model and one["device"] == device]
            if not here:
                continue
            whole = [one for one in here if one["is_whole"]]
            # Where a fit was cut off in its first epoch there is nothing but compilation to tell of.
            later = [statistics.median(one["epochs"][1:]) for one in here if len(one["epochs"]) > 1]
            epoch = statistics.median(later) if later else None
            if device == devices[0]:
                first = epoch
            cells = [
                f"{statistics.median(one['epochs'][0] for one in here):.2f}",
                "" if epoch is None else f"{epoch:.3f}",
                "" if first is None or epoch is None else f"{first / epoch:.2f}",
                f"{statistics.median(one['seconds'] for one in here):.1f}",
                _spread([_loss(one) for one in whole or here]),
                f"{len(whole)} of {len(here)}",
            ]
            print(f"| {model} | {device} | {' | '.join(cells)} |")
    print(
        "\nThe first epoch compiles; an epoch is the median of the others. Times: the first device's epoch in this "
        "one's. Whole fits had time for all their epochs. Loss, of those where there are any: on waves the MSE of the "
        "validation series, on series of one's own the validation loss; mean and range of seeds.",
        flush=True,
    )


def _loss(result: Result) -> float:
    return float(result["mse"] if "mse" in result else result["loss"])


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.5f} ({min(values):.5f} to {max(values):.5f})"


def read_results(path: Path) -> list[Result]:
    """The lines of a run, without those of fits that failed."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [one for one in lines if "error" not in one]


if __name__ == "__main__":
    print_devices(read_results(Path(sys.argv[1])))
