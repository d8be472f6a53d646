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
from service.jobs.run_errors import JobStopped

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
        place: dict[str, str],
        attempt: int,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        """Args: `place` is what each message of the run bears: `job_id` and `run`."""
        self.job_id = place["job_id"]
        self.attempt = attempt
        self.place = place
        self._tell_all = tell
        self._stop = threading.Event()
        self._confirmed = threading.Event()
        self._told = time.monotonic()

    def tell(self, message: dict[str, Any]) -> None:
        self._tell_all({**message, **self.place})

    def hear(self, message: dict[str, Any]) -> None:
        """Takes what the worker says of this run."""
        if "stop" in message:
            self._stop.set()
        elif "confirmed" in message:
            self._confirmed.set()

    def report(self, progress: Progress) -> None:
        """Tells watchers how far the job has come. Raises JobStopped."""
        self.raise_if_stopped()
        self.tell({"progress": progress.to_dict()})

    def raise_if_stopped(self) -> None:
        """Raises JobStopped when the job is to end. Costs next to nothing."""
        if self._stop.is_set():
            raise JobStopped(self.job_id)
        now = time.monotonic()
        if now - self._told >= ALIVE_SECONDS:
            self._told = now
            self.tell({"alive": True})

    def confirm(self) -> None:
        """Waits until the database says that this run still owns the job. To be called right before publishing.

        Raises JobStopped: the job was cancelled, or another worker took it over while this one was away.
        """
        self.raise_if_stopped()
        self._confirmed.clear()
        self.tell({"confirm": True})
        while not self._confirmed.wait(CONFIRM_LOOK_SECONDS):
            self.raise_if_stopped()


_Tasks = queue.SimpleQueue[tuple[dict[str, Any], TaskRun]]


def serve_tasks(load: Callable[[], Callable[[dict[str, Any], TaskRun], dict[str, Any]]]) -> None:
    """Performs the tasks that come on standard input, until it ends. Call it before anything is written to output.

    Args:
        load: loads what is needed and returns what performs a task: it takes it with its run and returns the result.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # Whatever a library prints must not be taken for an answer.
    os.dup2(2, 1)
    volunteer()
    tasks: _Tasks = queue.SimpleQueue()
    telling = threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        # Threads log too.
        with telling:
            print(json.dumps(message), file=answers, flush=True)

    threading.Thread(target=_listen, args=(tasks, tell), name="tasks", daemon=True).start()
    perform = load()
    # Among the million objects of the libraries there is no garbage to look for.
    gc.collect()
    gc.freeze()
    tell({"ready": True})
    while True:
        task, run = tasks.get()
        telling_log = LogTeller(run.tell)
        logging.getLogger(OURS).addHandler(telling_log)
        try:
            run.tell({"result": perform(task, run)})
        except JobStopped:
            run.tell({"stopped": True})
        except ServiceError as error:
            run.tell({"failure": {"code": error.code, "name": type(error).__name__, "message": error.message}})
        except Exception as error:  # a job that fails, for whatever reason, must not end the process
            logger.exception("job %s failed", run.job_id)
            run.tell({"failure": _describe(error)})
        finally:
            logging.getLogger(OURS).removeHandler(telling_log)
            # Networks refer to themselves: those of a job go before the next one takes memory.
            gc.collect()


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


def _listen(tasks: _Tasks, tell: Callable[[dict[str, Any]], None]) -> None:
    run: TaskRun | None = None
    for line in sys.stdin.buffer:
        message = json.loads(line)
        place = {name: message[name] for name in ("job_id", "run")}
        if "task" in message:
            run = TaskRun(place, message["attempt"], tell)
            tasks.put((message["task"], run))
        elif run is not None and run.place == place:
            run.hear(message)
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
