"""The process that performs jobs: what runs in it. The other side, and what both say: `service.job_supervisor`."""

import gc
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.errors import ServiceError, TooMuchMemory
from service.jobs.job import Progress
from service.jobs.job_run import JobStopped

logger = logging.getLogger(__name__)

ALIVE_SECONDS = 1.0
CONFIRM_LOOK_SECONDS = 0.05
# Libraries log for developers; jobs are told what the service has to say.
OURS = "service"
# Linux kills the process with the highest first when memory runs out.
OOM_SCORE = 1000


class TaskRun:
    """One run of a job, as the function sees it that performs it in this process."""

    def __init__(
        self,
        job_id: str,
        attempt: int,
        tell: Callable[[dict[str, Any]], None],
        stop: threading.Event,
        confirmed: threading.Event,
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self._tell = tell
        self._stop = stop
        self._confirmed = confirmed
        self._told = time.monotonic()

    def report(self, progress: Progress) -> None:
        """Tells watchers how far the job has come. Raises JobStopped."""
        self.raise_if_stopped()
        self._tell({"progress": progress.to_dict()})

    def raise_if_stopped(self) -> None:
        """Raises JobStopped when the job is to end. Costs next to nothing."""
        if self._stop.is_set():
            raise JobStopped(self.job_id)
        now = time.monotonic()
        if now - self._told >= ALIVE_SECONDS:
            self._told = now
            self._tell({"alive": True})

    def confirm(self) -> None:
        """Waits until the database says that this run still owns the job. To be called right before publishing.

        Raises JobStopped: the job was cancelled, or another worker took it over while this one was away.
        """
        self.raise_if_stopped()
        self._confirmed.clear()
        self._tell({"confirm": True})
        while not self._confirmed.wait(CONFIRM_LOOK_SECONDS):
            self.raise_if_stopped()


def serve_tasks(load: Callable[[], Callable[[dict[str, Any], TaskRun], dict[str, Any]]]) -> None:
    """Performs the tasks that come on standard input, until it ends. Call it before anything is written to output.

    Args:
        load: loads what is needed and returns what performs a task: it takes it with its run and returns the result.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # Whatever a library prints must not be taken for an answer.
    os.dup2(2, 1)
    volunteer()
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stop, confirmed = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(tasks, stop, confirmed), name="tasks", daemon=True).start()

    telling = threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        # Threads log too.
        with telling:
            print(json.dumps(message), file=answers, flush=True)

    perform = load()
    # Keras collects garbage before each fit: among the million objects of the libraries there is none.
    gc.collect()
    gc.freeze()
    tell({"ready": True})
    while True:
        asked = tasks.get()
        run = TaskRun(asked["job_id"], asked["attempt"], tell, stop, confirmed)
        telling_log = LogTeller(tell)
        logging.getLogger(OURS).addHandler(telling_log)
        try:
            tell({"result": perform(asked["task"], run)})
        except JobStopped:
            tell({"stopped": True})
        except ServiceError as error:
            tell({"failure": {"code": error.code, "name": type(error).__name__, "message": error.message}})
        except Exception as error:  # a job that fails, for whatever reason, must not end the process
            logger.exception("job %s failed", run.job_id)
            tell({"failure": _describe(error)})
        finally:
            logging.getLogger(OURS).removeHandler(telling_log)
            stop.clear()


class LogTeller(logging.Handler):
    """Tells the worker what this process logs while it performs a job: messages, and no traceback."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(logging.INFO)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._tell({"log": {"level": record.levelname, "text": record.getMessage()}})
        except (OSError, ValueError):
            # The worker is gone.
            self.handleError(record)


def volunteer() -> None:
    """Asks the kernel to end this process first when memory runs out: what it does can be done again."""
    try:
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    except OSError:
        logger.debug("the kernel can't be told whom to end first")


def _listen(tasks: "queue.SimpleQueue[dict[str, Any]]", stop: threading.Event, confirmed: threading.Event) -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "stop" in message:
            stop.set()
        elif "confirmed" in message:
            confirmed.set()
        else:
            # What was meant for the job before is no longer.
            stop.clear()
            tasks.put(message)
    # The worker is gone, and with it whoever wants an answer.
    os._exit(0)


def _describe(error: Exception) -> dict[str, str | None]:
    text = f"{type(error).__name__}: {error}".lower()
    if isinstance(error, MemoryError) or "resource_exhausted" in text or "out of memory" in text:
        message = (
            "The job took all memory that it could get. Ask for fewer or shorter series, fewer units or layers, or a "
            "smaller batch_size or window."
        )
        return {"code": TooMuchMemory.code, "name": TooMuchMemory.__name__, "message": message}
    return {"code": None, "name": None, "message": None}
