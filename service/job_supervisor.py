"""The process that performs a worker's jobs, apart from the one that answers for them, so that it can be killed.

A fit may be inside one compiled call for minutes, or take all memory that there is. The worker asks it to stop, and
kills it when it does not; what it did is then told by the worker, which holds nothing but the job's row. The process
is kept from job to job, for what it needs takes seconds to load, but never while it may be at a task still: one that
has not answered for its task is killed.

Lines of JSON go both ways. From the process first `{"ready": true}`. To it: `{"task", "job_id", "attempt"}`,
`{"stop": true}`, and `{"confirmed": true}` once the database says that the job is still this run's, after the process
has asked with `{"confirm": true}`. From it then any of `{"progress": {..}}` and `{"alive": true}`, and one of
`{"result": {..}}`, `{"failure": {"code", "name", "message"}}` with nulls where nothing may be told,
`{"stopped": true}`; and at any time `{"log": {"level", "text"}}`. All but the first bear `job_id` and `run`, a name
that no other run has; what is said of another run counts for nothing.
"""

import json
import logging
import os
import queue
import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from service.errors import TooMuchMemory, TrainingFailed
from service.jobs.child_process import MemoryKills, kill
from service.jobs.engine_names import MAX_RECOVERIES
from service.jobs.job import JobKind, Progress
from service.jobs.job_records import FAILURE_CODES, UNEXPLAINED
from service.jobs.run_errors import JobFailed, JobStopped, RunLost
from service.jobs.supervised_run import SupervisedRun
from service.supervisor import leash

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
# What a fit is given to end by itself: a few batches. Then it is killed.
GRACE_SECONDS = 5.0
# A job that is over its own time ends with the next batch; one that is not heard of for so long has none.
SILENT_SECONDS = 300.0
# A process that holds so much of its share after a job makes room for the next one.
KEPT_SHARE = 0.5
# Lines of progress; a job that tells faster than the database takes it waits.
MOST_UNREAD = 8
_Lines = queue.Queue[dict[str, Any] | None]
_PAGE = os.sysconf("SC_PAGE_SIZE")


