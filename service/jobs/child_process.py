"""Processes that do a job's work for its worker, and can be killed at once."""

import contextlib
import subprocess
from typing import Any


def kill(process: "subprocess.Popen[Any]") -> None:
    """Kills a process that has nothing to lose, and closes the pipes to it."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # What was still to be written to it is nobody's any more.
            with contextlib.suppress(OSError):
                pipe.close()
