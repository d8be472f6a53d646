"""Processes of Python modules whose libraries are imported once: each is forked from one process that has them.

What runs in them is what `python -m MODULE` would run; only the imports, a second of each start, are not done again.
`python -m tests.warm_process SOCKET MODULE..` is the process that has imported the modules.
"""

import atexit
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

MOST_REQUEST_BYTES = 2**18


class WarmProcess:
    """A process as `subprocess.Popen` shows one, with pipes for its output, as text."""

    def __init__(self, pid: int, stdout: IO[str], stderr: IO[str], report: IO[bytes]) -> None:
        self.pid, self.stdout, self.stderr = pid, stdout, stderr
        self.returncode: int | None = None
        self._report = report

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What else it writes until it ends. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        said = ["", ""]

        def read(index: int, pipe: IO[str]) -> None:
            with pipe:
                said[index] = pipe.read()

        open_pipes = [(i, pipe) for i, pipe in enumerate((self.stdout, self.stderr)) if not pipe.closed]
        readers = [threading.Thread(target=read, args=each, daemon=True) for each in open_pipes]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._report], [], [], seconds)[0]:
            # Without a word only where who waits for it was killed.
            self.returncode = int(self._report.readline() or -signal.SIGKILL)
            self._report.close()
        return self.returncode


class WarmProcesses:
    """Starts processes with some modules imported. Ends with this process at the latest."""

    def __init__(self, *modules: str) -> None:
        """Args: `modules` are imported, and so is all that they import."""
        self._requests, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.warm_process", str(theirs.fileno()), *modules]
        with theirs:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        atexit.register(self.close)

    def start(self, module: str, arguments: Sequence[str], environment: dict[str, str]) -> WarmProcess:
        """Starts `python -m module` with some arguments in an environment."""
        request = json.dumps([module, list(arguments), environment]).encode()
        assert len(request) < MOST_REQUEST_BYTES
        pipes = [os.pipe() for _ in range(3)]
        ours = [read for read, _ in pipes]
        theirs = [write for _, write in pipes]
        try:
            socket.send_fds(self._requests, [len(request).to_bytes(4, "big")], theirs)
            self._requests.sendall(request)
        finally:
            for each in theirs:
                os.close(each)
        stdout, stderr = (io.TextIOWrapper(os.fdopen(each, "rb")) for each in ours[:2])
        # Without a buffer, for `select`.
        report = os.fdopen(ours[2], "rb", buffering=0)
        return WarmProcess(int(report.readline()), stdout, stderr, report)

    def close(self) -> None:
        self._requests.close()
        self._process.wait()


def _serve(requests: socket.socket) -> tuple[str, list[str], dict[str, str]]:
    """Forks a process for each request. Returns what was asked for only in such a process."""
    while True:
        head, (stdout, stderr, report), _, _ = _receive(requests)
        size = int.from_bytes(head, "big")
        body = requests.recv(size, socket.MSG_WAITALL)
        if os.fork() == 0:
            requests.close()
            pid = os.fork()
            if pid == 0:
                os.close(report)
                os.dup2(stdout, 1)
                os.dup2(stderr, 2)
                os.close(stdout)
                os.close(stderr)
                module, arguments, environment = json.loads(body)
                return module, arguments, environment
            # This one only waits, and tells how the other ended.
            os.close(stdout)
            os.close(stderr)
            os.write(report, b"%d\n" % pid)
            _, status = os.waitpid(pid, 0)
            os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        for each in (stdout, stderr, report):
            os.close(each)
        _reap(os.WNOHANG)


def _receive(requests: socket.socket) -> tuple[bytes, list[int], int, object]:
    received = socket.recv_fds(requests, 4, 3)
    if not received[0]:
        # Whoever asked has ended.
        os._exit(0)
    return received


def _reap(options: int) -> None:
    try:
        while os.waitpid(-1, options) != (0, 0):
            pass
    except ChildProcessError:
        pass


def main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        importlib.import_module(name)
    assert threading.active_count() == 1, "whoever forks has one thread"
    # What is shared stays so.
    gc.collect()
    gc.freeze()
    module, arguments, environment = _serve(requests)
    sys.argv[1:] = arguments
    os.environ.clear()
    os.environ.update(environment)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
