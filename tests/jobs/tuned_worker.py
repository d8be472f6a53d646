"""A worker that waits less than a real one, and on whose clock nobody can rely."""

import os
import time

from service.jobs import leases, runner

YEAR_SECONDS = 365 * 86_400


def tune() -> None:
    runner.POLL_SECONDS = 0.1
    leases.LEASE_SECONDS = float(os.environ["LEASE_SECONDS"])
    leases.BEAT_SECONDS = leases.LEASE_SECONDS / 6
    leases.WATCH_SECONDS = 2.4 * leases.BEAT_SECONDS
    if shift := float(os.environ["CLOCK_YEARS"]) * YEAR_SECONDS:
        now, now_ns = time.time, time.time_ns
        time.time = lambda: now() + shift
        time.time_ns = lambda: now_ns() + int(shift * 1e9)
