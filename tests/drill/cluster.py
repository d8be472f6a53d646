"""Hosts with an API and a worker each, as real processes, over one database and one store; dead ones come back."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from outfielder_client import Client, Retry
from service.supervisor import leash
from tests.drill.processes import find_tree, name_role, send
from tests.end_to_end.processes import free_port

LOOK_SECONDS = 0.2
END_SECONDS = 30.0
# Of a server that is killed again and again.
PATIENT = Retry(attempts=60, first_pause_seconds=0.25, longest_pause_seconds=1.0)


class Host:
    """A machine, as far as the service can see: a state folder of its own, an API and a worker.

    A command that ends is started again, as by systemd, until the host is switched off.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], commands: tuple[tuple[str, ...], ...]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OUTFIELDER_", "XLA_"))},
            "OUTFIELDER_PORT": str(self.port),
            "OUTFIELDER_STATE_DIR": str(folder / "state"),
            "OUTFIELDER_JOBS": "1",
            "OUTFIELDER_STARTER_MODELS": "none",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **settings,
        }
        self._commands = commands
        self._running: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}
        self._changing = threading.Lock()
        self._is_on = False
        self._watching: threading.Thread | None = None

    def switch_on(self) -> "Host":
        self._is_on = True
        self._look()
        self._watching = threading.Thread(target=self._watch, name="init", daemon=True)
        self._watching.start()
        return self

    def switch_off(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends all processes, for good: at once, as a power cut does, or with SIGTERM in good order."""
        with self._changing:
            self._is_on = False
            running = list(self._running.values())
            trees = {process: find_tree(process.pid) for process in running}
            if number == signal.SIGKILL:
                send([process for tree in trees.values() for process in tree], number)
            for process in running:
                process.send_signal(number)
            for process, tree in trees.items():
                try:
                    process.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    send(tree, signal.SIGKILL)
                    process.wait()
            self._running.clear()

    def find_processes(self, role: str | None = None) -> list[int]:
        """The processes of the service, or those of a role."""
        with self._changing:
            roots = [process.pid for process in self._running.values()]
        found = [process for root in roots for process in find_tree(root)]
        return [process for process in found if (name_role(process) == role if role else name_role(process))]

    def client(self, **options: Any) -> Client:
        return Client(self.url, retry=options.pop("retry", PATIENT), **options)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command of the service to its end."""
        return subprocess.run(
            [sys.executable, "-m", "service.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def logs(self) -> str:
        return "\n".join(f"== {path}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))

    def _watch(self) -> None:
        while self._is_on:
            self._look()
            time.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        with self._changing:
            for command in self._commands if self._is_on else ():
                process = self._running.get(command)
                if process is None or process.poll() is not None:
                    self._running[command] = self._start(command)

    def _start(self, command: tuple[str, ...]) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            # Whatever ends the drill ends what it has started.
            return subprocess.Popen(
                leash([sys.executable, "-m", "service.cli", *command]),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


class Cluster:
    """Hosts that share a database and a store; switches them off at the end."""

    def __init__(self, folder: Path, *, database_url: str | None = None, store: str | None = None, **settings: str):
        """Args: without a database and a store it is one machine with the embedded ones."""
        self.folder = folder
        self.settings = {
            "OUTFIELDER_MODELS_STORE": store or str(folder / "models_store"),
            **({} if database_url is None else {"OUTFIELDER_DATABASE_URL": database_url}),
            **settings,
        }
        self.hosts: list[Host] = []

    def add_host(self, *commands: tuple[str, ...], **settings: str) -> Host:
        """Adds a host that runs `outfielder` with these arguments; an API and a worker by default."""
        host = Host(
            self.folder / f"host-{len(self.hosts)}",
            {**self.settings, **settings},
            commands or (("serve",), ("worker",)),
        )
        self.hosts.append(host)
        return host

    def close(self) -> None:
        for host in self.hosts:
            host.switch_off()


def wait_for(condition: Callable[[], Any], what: str, seconds: float, host: Host | None = None) -> Any:
    """Waits for a condition to hold, and gives what it gave. A server that doesn't answer holds nothing."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := condition():
                return found
        except (httpx.TransportError, json.JSONDecodeError):
            pass
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{'' if host is None else host.logs()}")
        time.sleep(0.1)
