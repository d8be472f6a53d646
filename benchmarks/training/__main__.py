"""Compares training with the chapter's code and PyTorch: `make bench-training` prints the tables of docs/benchmarks.md.

Every fit has a process of its own, ours and theirs in turns, A B A B, each round with another seed: 20 epochs of the
chapter's 7,000 series, batches of 32. Seconds are medians over the rounds, with compilation and without it (the median
epoch after the first, times the epochs). PyTorch's LSTM and GRU have its fused layers, with one thread and with two.

The table `device`, which is not printed unless asked for, has our fits on the devices of `--device`: on any machine
with JAX and Keras, without TensorFlow (`benchmarks.training.devices`).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.training.devices import MODELS, SIZES, Run, measure_devices, print_devices
from service.domain.recipes.presets import CHAPTER, PRESETS

FITTED = tuple(name for name in CHAPTER if PRESETS[name].is_fitted)
TORCH = {"lstm": "LSTM", "gru": "GRU"}
SEEDS = (42, 43, 44)
EPOCHS = 20
# Each axis of the growth table, around the chapter's 10,000 series (7,000 of them to train on), 50 points, 20 units and
# batches of 32.
GROWTH: dict[str, tuple[int, ...]] = {
    "series": (1_000, 10_000, 100_000),
    "points": (50, 200, 800),
    "units": (20, 80, 320),
    "batch": (32, 128, 512),
}

Result = dict[str, Any]


def fit(way: str, **request: Any) -> Result:
    """One fit in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training.one", json.dumps({"way": way, **request})]
    return _read(command, {})


def fit_torch(python: str, architecture: str, epochs: int, threads: int) -> Result:
    script = str(Path(__file__).with_name("torch_fit.py"))
    return _read([python, script, TORCH[architecture], str(epochs)], {"OMP_NUM_THREADS": str(threads)})


def _read(command: list[str], environment: dict[str, str]) -> Result:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    result: Result = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def compiled(results: list[Result]) -> float:
    """Seconds of a fit without compilation."""
    return float(statistics.median(statistics.median(one["epochs"][1:]) * len(one["epochs"]) for one in results))


def whole(results: list[Result]) -> float:
    """Seconds of a fit with compilation."""
    return float(statistics.median(one["seconds"] for one in results))


def compare(architectures: list[str], rounds: int, epochs: int) -> None:
    found: dict[tuple[str, str], list[Result]] = {}
    for seed in SEEDS[:rounds]:
        for architecture in architectures:
            for way in ("ours", "chapter"):
                result = fit(way, architecture=architecture, seed=seed, epochs=epochs)
                found.setdefault((architecture, way), []).append(result)
                print(f"{architecture}, {way}, seed {seed}: {result['seconds']:.1f} s", file=sys.stderr, flush=True)
    _print_comparison(architectures, found, epochs)


def _print_comparison(architectures: list[str], found: dict[tuple[str, str], list[Result]], epochs: int) -> None:
    n_rounds = len(found[architectures[0], "ours"])
    print(f"\n### {epochs} epochs, medians of {n_rounds}: the chapter's way and ours\n")
    heads = "chapter s | ours s | times | chapter s | ours s | times | chapter MB | ours MB | chapter MSE | ours MSE"
    print(f"| model | with compilation: {heads.replace('| chapter s', '| without it: chapter s', 1)} |")
    print("|---|" + "---|" * 10)
    sums = [0.0, 0.0]
    for architecture in architectures:
        theirs, ours = (found[architecture, way] for way in ("chapter", "ours"))
        sums[0] += whole(theirs)
        sums[1] += whole(ours)
        cells = []
        for measure in (whole, compiled):
            pair = measure(theirs), measure(ours)
            cells += [f"{pair[0]:.1f}", f"{pair[1]:.1f}", f"{pair[0] / pair[1]:.1f}"]
        cells += [f"{statistics.median(one['peak_mb'] for one in results):.0f}" for results in (theirs, ours)]
        cells += [_spread([one["mse"] for one in results]) for results in (theirs, ours)]
        print(f"| {architecture} | {' | '.join(cells)} |")
    print(
        f"\nIn sum, with compilation: {sums[0]:.0f} s and {sums[1]:.0f} s, {sums[0] / sums[1]:.1f} times.", flush=True
    )


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def beside_torch(python: str, rounds: int, epochs: int) -> None:
    print(f"\n### {epochs} epochs beside PyTorch's fused layers, medians of {rounds}\n")
    print("| model | ours s | PyTorch, 1 thread s | 2 threads s | ours of the better |\n|---|---|---|---|---|")
    for architecture in TORCH:
        ours: list[Result] = []
        theirs: dict[int, list[Result]] = {1: [], 2: []}
        for seed in SEEDS[:rounds]:
            ours.append(fit("ours", architecture=architecture, seed=seed, epochs=epochs))
            for threads, results in theirs.items():
                results.append(fit_torch(python, architecture, epochs, threads))
        seconds = [whole(results) for results in theirs.values()]
        print(
            f"| {architecture} | {whole(ours):.1f} | {seconds[0]:.1f} | {seconds[1]:.1f} "
            f"| {whole(ours) / min(seconds):.2f} |",
            flush=True,
        )


