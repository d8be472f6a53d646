"""A worker as the service runs one: its jobs are performed by a process of its own, by tests/performing_process.py."""

import os
import signal
import sys
import threading
from pathlib import Path

from service.jobs.runner import run_jobs
from service.performer import Performer


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    performer = Performer(
        [sys.executable, "-m", "tests.performing_process"], memory_bytes=2**33, max_seconds=1000, grace_seconds=1.0
    )
    run_jobs(
        sys.argv[1], Path(sys.argv[2]), performer.perform, stop=stop, on_started=lambda: print("started", flush=True)
    )
    performer.close()
    os._exit(0)


if __name__ == "__main__":
    main()
