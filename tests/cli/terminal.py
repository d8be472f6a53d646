"""A command in a terminal of its own, as a person sees it."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

TIMEOUT_SECONDS = 120


def run_in_terminal(
    arguments: list[str],
    environment: dict[str, str],
    columns: int = 80,
    rows: int = 40,
    interrupt_at: str | None = None,
) -> tuple[int, str]:
    """The exit status, and all that the terminal got, in the order in which it came.

    Args: `interrupt_at` is the text at which somebody presses Ctrl-C.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", *arguments],
        env={**_without_size(environment), "TERM": environment.get("TERM", "xterm-256color"), "PYTHONUTF8": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    )
    os.close(theirs)
    shown = bytearray()
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            # So Linux says that the last writer has gone.
            break
        if not piece:
            break
        shown += piece
        if interrupt_at is not None and interrupt_at in shown.decode(errors="replace"):
            process.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(ours)
    return process.wait(timeout=TIMEOUT_SECONDS), shown.decode().replace("\r\n", "\n")


def _without_size(environment: dict[str, str]) -> dict[str, str]:
    """What says how large another terminal is would be believed."""
    return {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
