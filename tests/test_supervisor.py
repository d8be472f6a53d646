"""The supervisor over real processes: small scripts that write down their starts and the signals they get."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from service.supervisor import NOT_STARTED, Child, Supervisor

# Notes "<name> <process>" in the journal once signals are handled, then each signal by its number; ends on SIGTERM.
STEADY = """
import os, signal, sys, time
name, journal = sys.argv[1:]
def note(text):
    with open(journal, "a") as file:
        file.write(f"{name} {text}\\n")
def on_signal(number, frame):
    note(f"signal {number}")
    if number == signal.SIGTERM and name != "stubborn":
        sys.exit(0)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, on_signal)
note(os.getpid())
while True:
    time.sleep(60)
"""
# Notes "<name> <time>", lives for some seconds and ends with a status.
BRIEF = """
import sys, time
name, journal, seconds, status = sys.argv[1:]
with open(journal, "a") as file:
    file.write(f"{name} {time.monotonic()}\\n")
time.sleep(float(seconds))
sys.exit(int(status))
"""
# A supervisor as `outfielder up` is one: a process of its own, in the foreground of its own session.
UP = """
import signal, sys
from service.supervisor import Child, Supervisor
# As a terminal gives it: under nohup it would be ignored, and the supervisor would rightly leave it so.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
script, journal, *names = sys.argv[1:]
children = [Child(name, [sys.executable, "-c", script, name, journal]) for name in names]
sys.exit(Supervisor(children, grace_seconds=30).run())
"""


def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits for a condition; the deadline is there to end a test that hangs."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.02)


class Journal:
    """What the children wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, name: str) -> list[str]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]

    def processes(self, name: str) -> list[int]:
        return [int(note) for note in self.of(name) if not note.startswith("signal")]

    def signals(self, name: str) -> list[int]:
        return [int(note.removeprefix("signal ")) for note in self.of(name) if note.startswith("signal")]

    def steady(self, name: str) -> Child:
        return Child(name, [sys.executable, "-c", STEADY, name, str(self.path)])

    def brief(self, name: str, *, seconds: float = 0.0, status: int, is_essential: bool = True) -> Child:
        command = [sys.executable, "-c", BRIEF, name, str(self.path), str(seconds), str(status)]
        return Child(name, command, is_essential=is_essential)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.txt")


@pytest.fixture
def supervise() -> Iterator[Callable[..., Supervisor]]:
    """Makes started supervisors, and ends them after the test."""
    started: list[Supervisor] = []

    def start(*children: Child, **options: Any) -> Supervisor:
        supervisor = Supervisor(children, **{"grace_seconds": 10, "first_delay_seconds": 0.05, **options})
        started.append(supervisor)
        supervisor.start()
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()
        supervisor.wait()


