"""Keeps a few child processes running: starts them, restarts those that die, and ends them together.

Run as a program (`supervisor.py PARENT_ID COMMAND...`) the file is the leash that each child is started through: it
ties the process to the supervisor's life and then becomes the command. Standard library only, so it starts at once.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

logger = logging.getLogger(__name__)

# Short enough that a restart or Ctrl-C feels immediate, long enough to cost no measurable CPU.
POLL_SECONDS = 0.05
# As shells have it: the command could not be run.
NOT_STARTED = 127
# linux/prctl.h
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Child:
    """A command to keep running. One that is essential ends the supervisor when it can't start; else it is tried on.

    `inherited` are the file descriptors that it gets from the supervisor.
    """

    name: str
    command: Sequence[str]
    is_essential: bool = True
    inherited: tuple[int, ...] = ()


class Supervisor:
    """Runs its children until it is stopped, or until an essential one fails to start several times in a row.

    Children are sessions of their own, so Ctrl-C in a terminal reaches the supervisor alone, which then asks each of
    them to end with SIGTERM. On Linux they are killed when the supervisor dies, however it dies.

    Args:
        children: started in this order, ended together.
        grace_seconds: how long children may take to end after SIGTERM before they are killed.
        healthy_seconds: a child that lived this long has started: earlier failures are forgotten.
        first_delay_seconds, longest_delay_seconds: the pause before a restart, doubled from one to the next.
        failures_allowed: how often in a row an essential child may end early with a status above 0 before the
            supervisor gives up. Deaths by a signal don't count: they are no fault of a setting.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        grace_seconds: float = 15.0,
        healthy_seconds: float = 60.0,
        first_delay_seconds: float = 0.25,
        longest_delay_seconds: float = 30.0,
        failures_allowed: int = 3,
    ) -> None:
        self._lives = [_Life(child, first_delay_seconds) for child in children]
        self._grace_seconds = grace_seconds
        self._healthy_seconds = healthy_seconds
        self._first_delay_seconds = first_delay_seconds
        self._longest_delay_seconds = longest_delay_seconds
        self._failures_allowed = failures_allowed
        # A plain number, polled: a signal handler that took a lock could wait for the very code that it interrupted.
        self._stops = 0
        self._status = 1
        # Linux ends a tied child when the thread that started it ends, so one thread starts them all and outlives them.
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def run(self) -> int:
        """Starts, waits, and ends on SIGTERM, SIGINT or SIGHUP. Call it from the main thread.

        A second signal kills the children that are left.

        Returns:
            What `wait` returns.
        """
        numbers = [signal.SIGTERM, signal.SIGINT]
        # Ignored under nohup, whose wish it is that a closed terminal ends nothing.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        previous = [(number, signal.signal(number, self._on_signal)) for number in numbers]
        try:
            self.start()
            return self.wait()
        finally:
            for number, handler in previous:
                signal.signal(number, handler)

    def start(self) -> None:
        """Starts the children and returns at once. A supervisor starts once."""
        self._thread.start()

    def stop(self) -> None:
        """Asks the children to end and returns at once; `wait` returns when they have. Safe from any thread."""
        self._stops = max(self._stops, 1)

    def wait(self) -> int:
        """Waits until all children have ended.

        Returns:
            0 after a stop; else the status of the child that failed to start.
        """
        self._thread.join()
        return self._status

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1

    def _supervise(self) -> None:
        try:
            self._status = self._keep_alive()
        finally:
            self._end_all()

    def _keep_alive(self) -> int:
        """Returns the supervisor's exit status once it is to end."""
        while not self._stops:
            for life in self._lives:
                if life.is_due:
                    life.begin()
                status = life.poll()
                if status is not None and self._has_given_up(life, status):
                    return status
            time.sleep(POLL_SECONDS)
        return 0

    def _has_given_up(self, life: "_Life", status: int) -> bool:
        """Plans the restart of a child that died, or says that there will be none."""
        child, lived_seconds = life.child, life.lived_seconds
        if lived_seconds >= self._healthy_seconds:
            life.failures, life.delay_seconds = 0, self._first_delay_seconds
        if status > 0:
            life.failures += 1
        end = f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"
        if child.is_essential and life.failures >= self._failures_allowed:
            logger.error(
                "%s %s and has not started in %d attempts: giving up. Its own messages above say why.",
                child.name,
                end,
                life.failures,
            )
            return True
        logger.warning("%s %s after %.1f s; restarting in %.2f s", child.name, end, lived_seconds, life.delay_seconds)
        life.schedule()
        life.delay_seconds = min(2 * life.delay_seconds, self._longest_delay_seconds)
        return False

    def _end_all(self) -> None:
        alive = [process for life in self._lives if (process := life.process) is not None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + self._grace_seconds
        while any(process.poll() is None for process in alive) and time.monotonic() < deadline and self._stops < 2:
            time.sleep(POLL_SECONDS)
        for life in self._lives:
            if life.process is not None and life.process.poll() is None:
                logger.warning("%s did not end when asked to: killed", life.child.name)
                life.process.kill()
                life.process.wait()


def leash(command: Sequence[str]) -> list[str]:
    """The command that runs another one tied to this process, and to the thread that starts it."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


class _Life:
    """One child's process, and what became of those before it."""

    def __init__(self, child: Child, delay_seconds: float) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.failures = 0
        self.delay_seconds = delay_seconds
        self._due = 0.0
        self._began = 0.0
        self._is_scheduled = True

    @property
    def is_due(self) -> bool:
        return self._is_scheduled and time.monotonic() >= self._due

    @property
    def lived_seconds(self) -> float:
        return time.monotonic() - self._began

    def schedule(self) -> None:
        self._is_scheduled, self._due = True, time.monotonic() + self.delay_seconds

    def begin(self) -> None:
        self._is_scheduled, self._began = False, time.monotonic()
        try:
            self.process = subprocess.Popen(
                leash(self.child.command),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=self.child.inherited,
            )
        except OSError as error:
            # The machine is out of processes or memory: for the child to be tried again like one that died.
            logger.error("%s could not be started: %s", self.child.name, error)
            return
        logger.info("%s started as process %d", self.child.name, self.process.pid)

    def poll(self) -> int | None:
        """The status of a child that has ended since it was last asked about; below 0, the signal that killed it."""
        if self._is_scheduled:
            return None
        if self.process is None:
            return NOT_STARTED
        status = self.process.poll()
        if status is not None:
            self.process = None
        return status


def _become(parent: int, command: list[str]) -> None:
    """Turns this process into the command, to be killed by the system when its parent dies."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
            raise OSError(ctypes.get_errno(), "prctl failed")
    # A parent that died before the call above sends no signal any more.
    if os.getppid() == parent:
        os.execvp(command[0], command)


if __name__ == "__main__":
    try:
        _become(int(sys.argv[1]), sys.argv[2:])
    except OSError as error:
        sys.stderr.write(f"can't run {sys.argv[2]}: {error.strerror}\n")
        sys.exit(NOT_STARTED)
