"""A worker as the service runs one: its jobs are performed by a process of its own, by tests/job_process.py."""

import os
import signal
import sys
import threading
from pathlib import Path

from service.job_supervisor import JobSupervisor
from service.jobs.runner import run_jobs
from tests.jobs.tuned_worker import tune


def main() -> None:
    stop = threading.Event()
    tune()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    supervisor = JobSupervisor(
        [sys.executable, "-m", "tests.job_process"], memory_bytes=2**33, max_seconds=1000, grace_seconds=1.0
    )
    run_jobs(
        sys.argv[1], Path(sys.argv[2]), supervisor.perform, stop=stop, on_started=lambda: print("started", flush=True)
    )
    supervisor.close()
    os._exit(0)


if __name__ == "__main__":
    main()
