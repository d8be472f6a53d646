"""Load generators as processes: wrk or `benchmarks.serving.load`. Each ends by itself after its time."""

import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.serving.load import Load, Result

WRK_SCRIPT = Path(__file__).with_name("wrk.lua")


def run_wrk(load: Load) -> Result:
    """Asks with wrk, which costs less than any client in Python and so leaves the servers more of two cores."""
    command = [
        *("wrk", "--threads=1", f"--connections={load.connections}", f"--duration={math.ceil(load.seconds)}s"),
        *("--timeout=30s", "--latency", f"--script={WRK_SCRIPT}", f"http://127.0.0.1:{load.port}"),
        *("--", load.path, load.bodies, *(part for header in load.headers.items() for part in header)),
    ]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    found = json.loads(output.splitlines()[-1])
    failures = {name: found[name] for name in ("bad", "lost") if found[name]}
    figures = {name: found[name] for name in ("requests", "seconds", "p50", "p99", "longest")}
    return Result(**figures, failures=failures, cpu_seconds=0.0)


def begin(load: Load) -> "subprocess.Popen[bytes]":
    """Starts a load in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.serving.load", json.dumps(asdict(load))]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def finish(process: "subprocess.Popen[bytes]") -> Result:
    """Waits for a load's end."""
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError("the load generator failed")
    return Result(**json.loads(output))
