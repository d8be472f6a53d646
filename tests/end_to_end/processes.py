"""The real thing: API and worker as processes of their own, on a fresh store, a fresh state folder and a free port."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

PATIENCE_SECONDS = 120.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Processes:
    """Starts commands of `outfielder` with their own store and state, and ends those that are left."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.store = folder / "models_store"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            # Without what tests set for themselves: programs are compiled as a user's are.
            **{name: value for name, value in os.environ.items() if not name.startswith(("OUTFIELDER_", "XLA_"))},
            "OUTFIELDER_PORT": str(self.port),
            "OUTFIELDER_MODELS_STORE": str(self.store),
            "OUTFIELDER_STATE_DIR": str(folder / "state"),
            # By default there are two: one takes less of the machine that tests share.
            "OUTFIELDER_JOBS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **settings,
        }
        self.client = httpx.Client(base_url=self.url, timeout=60.0)
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Starts `outfielder ARGUMENTS`; its output goes to a file in the folder."""
        with (self.folder / f"{'-'.join(arguments)}-{len(self._started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", *arguments],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self._started.append(process)
        return process

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-4000:]}" for path in sorted(self.folder.glob("*.log")))

    def wait_until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Waits for a condition to hold, and gives what it gave."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if result := condition():
                    return result
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.logs()}"
            time.sleep(0.1)

    def wait_until_ready(self) -> None:
        self.wait_until(lambda: self.client.get("/readyz").status_code == 200, "ready")

    def train(self, **request: Any) -> dict[str, Any]:
        """Submits a job and returns it."""
        response = self.client.post("/train", json=request)
        assert response.status_code == 202, response.text
        job: dict[str, Any] = response.json()
        assert response.headers["Location"] == f"/jobs/{job['id']}"
        return job

    def cancel(self, job_id: str) -> None:
        """Cancels a job, as soon as the database takes it: where disks are slow it may be locked for seconds."""

        def is_cancelled() -> bool:
            response = self.client.post(f"/jobs/{job_id}/cancel")
            assert response.status_code in (202, 503), response.text
            return response.status_code == 202

        self.wait_until(is_cancelled, f"job {job_id} cancelled")

    def job(self, job_id: str) -> dict[str, Any]:
        response = self.client.get(f"/jobs/{job_id}")
        assert response.status_code == 200, response.text
        job: dict[str, Any] = response.json()
        return job

    def wait_for_job(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """Waits for a job to have one of the statuses, `succeeded` where none is named."""
        wanted = statuses or ("succeeded",)

        def reached() -> dict[str, Any] | None:
            job = self.job(job_id)
            ended = job["status"] in ("succeeded", "failed", "cancelled")
            assert job["status"] in wanted or not ended, f"{job}\n{self.logs()}"
            return job if job["status"] in wanted else None

        found: dict[str, Any] = self.wait_until(reached, f"job {job_id} {wanted}")
        return found

    def close(self) -> None:
        self.client.close()
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._started:
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