def growth() -> None:
    print("\n### Growth, LSTM: seconds of one epoch, compiled; peak MB\n")
    print("| what | " + " | ".join(["least", "", "", "middle", "", "", "most", "", ""]) + " |\n|---|" + "---|" * 9)
    for axis, values in GROWTH.items():
        cells = []
        for value in values:
            request: dict[str, Any] = {"architecture": "lstm", "epochs": 3, "head": "vector"}
            if axis == "series":
                request["data"] = {"n_series": value}
            elif axis == "points":
                request |= {"window": value, "data": {"n_steps": value + 10}}
            else:
                request[{"units": "units", "batch": "batch_size"}[axis]] = value
            result = fit("ours", **request)
            cells += [f"{value:,}", f"{statistics.median(result['epochs'][1:]):.2f} s", f"{result['peak_mb']:.0f} MB"]
        print(f"| {axis} | {' | '.join(cells)} |", flush=True)


def compare_devices(arguments: argparse.Namespace) -> None:
    with ExitStack() as stack:
        run = Run(
            arguments.models.split(",") if arguments.models else [*MODELS, *SIZES],
            arguments.device.split(","),
            SEEDS[: arguments.rounds],
            arguments.epochs,
            arguments.fit_limit,
            time.monotonic() + arguments.limit,
            None if arguments.results is None else stack.enter_context(arguments.results.open("a", encoding="utf-8")),
            arguments.at_once,
        )
        print_devices(measure_devices(run))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--tables", default="compare,torch,growth,beside", help="names, separated by commas")
    parser.add_argument("--models", default="", help="names, separated by commas; by default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument(
        "--torch", default="", help="an interpreter that has PyTorch; without one its table is left out"
    )
    devices = parser.add_argument_group("the table `device`")
    devices.add_argument("--device", default="auto", help="cpu, gpu or auto; several, separated by commas")
    devices.add_argument("--limit", type=float, default=3600.0, help="seconds of the whole table")
    devices.add_argument("--fit-limit", type=float, default=600.0, help="seconds of a fit, which then has fewer epochs")
    devices.add_argument("--results", type=Path, help="a file that gets a line of JSON after each fit")
    devices.add_argument("--at-once", action="store_true", help="all devices at once, each with its share of the cores")
    arguments = parser.parse_args()
    tables = arguments.tables.split(",")
    print(describe_machine(), flush=True)
    if "device" in tables:
        compare_devices(arguments)
    if "torch" in tables and arguments.torch:
        beside_torch(arguments.torch, arguments.rounds, arguments.epochs)
    if "growth" in tables:
        growth()
    if "beside" in tables:
        # It serves models, and needs all that the service needs.
        from benchmarks.training.beside import print_beside

        print_beside()
    if "compare" in tables:
        compare(arguments.models.split(",") if arguments.models else list(FITTED), arguments.rounds, arguments.epochs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
