"""One series' latency while a job trains on the same machine: API and worker as `outfielder up` runs them."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.serving.bench import Bench
from benchmarks.serving.load import Result
from benchmarks.serving.models import make_models
from benchmarks.serving.servers import ROOT, Server

# Each row's jobs run at once: by default a machine's worker takes two.
JOBS = (("lstm",), ("wavenet",), ("flagship",), ("lstm", "flagship"))
SECONDS = 5.0
ROUNDS = 3


def print_beside() -> None:
    """Asks for the LSTM's forecasts over one connection, idle and beside each job, in turns."""
    print("\n### One series, one connection, LSTM, while jobs train on the same cores\n")
    heads = "jobs | idle: p50 ms | p99 ms | beside it: p50 ms | p99 ms | p99 ratio | requests/s"
    print(f"| {heads} |\n|{'---|' * 7}")
    with tempfile.TemporaryDirectory(prefix="bench-training-") as scratch, ExitStack() as stack:
        store = Path(scratch, "store")
        store.mkdir()
        make_models(store)
        bench = Bench(store, Path(scratch), seconds=SECONDS, rounds=ROUNDS, processes=1)
        server = bench.start(stack, "outfielder")
        stack.enter_context(_worker(server))
        body = bench.bodies(server, "lstm", 1)
        bench.load(server, body, 1, 1)
        for jobs in JOBS:
            idle: list[Result] = []
            beside: list[Result] = []
            for _ in range(ROUNDS):
                idle.append(bench.load(server, body, 1))
                ids = [_submit(server, job) for job in jobs]
                for job_id in ids:
                    _wait_for(server, job_id, lambda found: bool(found["progress"] and found["progress"]["epoch"]))
                beside.append(bench.load(server, body, 1))
                for job_id in ids:
                    server.post(b"", f"/jobs/{job_id}/cancel")
                    _wait_for(server, job_id, lambda found: found["status"] == "cancelled")
                # The run ends within a few batches of being told.
                time.sleep(2)
            p50, p99 = (
                [statistics.median(getattr(r, name) for r in rs) for rs in (idle, beside)] for name in ("p50", "p99")
            )
            print(
                f"| {' and '.join(jobs)} | {p50[0]:.2f} | {p99[0]:.2f} | {p50[1]:.2f} | {p99[1]:.2f} "
                f"| {p99[1] / p99[0]:.1f} | {statistics.median(r.per_second for r in beside):,.0f} |",
                flush=True,
            )


@contextmanager
def _worker(server: Server) -> Iterator[None]:
    """A worker beside the server, on its store and state."""
    lines = Path(f"/proc/{server.processes()[0]}/environ").read_bytes().decode().split("\0")
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "worker"],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _submit(server: Server, job: str) -> str:
    request = {"architecture": job, "name": f"beside-{job}", "epochs": 5000}
    return str(json.loads(server.post(json.dumps(request).encode(), "/train"))["id"])


def _wait_for(server: Server, job_id: str, is_there: Any) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/jobs/{job_id}", timeout=10) as answer:
            found = json.loads(answer.read())
        if is_there(found):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the job did not come so far: {found}")
