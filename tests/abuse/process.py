"""A real server in a process of its own, whose memory is limited and watched, beside a good caller."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx

MEGABYTE = 2**20
# What the kernel refuses to give: far above what is allowed, for address space is more than memory.
ADDRESS_SPACE_BYTES = 8 * 2**30
LIKE_A_GOOD_CALLER = {"model": "lstm", "series": [1, 2, 3, 4]}


@dataclass
class Server:
    """A server process."""

    url: str
    pid: int
    log: Path
    peak_bytes: int = 0

    def memory(self) -> int:
        """The resident set, in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def cpu_seconds(self) -> float:
        """What all its threads have computed: that is the same however busy the machine is."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_for_memory(self, n_bytes: int, seconds: float = 60.0) -> int:
        """Waits for the resident set to be small again, and gives it."""
        deadline = time.monotonic() + seconds
        while self.memory() > n_bytes and time.monotonic() < deadline:
            time.sleep(0.5)
        return self.memory()


@dataclass
class Caller:
    """Asks for a small forecast again and again, and keeps how long the server computed before each answer came."""

    url: str
    server: Server
    seconds: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Caller":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=60) as http:
            # At least once: what is refused at once leaves no time for more.
            while not self._stopped.wait(0.02) or not self.statuses:
                begun = self.server.cpu_seconds()
                try:
                    self.statuses.add(http.post("/forecast", json=LIKE_A_GOOD_CALLER).status_code)
                except httpx.TransportError:
                    self.statuses.add(0)
                self.seconds.append(self.server.cpu_seconds() - begun)
                self.server.peak_bytes = max(self.server.peak_bytes, self.server.memory())


@contextmanager
def serving(store: Path, folder: Path, **settings: str) -> Iterator[Server]:
    """Serves a store in a process that can't take all of the machine's memory; ends it afterwards."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    log = folder / "serve.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OUTFIELDER_")},
        "OUTFIELDER_PORT": str(port),
        "OUTFIELDER_MODELS_STORE": str(store),
        "OUTFIELDER_STATE_DIR": str(folder / "state"),
        "OUTFIELDER_PRELOAD": "lstm",
        **settings,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES)),
        )
    server = Server(f"http://127.0.0.1:{port}", process.pid, log)
    try:
        deadline = time.monotonic() + 120
        with httpx.Client(base_url=server.url) as http:
            while True:
                assert process.poll() is None, log.read_text()[-4000:]
                assert time.monotonic() < deadline, log.read_text()[-4000:]
                try:
                    if http.get("/readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
        yield server
        assert process.poll() is None, f"the server died\n{log.read_text()[-4000:]}"
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
