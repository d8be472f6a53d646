"""Processes that do a job's work for its worker, and can be killed at once."""

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

# Between a kill by the kernel and the moment when it is noticed that the process is gone.
LATELY_SECONDS = 2.0


def kill(process: "subprocess.Popen[Any]") -> None:
    """Kills a process that has nothing to lose, and closes the pipes to it."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # What was still to be written to it is nobody's any more.
            with contextlib.suppress(OSError):
                pipe.close()


class MemoryKills:
    """Tells whether a process that was killed was killed by the kernel because memory ran out.

    Linux counts such kills, of the whole machine and of control groups such as containers alike, in /proc/vmstat.
    """

    def __init__(self, counters: Path = Path("/proc/vmstat"), lately_seconds: float = LATELY_SECONDS) -> None:
        self._counters = counters
        self._lately_seconds = lately_seconds
        # When it was looked, and how many there were: the last look that is long enough ago, and one since.
        self._before = self._since = (time.monotonic(), self._count())

    def look(self) -> None:
        """Call it from time to time while the process runs, so that earlier kills don't count."""
        now = time.monotonic()
        if now - self._since[0] >= self._lately_seconds:
            self._before, self._since = self._since, (now, self._count())

    def explains(self, status: int | None) -> bool:
        """Args: `status` is that of the process, as `Popen.wait` gives it."""
        return status == -signal.SIGKILL and self._count() > self._before[1]

    def _count(self) -> int:
        try:
            words = self._counters.read_text().split()
            return int(words[words.index("oom_kill") + 1])
        except (OSError, ValueError):
            # Not on this system.
            return 0
