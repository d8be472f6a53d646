"""`make fuzz`: a quarter of an hour of requests that nobody would send, while somebody else's must be answered.

First Schemathesis asks every route of a running API for what its schema allows and for what it does not, while a good
caller asks for forecasts and measures how long each takes. Then the readers of JSON, files, times and names are tried
with many more examples than in the test suite, and the attacks of `tests/abuse` are run. Prints a table, and fails on a
5xx but 503, an answer that its schema does not describe, a forecast that had to wait too long, and too much memory.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
# The readers of what clients send.
READERS = (
    "tests/api/test_bad_input.py",
    "tests/api/test_json_series.py",
    "tests/datasets",
    "tests/domain/test_frequency.py",
    "tests/domain/test_timestamps.py",
    "tests/domain/test_calendar.py",
    "tests/domain/test_time_zones.py",
    "tests/domain/test_series.py",
)
STARTER = {"architecture": "ridge", "name": "ridge", "horizon": 6, "season": 12}
LONGEST_STALL_SECONDS = 0.2
MOST_MB = 700
START_SECONDS = 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=900, help="how long to ask the API; the rest takes what it takes"
    )
    parser.add_argument("--schemathesis", default=".venv-fuzz/bin/schemathesis", help="the command")
    parser.add_argument("--seed", type=int, default=None, help="repeats the requests of a run that printed it")
    parser.add_argument("--only", choices=("api", "readers", "abuse"), help="one part alone")
    arguments = parser.parse_args()
    parts = (arguments.only,) if arguments.only else ("api", "readers", "abuse")
    rows: list[tuple[str, str, bool]] = []
    if "api" in parts:
        rows += ask_api(arguments.schemathesis, arguments.seconds, arguments.seed)
    if "readers" in parts:
        rows.append(run_tests("readers, many examples", READERS, "--hypothesis-profile=fuzz", "--timeout=3600"))
    if "abuse" in parts:
        rows.append(run_tests("attacks", ("tests/abuse",)))
    print("\n| what | found | |\n|---|---|---|")
    for what, found, is_good in rows:
        print(f"| {what} | {found} | {'as it should be' if is_good else '**wrong**'} |")
    return 0 if all(is_good for _, _, is_good in rows) else 1


def ask_api(schemathesis: str, seconds: int, seed: int | None) -> list[tuple[str, str, bool]]:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (url, process):
        command = [
            *(schemathesis, f"--config-file={CONFIG}", "run", f"{url}/openapi.json"),
            *("--phases=examples,coverage,fuzzing", f"--max-time={seconds}", "--continue-on-failure"),
            *("--request-timeout=30", "--warnings=off", "--no-color"),
            # Job events end with their job, and these jobs have no worker.
            "--exclude-path-regex=/events$",
            *([] if seed is None else [f"--seed={seed}"]),
        ]
        with caller(url) as waited:
            # In the folder, where it leaves what it remembers.
            done = subprocess.run(
                [str((ROOT / command[0]).resolve()), *command[1:]],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
        peak_mb = read_peak_mb(process.pid)
        is_alive = process.poll() is None
    print(done.stdout[-20_000:], done.stderr[-2000:], flush=True)
    summary = re.search(r"(\d+) generated(?:, (\d+) found)?", done.stdout)
    n_requests, n_found = (int(summary[1]), int(summary[2] or 0)) if summary else (0, -1)
    waited.sort()
    longest = waited[-1] if waited else 0.0
    return [
        ("requests by schema, and against it", f"{n_requests} sent, {n_found} answered wrongly", n_found == 0),
        ("exit status of Schemathesis", str(done.returncode), done.returncode == 0),
        (
            f"a good caller's {len(waited)} forecasts meanwhile",
            f"p50 {1000 * waited[len(waited) // 2]:.1f}, p99 {1000 * waited[int(0.99 * len(waited))]:.1f}, "
            f"longest {1000 * longest:.0f} ms",
            longest < LONGEST_STALL_SECONDS,
        ),
        ("memory of the API at most", f"{peak_mb} MB", peak_mb < MOST_MB),
        ("the API at the end", "running" if is_alive else "ended", is_alive),
    ]


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An API over a store with one trained model and no worker: jobs wait until they are too many."""
    environment = {
        **os.environ,
        "OUTFIELDER_MODELS_STORE": str(folder / "store"),
        "OUTFIELDER_STATE_DIR": str(folder / "state"),
        "OUTFIELDER_STARTER_MODELS": "none",
        "OUTFIELDER_PORT": "0",
        "OUTFIELDER_QUEUE_LIMIT": "200",
        "OUTFIELDER_JOBS": "1",
    }
    log = (folder / "log").open("wb")
    command = [sys.executable, "-m", "service.cli"]
    api = subprocess.Popen([*command, "serve"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        url = wait_for_url(folder / "log")
        worker = subprocess.Popen([*command, "worker"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            train(url)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
        yield url, api
    finally:
        api.send_signal(signal.SIGTERM)
        api.wait(60)
        log.close()


def wait_for_url(log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(encoding="utf-8"))
        if found is not None:
            return found[0]
        time.sleep(0.1)
    raise TimeoutError("the API did not start: " + log.read_text(encoding="utf-8")[-2000:])


def train(url: str) -> None:
    series = [10.0 + 0.1 * i + (i % 12) * (1 + 0.01 * i) for i in range(120)]
    job = post(url, "/train", {**STARTER, "data": {"kind": "series", "freq": "MS", "series": [series]}})
    deadline = time.monotonic() + 300
    while job["status"] != "succeeded":
        if job["status"] in ("failed", "cancelled") or time.monotonic() > deadline:
            raise RuntimeError(f"the model was not trained: {job}")
        time.sleep(0.5)
        with urllib.request.urlopen(f"{url}/jobs/{job['id']}", timeout=30) as answer:
            job = json.load(answer)
    post(url, "/forecast", {"model": "ridge", "series": series})


def post(url: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url + path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@contextmanager
def caller(url: str) -> Iterator[list[float]]:
    """Asks for a forecast again and again; gives the seconds of each, longest where one failed."""
    waited: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        series = [float(i % 12) for i in range(60)]
        while not stop.wait(0.01):
            started = time.perf_counter()
            try:
                # Names no model: what is the default, or trained, may be changed by others.
                post(url, "/forecast", {"series": series})
            except urllib.error.HTTPError as error:
                # The model may have been deleted, or the queue be full; that is said at once, too.
                if error.code not in (404, 409, 422, 429):
                    waited.append(60.0)
            waited.append(time.perf_counter() - started)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield waited
    finally:
        stop.set()
        thread.join()


def read_peak_mb(pid: int) -> int:
    """The most memory that a process has had; 0 where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8")) if status.exists() else None
    return int(found[1]) // 1024 if found else 0


def run_tests(what: str, paths: tuple[str, ...], *options: str) -> tuple[str, str, bool]:
    present = [path for path in paths if (ROOT / path).exists()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=", *present, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.strip().splitlines()[-1].strip("= ") if done.stdout.strip() else done.stderr[-200:]
    if done.returncode:
        print(done.stdout[-20_000:], flush=True)
    return what, last, done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
