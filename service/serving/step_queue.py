"""Runs large requests in steps on the threads that are free, so that other work gets its turn."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class StepWork:
    """A step that is run again and again, in several threads at once, until it says that none is left."""

    step: Callable[[], bool]
    future: asyncio.Future[None]
    # Threads that run its steps at this moment.
    running: int = 0
    ended: bool = False

    def run(self, others_wait: Callable[[], bool]) -> None:
        """In a thread: one step after the other, until others wait for the thread."""
        while not (self.ended or self.future.done()):
            if not self.step():
                self.ended = True
            elif others_wait():
                return


class StepQueue:
    """Works that take turns. To be used on the event loop."""

    def __init__(self) -> None:
        self._works: deque[StepWork] = deque()

    def __len__(self) -> int:
        return len(self._works)

    def add(self, step: Callable[[], bool]) -> StepWork:
        work = StepWork(step, asyncio.get_running_loop().create_future())
        self._works.append(work)
        return work

    def take(self) -> StepWork:
        """The work whose turn it is, for one more thread; it stays in the queue."""
        self._works.rotate(-1)
        work = self._works[-1]
        work.running += 1
        return work

    def give_back(self, work: StepWork, error: BaseException | None) -> None:
        """A thread has left a work, by an error or not. The last one to leave a work that has ended says so."""
        work.running -= 1
        work.ended = work.ended or error is not None
        if work.ended:
            self.remove(work)
        if error is not None and not work.future.done():
            work.future.set_exception(error)
        if work.ended and not work.running and not work.future.done():
            work.future.set_result(None)

    def remove(self, work: StepWork) -> None:
        """Takes a work out, if it is still there."""
        if work in self._works:
            self._works.remove(work)
