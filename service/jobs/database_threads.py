"""Threads that ask the job database, so that nothing blocks the event loop, and a silent server nobody for long."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from service.errors import DatabaseUnavailable
from service.jobs import database_errors
from service.jobs.database_client import JobDatabase
from service.jobs.job_reader import JobReader

Answer = TypeVar("Answer")

# Requests that ask the database at a time; others wait for a thread. Watchers have one of their own.
THREADS = 3
# What the database is given to answer: more than SQLite's writers wait for each other where disks are slow.
ANSWER_SECONDS = 20.0
# What calls in progress are given at the end.
END_SECONDS = 2.0


class DatabaseThreads:
    """The job database, asked in threads. To be used on the event loop."""

    def __init__(self, database_url: str) -> None:
        self._database = JobDatabase(database_url)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="jobs")
        self._watching = ThreadPoolExecutor(1, thread_name_prefix="watchers")
        # When it answered last, whatever it was.
        self._answered = 0.0

    async def ask(self, call: Callable[[JobDatabase], Answer], patience_seconds: float | None) -> Answer:
        """What a blocking call says of the job database, made in a thread.

        One that a silent server keeps is left to itself.

        Args: `patience_seconds` is for how long the database may answer nobody; None for ever.

        Raises:
            DatabaseUnavailable, and what the call raises.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()

        def ask() -> Answer:
            try:
                return self._database.ask(call)
            finally:
                self._answered = loop.time()

        answer = loop.run_in_executor(self._threads, ask)
        try:
            while not (await asyncio.wait([answer], timeout=patience_seconds))[0]:
                # Where many ask at once, those at the end of the line wait for long though each is answered soon.
                if patience_seconds is not None and loop.time() - max(asked, self._answered) >= patience_seconds:
                    raise DatabaseUnavailable(database_errors.SILENT)
            return answer.result()
        finally:
            # Where nobody waits for it any more, it need not begin.
            answer.cancel()

    async def ask_for_watchers(self, call: Callable[[JobReader], Any]) -> Any:
        """What a blocking call reads of jobs, made in the thread of the watchers."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._watching, self._database.ask, lambda database: call(database.reader))

    async def close(self) -> None:
        # A connection that is in use can't be closed; one that a silent server keeps is not waited for.
        ending = threading.Thread(target=self._end, name="jobs-end", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, END_SECONDS)
        await asyncio.to_thread(self._database.close)

    def _end(self) -> None:
        for threads in (self._threads, self._watching):
            threads.shutdown(cancel_futures=True)