class JobSupervisor:
    """Performs tasks in a process of its own, one at a time."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        memory_bytes: int,
        max_seconds: float,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Args: `memory_bytes` and `max_seconds` are what a job may take at most; beyond, it is killed."""
        self._command = command
        self._memory_bytes = memory_bytes
        self._max_seconds = max_seconds
        self._grace_seconds = grace_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = _Lines(MOST_UNREAD)
        # What messages of the run at hand bear; None once it has been answered for.
        self._place: dict[str, str] | None = None

    def start(self) -> None:
        """Starts the process where there is none, so that it has loaded what it needs by the time it is asked."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._process = subprocess.Popen(
            leash(self._command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._lines = _Lines(MOST_UNREAD)
        assert self._process.stdout is not None  # asked for as a pipe
        threading.Thread(
            target=_read, args=(self._process.stdout, self._lines), name="job-process", daemon=True
        ).start()

    def wait_until_ready(self, stop: threading.Event) -> None:
        """Waits until the process that was started has loaded what it needs, has died, or is not wanted any more."""
        while not stop.is_set():
            try:
                message = self._lines.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if message is None or "ready" in message:
                return

    def perform(self, task: dict[str, Any], run: SupervisedRun) -> dict[str, Any]:
        """Has a task performed, and returns its result.

        Raises:
            JobStopped: the job was cancelled, or has another owner.
            RunLost: the process died.
            JobFailed: the job failed.
            TrainingFailed, TooMuchMemory: it took more time or memory than it may, or memory ran out at every try.
        """
        self.start()
        self._place = {"job_id": run.job_id, "run": uuid.uuid4().hex}
        try:
            self._send({"task": task, "attempt": run.attempt})
            return self._follow(run, task["kind"], _TimeLimits(task, self._max_seconds))
        finally:
            has_answered, self._place = self._place is None, None
            if not has_answered or _memory_of(self._process) > KEPT_SHARE * self._memory_bytes:
                self.close()
            self.start()

    def close(self) -> None:
        """Kills the process; it has nothing to lose."""
        process, self._process = self._process, None
        if process is not None:
            kill(process)

    def _follow(self, run: SupervisedRun, kind: JobKind, limits: "_TimeLimits") -> dict[str, Any]:
        asked_at: float | None = None
        wants_confirmation = False
        memory_kills = MemoryKills()
        taken = 0
        while True:
            memory_kills.look()
            try:
                message = self._lines.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                message = {}
            if message is None:
                status = None if self._process is None else self._process.wait()
                logger.error("the process at job %s ended with status %s", run.job_id, status)
                self.close()
                run.log("ERROR", f"the process that performed the job ended with status {status}")
                if asked_at is not None:
                    raise JobStopped(run.job_id)
                if memory_kills.explains(status) and run.attempt > MAX_RECOVERIES:
                    raise TooMuchMemory(_tell_memory_ran_out(run.attempt, taken))
                # Also where memory ran out: what took it may have been another job.
                raise RunLost(run.job_id)
            if message:
                limits.hear()
            if self._place is None or not self._place.items() <= message.items():
                message = {}
            if not message.keys().isdisjoint(("result", "stopped", "failure")):
                self._place = None
            if "result" in message:
                result: dict[str, Any] = message["result"]
                return result
            if "stopped" in message:
                raise JobStopped(run.job_id)
            if "failure" in message:
                raise _read_failure(message["failure"], kind)
            if asked_at is not None:
                if time.monotonic() - asked_at >= self._grace_seconds:
                    logger.warning("job %s did not stop when asked to: killed", run.job_id)
                    self.close()
                    run.log("WARNING", "did not stop when asked to, and was killed")
                    raise JobStopped(run.job_id)
                continue
            try:
                if "log" in message:
                    run.log(**message["log"])
                if "progress" in message:
                    run.report(Progress(**message["progress"]))
                wants_confirmation |= "confirm" in message
                # The process waits; while the database is away it is asked again and again.
                if wants_confirmation and run.confirm():
                    wants_confirmation = False
                    self._send({"confirmed": True})
                run.raise_if_stopped()
            except JobStopped:
                asked_at = time.monotonic()
                self._send({"stop": True})
            # One that is dead already holds nothing.
            taken = max(taken, self._check_limits(limits))

    def _check_limits(self, limits: "_TimeLimits") -> int:
        """Raises where the job is over a limit. Returns the bytes of memory that it holds."""
        excess = limits.find_excess()
        if excess is not None:
            self.close()
            raise TrainingFailed(excess)
        taken = _memory_of(self._process)
        if taken > self._memory_bytes:
            self.close()
            raise TooMuchMemory(
                f"The job took {describe_bytes(taken)} of memory, and may take {describe_bytes(self._memory_bytes)}: "
                "it was ended. Ask for fewer or shorter series, fewer units or layers, or a smaller batch_size or "
                "window, or raise OUTFIELDER_JOB_MEMORY_BYTES."
            )
        return taken

    def _send(self, message: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(json.dumps({**message, **(self._place or {})}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # It is dead; whoever reads its answers finds out.
            return


class _TimeLimits:
    """What a job may take of time."""

    def __init__(self, task: dict[str, Any], max_seconds: float) -> None:
        self._began = self._heard = time.monotonic()
        self._max_seconds = max_seconds
        plan = task.get("plan") or {}
        asked = [(plan.get("search") or {}).get("max_seconds"), plan.get("max_seconds")]
        asked += [recipe.get("max_seconds") for recipe in plan.get("recipes", ())]
        self._asked_seconds = max((seconds for seconds in asked if seconds is not None), default=None)

    def hear(self) -> None:
        self._heard = time.monotonic()

    def find_excess(self) -> str | None:
        """Why the job is to be ended; None where it may go on."""
        now = time.monotonic()
        if now - self._began > self._max_seconds:
            return (
                f"The job took longer than {self._max_seconds:.0f} s and was ended. Ask for fewer epochs or a smaller "
                "network, give max_seconds, or raise OUTFIELDER_MAX_JOB_SECONDS."
            )
        asked = self._asked_seconds
        if asked is not None and now - self._began > asked and now - self._heard > SILENT_SECONDS:
            return (
                f"The fit did not come to the end of a batch within max_seconds ({asked:.0f} s), and was ended. Ask "
                "for a smaller network or batch_size, or for more seconds."
            )
        return None


def describe_bytes(count: float) -> str:
    """A count of bytes for people."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 / 10 else f"{count / 2**20:.0f} MiB"


def _tell_memory_ran_out(tries: int, taken: int) -> str:
    return (
        f"Memory ran out, and the system ended the job, {tries} times; the last had taken {describe_bytes(taken)}. "
        "Ask for fewer or shorter series, fewer units or layers, or a smaller batch_size or window, "
        "or give the worker more memory, or fewer jobs at once (OUTFIELDER_JOBS)."
    )


def _read(pipe: IO[bytes], lines: _Lines) -> None:
    try:
        for line in pipe:
            lines.put(json.loads(line))
    except (OSError, ValueError):
        # Closed, or cut off in the middle of a line.
        logger.debug("the job process ended while it spoke")
    lines.put(None)


def _read_failure(failure: dict[str, str | None], kind: JobKind) -> JobFailed:
    code, name, message = failure["code"], failure["name"], failure["message"]
    if code is None or name is None or message is None:
        return JobFailed(UNEXPLAINED, FAILURE_CODES[kind], JobFailed.__name__)
    return JobFailed(message, code, name)


def _memory_of(process: "subprocess.Popen[bytes] | None") -> int:
    """The bytes of memory that a process holds; 0 where the system does not tell."""
    if process is None:
        return 0
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
