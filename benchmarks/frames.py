"""Compares how the Python client sends frames: `python -m benchmarks.frames [--series N] [--rounds N] [--models A,B]`.

The same frames are forecast as Arrow streams and as uploads, in turn, A B A B, by the client, blocking, from the frame
to the frame. Ratios are of medians over the rounds.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import polars as pl
from polars.testing import assert_frame_equal

from benchmarks.formats import HORIZON, MAKE_MODELS, N_POINTS, Contender, serving
from benchmarks.machine import describe_machine
from outfielder_client import Client


def main() -> None:
    """Prints a row for each model and library."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frames", description=__doc__)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="naive,lstm", help="architectures, separated by commas")
    arguments = parser.parse_args()
    n_series = arguments.series
    print(f"{describe_machine()}; {n_series} series of {N_POINTS} points, {HORIZON} steps ahead", flush=True)
    print("\n| model | frame | as a stream: series/s | as an upload: series/s | times |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-frames-") as scratch:
        store = Path(scratch, "store")
        store.mkdir()
        subprocess.run([sys.executable, "-c", MAKE_MODELS, str(store), arguments.models], check=True)
        server = Contender("", b"")
        with serving(server, store, Path(scratch, "state")), Client(server.url, timeout=600) as client:
            for model in arguments.models.split(","):
                for library, frame in make_frames(n_series).items():
                    stream, upload = measure(client, frame, model, arguments.rounds)
                    speeds = f"{n_series / stream:,.0f} | {n_series / upload:,.0f} | {upload / stream:.1f}"
                    print(f"| {model} | {library} | {speeds} |", flush=True)


def make_frames(n_series: int) -> dict[str, Any]:
    """Days from 2024 on, noise around a level."""
    rng = np.random.default_rng(42)
    days = np.datetime64("2024-01-01", "us") + np.arange(N_POINTS) * np.timedelta64(1, "D")
    frame = pl.DataFrame(
        {
            "unique_id": np.repeat([f"shop-{i}" for i in range(n_series)], N_POINTS),
            "ds": np.tile(days, n_series),
            "y": rng.normal(100, 10, n_series * N_POINTS).round(4),
        }
    )
    return {"Polars": frame, "pandas": frame.to_pandas()}


def measure(client: Client, frame: Any, model: str, rounds: int) -> tuple[float, float]:
    """Median seconds as a stream and as an upload. Raises AssertionError where they give other frames."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    answers: dict[bool, Any] = {}
    for _ in range(rounds):
        for as_stream in (True, False):
            with nullcontext() if as_stream else patch("outfielder_client.forecasts.can_stream", return_value=False):
                started = time.perf_counter()
                answers[as_stream] = client.forecast(frame, model=model, horizon=HORIZON)
                seconds[as_stream].append(time.perf_counter() - started)
    if isinstance(frame, pd.DataFrame):
        pd.testing.assert_frame_equal(answers[True], answers[False], rtol=1e-5)
    else:
        assert_frame_equal(answers[True], answers[False], rel_tol=1e-5)
    return statistics.median(seconds[True]), statistics.median(seconds[False])


if __name__ == "__main__":
    main()
