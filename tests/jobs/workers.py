"""Real worker processes over a real database file, and what tests ask of their queue."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.jobs.job import Job
from service.jobs.leases import LEASE_SECONDS
from service.jobs.queue import JobQueue
from service.jobs.stray_jobs import LOOK_SECONDS
from tests.warm_process import WarmProcess, WarmProcesses

REQUEST = {"architecture": "lstm"}


def on(*urls: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("workers", urls, indirect=True)


def seldom(url: str) -> Any:
    return pytest.param(url, marks=pytest.mark.exhaustive)


on_both = on("sqlite", "postgres")
# Of tests that wait long, each is in `make test` on one of the two.
on_sqlite = on("sqlite", seldom("postgres"))
on_postgres = on(seldom("sqlite"), "postgres")


def task(**fields: Any) -> dict[str, Any]:
    return {"kind": "train", "model": "demo", "epochs": 3, "seconds": 0.05, **fields}


@cache
def warm_processes() -> WarmProcesses:
    """What all workers of these tests import, imported once."""
    return WarmProcesses("service.jobs.runner", "service.job_supervisor")


class Workers:
    """Starts worker processes on one state folder and ends those that are left."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        """Args: `url` is the database's; None makes an SQLite file in the folder."""
        self.folder = folder
        self.url = f"sqlite:///{folder / 'jobs.sqlite'}" if url is None else url
        self.started: list[WarmProcess] = []

    def start(
        self,
        *,
        wait: bool = True,
        module: str = "worker_process",
        look_seconds: float = LOOK_SECONDS,
        host: str = "",
        clock_years: float = 0,
        lease_seconds: float = LEASE_SECONDS,
    ) -> WarmProcess:
        """Starts a worker and waits until it takes jobs.

        Args:
            look_seconds: passes between looks for jobs with nobody at them; short, busy ones seem to be such.
            host: has a state folder of its own.
            clock_years: by how much the host's clock is wrong.
            lease_seconds: after so long without a word a worker counts as gone.
        """
        state_dir = self.folder / host
        state_dir.mkdir(exist_ok=True)
        process = warm_processes().start(
            f"tests.jobs.{module}",
            [self.url, str(state_dir), str(look_seconds)],
            {**os.environ, "CLOCK_YEARS": str(clock_years), "LEASE_SECONDS": str(lease_seconds)},
        )
        self.started.append(process)
        if wait:
            assert process.stdout.readline() == "started\n"
        return process

    def runs(self) -> list[str]:
        files = [*self.folder.glob("runs.txt"), *self.folder.glob("*/runs.txt")]
        return [line for path in files for line in path.read_text().splitlines()]

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()


@asynccontextmanager
async def open_queue(workers: Workers, limit: int = 100, **options: Any) -> AsyncIterator[JobQueue]:
    queue = JobQueue(workers.url, limit=limit, **options)
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


async def until(queue: JobQueue, job_id: str, condition: Callable[[Job], bool], seconds: float = 120.0) -> Job:
    deadline = time.monotonic() + seconds
    while not condition(job := await queue.get(job_id)):
        assert time.monotonic() < deadline, f"still {job}"
        await asyncio.sleep(0.05)
    return job


def ended(job: Job) -> bool:
    return job.is_ended


def training(job: Job) -> bool:
    return job.status == "running" and job.progress is not None


def run_async(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())