@pytest.fixture
def up(journal: Journal) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts supervisors as processes whose output pipe stays open for as long as they or a child of theirs live."""
    started: list[subprocess.Popen[str]] = []

    def start(*names: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", UP, STEADY, str(journal.path), *names]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        started.append(process)
        eventually(lambda: all(journal.processes(name) for name in names))
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=60)


def test_a_killed_child_is_started_again_and_its_neighbour_is_left_alone(
    journal: Journal, supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    supervise(journal.steady("api"), journal.steady("worker"))
    eventually(lambda: bool(journal.processes("api") and journal.processes("worker")))
    os.kill(journal.processes("worker")[0], signal.SIGKILL)
    eventually(lambda: len(journal.processes("worker")) == 2)
    first, second = journal.processes("worker")
    assert first != second
    assert len(journal.processes("api")) == 1
    assert journal.signals("api") == []
    assert "worker was killed by signal 9" in caplog.text


def test_a_child_that_ends_without_an_error_is_started_again(
    journal: Journal, supervise: Callable[..., Supervisor]
) -> None:
    supervise(journal.brief("api", status=0))
    eventually(lambda: len(journal.of("api")) >= 5)


def test_a_stop_asks_every_child_once_and_waits_for_them(
    journal: Journal, supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = supervise(journal.steady("api"), journal.steady("worker"))
    eventually(lambda: bool(journal.processes("api") and journal.processes("worker")))
    supervisor.stop()
    assert supervisor.wait() == 0
    for name in ("api", "worker"):
        assert journal.signals(name) == [signal.SIGTERM]
        with pytest.raises(ProcessLookupError):
            os.kill(journal.processes(name)[0], 0)
    assert caplog.records == []


def test_a_child_that_does_not_end_is_killed_when_its_grace_is_over(
    journal: Journal, supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = supervise(journal.steady("stubborn"), grace_seconds=0.5)
    eventually(lambda: bool(journal.processes("stubborn")))
    began = time.monotonic()
    supervisor.stop()
    assert supervisor.wait() == 0
    assert time.monotonic() - began >= 0.5
    with pytest.raises(ProcessLookupError):
        os.kill(journal.processes("stubborn")[0], 0)
    assert "stubborn did not end when asked to: killed" in caplog.text


def test_an_essential_child_that_never_starts_ends_the_supervisor_with_its_status(
    journal: Journal, supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = supervise(journal.steady("worker"), journal.brief("api", seconds=0.3, status=2))
    assert supervisor.wait() == 2
    assert len(journal.of("api")) == 3
    assert journal.signals("worker") == [signal.SIGTERM]
    assert caplog.records[-1].levelno == logging.ERROR
    assert "api ended with status 2 and has not started in 3 attempts: giving up" in caplog.text


def test_a_child_that_is_not_essential_is_tried_on(journal: Journal, supervise: Callable[..., Supervisor]) -> None:
    supervise(journal.brief("worker", status=1, is_essential=False), longest_delay_seconds=0.1)
    eventually(lambda: len(journal.of("worker")) >= 6)


def test_pauses_before_restarts_double_up_to_the_longest(
    journal: Journal, supervise: Callable[..., Supervisor]
) -> None:
    child = journal.brief("worker", status=1, is_essential=False)
    supervise(child, first_delay_seconds=0.1, longest_delay_seconds=0.2)
    # Without the bound the tenth pause alone would be 51 s, and all ten 102 s.
    eventually(lambda: len(journal.of("worker")) >= 11)
    starts = [float(note) for note in journal.of("worker")]
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    for pause, shortest in zip(pauses, (0.1, *[0.2] * 9), strict=False):
        assert pause >= shortest


def test_failures_before_a_healthy_life_are_forgotten(journal: Journal, supervise: Callable[..., Supervisor]) -> None:
    child = journal.brief("api", seconds=0.3, status=1)
    supervise(child, healthy_seconds=0.2, first_delay_seconds=0.5, longest_delay_seconds=99)
    # Three failures in a row would have ended it. So are the pauses: doubled each time, seven would be 64 s.
    eventually(lambda: len(journal.of("api")) >= 8)


def test_a_command_that_does_not_exist_is_named(
    supervise: Callable[..., Supervisor], capfd: pytest.CaptureFixture[str]
) -> None:
    supervisor = supervise(Child("api", ["/no/such/program", "serve"]))
    assert supervisor.wait() == NOT_STARTED
    assert "can't run /no/such/program: No such file or directory" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_terminal_ends_the_children_once_and_gently(
    number: signal.Signals, journal: Journal, up: Callable[..., subprocess.Popen[str]]
) -> None:
    process = up("api", "worker")
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == ""
    assert journal.signals("api") == journal.signals("worker") == [signal.SIGTERM]


def test_a_second_signal_kills_what_is_left(journal: Journal, up: Callable[..., subprocess.Popen[str]]) -> None:
    process = up("stubborn")
    process.send_signal(signal.SIGINT)
    eventually(lambda: journal.signals("stubborn") == [signal.SIGTERM])
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_children_die_with_a_killed_supervisor_also_those_that_were_restarted(
    journal: Journal, up: Callable[..., subprocess.Popen[str]]
) -> None:
    process = up("stubborn", "worker")
    os.kill(journal.processes("worker")[0], signal.SIGKILL)
    eventually(lambda: len(journal.processes("worker")) == 2)
    process.kill()
    # The pipe ends with the last process that holds it.
    process.communicate(timeout=60)
    assert journal.signals("stubborn") == journal.signals("worker") == []
