"""An upload larger than memory should be: sent, trained on, and forecast as a whole, by a real server and worker.

    python -m benchmarks.large_dataset --series 100000 --points 1000

Prints the minutes of each part, the most memory that each process held, and the sizes of the files. Resident memory
counts pages of mapped files, which the system takes back when it needs them; `anonymous` is without them.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import describe_machine

PARQUET = "application/vnd.apache.parquet"
SEASON = 7
HORIZON = 14
POLL_SECONDS = 0.5
SERIES_AT_ONCE = 1000
# What a process is, by what its command line has; the first that fits.
KINDS = {
    "service.datasets.reader": "reader",
    "service.training.export.process": "export",
    "--performs": "job process",
    "service.cli worker": "worker",
    "service.cli serve": "API",
}
SCHEMA = pa.schema([("unique_id", pa.string()), ("ds", pa.timestamp("us")), ("y", pa.float64())])


def write_file(path: Path, n_series: int, n_points: int) -> None:
    """Days of a weekly season, a level that drifts, and noise; the same for the same counts."""
    rng = np.random.default_rng(0)
    days = np.datetime64("2021-01-01", "us") + np.arange(n_points) * np.timedelta64(1, "D")
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for first in range(0, n_series, SERIES_AT_ONCE):
            count = min(SERIES_AT_ONCE, n_series - first)
            phases = rng.integers(0, SEASON, (count, 1))
            values = 100 + 10 * np.sin(2 * np.pi * (np.arange(n_points) + phases) / SEASON)
            values = values + rng.normal(size=(count, n_points)).cumsum(axis=1) / 2 + rng.normal(size=(count, n_points))
            names = np.repeat([f"series-{first + i:06}" for i in range(count)], n_points)
            writer.write_table(pa.table([names, np.tile(days, count), values.ravel()], schema=SCHEMA))


class Memory:
    """The most that the processes of each kind below this one held, in megabytes."""

    def __init__(self) -> None:
        self.peaks: dict[str, dict[str, int]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            for pid in _descendants(os.getpid()):
                try:
                    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                except (OSError, UnicodeDecodeError):
                    continue
                kind = next((kind for part, kind in KINDS.items() if part in command), None)
                fields = dict(line.split(":", 1) for line in lines if ":" in line)
                if kind is None or "VmHWM" not in fields:
                    continue
                own = self.peaks.setdefault(kind, {"resident": 0, "anonymous": 0})
                for name, field in (("resident", "VmHWM"), ("anonymous", "RssAnon")):
                    own[name] = max(own[name], int(fields[field].split()[0]) // 1024)


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = [int(text) for task in Path(f"/proc/{pid}/task").iterdir() for text in _children(task)]
    except OSError:
        return
    for child in children:
        yield child
        yield from _descendants(child)


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []


@contextmanager
def service(folder: Path) -> Iterator[httpx.Client]:
    """A server and a worker on folders of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "OUTFIELDER_PORT": str(port),
        "OUTFIELDER_STATE_DIR": str(folder / "state"),
        "OUTFIELDER_MODELS_STORE": str(folder / "store"),
    }
    commands = ([sys.executable, "-m", "service.cli", "serve"], [sys.executable, "-m", "service.cli", "worker"])
    processes = [
        subprocess.Popen([*command, *extra], env=environment)
        for command, extra in zip(commands, ([], ["--jobs", "1"]), strict=True)
    ]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=3600) as http:
            while True:
                try:
                    if http.get("/readyz").status_code == httpx.codes.OK:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            yield http
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(60)


def finish(http: httpx.Client, response: httpx.Response) -> dict[str, Any]:
    """The job of an answer, when it has ended."""
    response.raise_for_status()
    job: dict[str, Any] = response.json()
    while job["status"] in ("queued", "running"):
        time.sleep(1)
        job = http.get(f"/jobs/{job['id']}").json()
    if job["status"] != "succeeded":
        sys.exit(f"the job failed: {job['error']}")
    return job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path, answer = folder / "upload.parquet", folder / "forecasts.parquet"
        minutes: dict[str, float] = {}
        started = time.monotonic()

        def lap(name: str) -> None:
            nonlocal started
            minutes[name] = (time.monotonic() - started) / 60
            started = time.monotonic()

        write_file(path, asked.series, asked.points)
        lap("writing the file")
        memory = Memory()
        with service(folder) as http:
            lap("starting")
            with path.open("rb") as file:
                response = http.post("/datasets", content=file, headers={"Content-Type": PARQUET})
            response.raise_for_status()
            dataset = response.json()
            lap("upload, reading, audit")
            data = {"kind": "dataset", "id": dataset["id"]}
            body = {"architecture": "mlp", "name": "large", "horizon": HORIZON, "epochs": asked.epochs, "data": data}
            job = finish(http, http.post("/train", json=body))
            lap("training of mlp")
            wanted = {"model": "large", "version": job["result"]["version"], "dataset": dataset["id"]}
            job = finish(http, http.post("/forecast", json={**wanted, "output": "dataset"}))
            lap("forecast of all series")
            with http.stream("GET", f"/jobs/{job['id']}/result") as response, answer.open("wb") as written:
                response.raise_for_status()
                for piece in response.iter_bytes():
                    written.write(piece)
            lap("download")
        memory.close()
        rows = pq.read_metadata(answer).num_rows
        print(f"{describe_machine()}\n")
        print(f"{asked.series:,} series of {asked.points:,} points; {dataset['n_points']:,} points were read,")
        print(f"{job['result']['n_forecasts']:,} series forecast, {rows:,} rows written.\n")
        print("| part | minutes |\n|---|---|")
        for name, value in minutes.items():
            print(f"| {name} | {value:.1f} |")
        print("\n| process | resident, MB | anonymous, MB |\n|---|---|---|")
        for name, peak in sorted(memory.peaks.items()):
            print(f"| {name} | {peak['resident']:,} | {peak['anonymous']:,} |")
        sizes = {"upload": path, "forecasts": answer}
        sizes |= {each.name: each for each in (folder / "state" / "datasets" / dataset["id"]).iterdir()}
        print("\n| file | MB |\n|---|---|")
        for name, each in sizes.items():
            print(f"| {name} | {each.stat().st_size / 1e6:,.1f} |")


if __name__ == "__main__":
    main()
