"""The process that performs jobs, and what becomes of one that does not end."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.errors import TooMuchMemory, TrainingFailed
from service.job_supervisor import JobSupervisor
from service.jobs.job import Progress
from service.jobs.run_errors import JobFailed, JobStopped, RunLost
from tests.control_group import memory_limit

COMMAND = [sys.executable, "-m", "tests.job_process"]
# A worker whose job hears nothing.
WORKER = """
import sys
from service.job_supervisor import JobSupervisor
from tests.test_job_supervisor import Run
run = Run()
run.report = lambda progress: print("at it", flush=True)
JobSupervisor(sys.argv[1:], memory_bytes=2**33, max_seconds=1000).perform({"kind": "train", "does": "hang"}, run)
"""


class Run:
    """A run whose job is cancelled when the test says so."""

    job_id = "job"

    def __init__(self, *, cancel_after_seconds: float | None = None, attempt: int = 1) -> None:
        self.attempt = attempt
        self.told: list[Progress] = []
        # What the database says in turn of whose the job is: this run's, nothing for now (False), another's (None).
        self.confirms: list[bool | None] = []
        self._seconds = cancel_after_seconds
        self._began: float | None = None

    def report(self, progress: Progress) -> None:
        self._began = self._began or time.monotonic()
        self.told.append(progress)

    def raise_if_stopped(self) -> None:
        if self._seconds is not None and self._began is not None and time.monotonic() - self._began >= self._seconds:
            raise JobStopped(self.job_id)

    def log(self, level: str, text: str) -> None:
        del level, text

    def confirm(self) -> bool:
        answer = self.confirms.pop(0)
        if answer is None:
            raise JobStopped(self.job_id)
        return answer


@contextmanager
def supervising(**options: Any) -> Iterator[JobSupervisor]:
    supervisor = JobSupervisor(COMMAND, **{"memory_bytes": 2**33, "max_seconds": 1000, "grace_seconds": 1.0, **options})
    try:
        yield supervisor
    finally:
        supervisor.close()


@pytest.fixture(scope="module")
def supervisor() -> Iterator[JobSupervisor]:
    with supervising() as found:
        yield found


def perform(supervisor: JobSupervisor, does: str, run: Run | None = None, **fields: Any) -> dict[str, Any]:
    task = {"kind": "train", "does": does, **fields}
    return supervisor.perform(task, run or Run())


def process_of(supervisor: JobSupervisor) -> int:
    return int(perform(supervisor, "tell", times=0)["process"])


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_task_tells_its_progress_and_its_result_and_the_process_is_kept(supervisor: JobSupervisor) -> None:
    run = Run()
    result = perform(supervisor, "tell", run, times=500)
    assert [one.epoch for one in run.told] == list(range(1, 501))
    assert result["process"] == process_of(supervisor) != os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told whom to end first")
def test_the_process_volunteers_to_be_ended_when_memory_runs_out(supervisor: JobSupervisor) -> None:
    assert perform(supervisor, "tell", times=0)["oom_score"] == 1000


def test_a_task_that_heeds_a_cancel_ends_and_its_process_is_kept() -> None:
    with supervising(grace_seconds=60.0) as supervisor:
        before = process_of(supervisor)
        with pytest.raises(JobStopped):
            perform(supervisor, "wait", Run(cancel_after_seconds=0.3))
        assert process_of(supervisor) == before


@pytest.mark.parametrize("is_stopped", [False, True], ids=["busy", "stopped by a signal"])
def test_a_task_that_hears_nothing_is_killed_and_the_next_one_performed(
    supervisor: JobSupervisor, is_stopped: bool
) -> None:
    before = process_of(supervisor)
    run = Run(cancel_after_seconds=0.5)
    if is_stopped:
        os.kill(before, signal.SIGSTOP)
        run._began = time.monotonic()
    with pytest.raises(JobStopped):
        perform(supervisor, "hang", run)
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert process_of(supervisor) != before


@pytest.mark.parametrize("call", ["report", "log", "raise_if_stopped"])
def test_a_process_that_has_not_answered_for_its_task_gets_no_other(
    supervisor: JobSupervisor, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = process_of(supervisor)
    run = Run()

    def break_off(*arguments: Any, **fields: Any) -> None:
        raise RuntimeError("a fault of the worker's own")

    monkeypatch.setattr(run, call, break_off)
    with pytest.raises(RuntimeError):
        perform(supervisor, "fit", run, times=200_000, kills=0, model="the one before")
    after = perform(supervisor, "tell", times=0)
    assert after["process"] != before
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_an_answer_for_another_run_is_no_answer(supervisor: JobSupervisor) -> None:
    assert perform(supervisor, "mix up", model="demo") == {"model": "demo", "version": 1}


def test_failures_are_told_as_far_as_they_may(supervisor: JobSupervisor) -> None:
    with pytest.raises(JobFailed, match="No series can be forecast") as failed:
        perform(supervisor, "fail")
    assert failed.value.code == "backtest_failed"
    with pytest.raises(JobFailed) as failed:
        perform(supervisor, "break")
    assert (failed.value.code, "secret" in str(failed.value)) == ("training_failed", False)
    with pytest.raises(JobFailed, match="memory") as failed:
        perform(supervisor, "run out")
    assert failed.value.code == "too_much_memory"


def test_a_process_that_dies_loses_the_run_and_another_takes_its_place(supervisor: JobSupervisor) -> None:
    with pytest.raises(RunLost):
        perform(supervisor, "die")
    assert perform(supervisor, "tell", times=1)["process"]


def test_a_task_that_takes_more_memory_than_it_may_is_ended() -> None:
    with supervising(memory_bytes=300 * 2**20) as supervisor, pytest.raises(TooMuchMemory, match=r"may take 0\.3 GiB"):
        perform(supervisor, "take")


def test_a_task_that_the_kernel_ends_for_its_memory_is_tried_again_and_at_last_told_why() -> None:
    limit = 300 * 2**20
    with supervising() as supervisor:
        with memory_limit(limit, process_of(supervisor)), pytest.raises(RunLost):
            perform(supervisor, "take")
        pid = process_of(supervisor)
        # What it held before counts against no limit of the group that it is moved to.
        held = resident_bytes(pid)
        with memory_limit(limit, pid), pytest.raises(TooMuchMemory, match="OUTFIELDER_JOBS") as failed:
            perform(supervisor, "take", Run(attempt=3))
        told = re.search(r"Memory ran out.*3 times.*taken (\d\.\d) GiB", str(failed.value))
        assert told is not None
        assert 0.2 <= float(told[1]) <= (limit + held) / 2**30 + 0.05
        assert process_of(supervisor)


def test_a_task_that_takes_longer_than_any_may_is_ended() -> None:
    with supervising(max_seconds=2.0) as supervisor, pytest.raises(TrainingFailed, match="longer than 2 s"):
        perform(supervisor, "wait")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_the_process_ends_with_the_one_that_started_it() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, *COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"at it\n"
    worker.kill()
    # The pipe of errors ends with the last process that holds it.
    worker.communicate(timeout=60)


def test_nothing_is_published_until_the_database_says_whose_the_job_is(
    supervisor: JobSupervisor, tmp_path: Path
) -> None:
    published = tmp_path / "published"
    run = Run()
    run.confirms = [False, False, True]
    result = perform(supervisor, "publish", run, file=str(published), seconds=0, model="demo")
    assert result == {"model": "demo", "version": 1}
    assert published.read_text() == "1\n"
    assert run.confirms == []


def test_a_run_that_lost_its_job_publishes_nothing(supervisor: JobSupervisor, tmp_path: Path) -> None:
    published = tmp_path / "published"
    run = Run()
    run.confirms = [False, None]
    with pytest.raises(JobStopped):
        perform(supervisor, "publish", run, file=str(published), seconds=0, model="demo")
    assert not published.exists()
    assert perform(supervisor, "tell", times=1)["process"]
