"""What a worker does while it has no job: it takes parts of others' jobs."""

import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from service.errors import DatabaseUnavailable, ServiceError, TrainingFailed
from service.jobs.job import Progress
from service.jobs.parts import Part, PartBoard
from service.jobs.run_errors import JobFailed, JobStopped, RunLost
from service.jobs.slot import Slot
from service.jobs.supervised_run import Perform, SupervisedRun

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
BEAT_SECONDS = 1.0
# Between looks for what jobs have left that ended otherwise than by themselves.
SWEEP_SECONDS = 60.0
# Jobs that a worker can't help, and shapes whose programs it has: every look names them to the database.
MOST_KNOWN = 500


class PartRun:
    """One run of a part, from the point of view of the function that performs it."""

    def __init__(self, board: PartBoard, part: Part, owner: str, slot: Slot, stop: threading.Event) -> None:
        self.attempt = 1
        self.job_id = part.job_id
        self._board = board
        self._part = part
        self._owner = owner
        self._slot = slot
        self._stop = stop
        self._told = 0.0

    def report(self, progress: Progress) -> None:
        """The job's own process tells of it once it is done. Raises JobStopped."""
        del progress
        self.raise_if_stopped()

    def log(self, level: str, text: str) -> None:
        """The job's log tells of its own process; what this one logs stands in the worker's."""
        del level, text

    def raise_if_stopped(self) -> None:
        """Raises JobStopped when the job has ended, others have the part, or a job of this worker's own waits."""
        if self._stop.is_set() or self._slot.is_wanted:
            raise JobStopped(self.job_id)
        if time.monotonic() - self._told >= BEAT_SECONDS:
            self.confirm()

    def confirm(self) -> bool:
        """Whether the database says that the part is still this worker's. Raises JobStopped."""
        self._told = time.monotonic()
        try:
            is_own = self._board.beat(self.job_id, self._part.key, self._owner)
        except DatabaseUnavailable:
            return False
        if not is_own:
            raise JobStopped(self.job_id)
        return True


class Helper:
    """Takes parts while the slot is free, until it is stopped."""

    def __init__(
        self,
        board: PartBoard,
        perform: Perform,
        slot: Slot,
        stop: threading.Event,
        sweep: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        perform: as of `service.jobs.runner.run_jobs`; tasks have the fields of a part's, and `kind`.
        sweep: called now and then; takes away what ended jobs have left elsewhere.
        """
        self._board = board
        self._perform = perform
        self._slot = slot
        self._stop = stop
        self._sweep = sweep
        self._refused = _Newest()
        # Of parts that were done: their programs are compiled.
        self._shapes = _Newest()

    def keep_helping(self) -> None:
        swept = time.monotonic()
        while not self._stop.wait(POLL_SECONDS):
            try:
                # One part after the other, as long as there are any.
                while not self._stop.is_set() and self._help():
                    pass
                if time.monotonic() - swept >= SWEEP_SECONDS:
                    swept = time.monotonic()
                    self._clean_up()
            except DatabaseUnavailable:
                # It has been logged.
                continue
            except ServiceError as error:
                logger.warning("what jobs have left can't be taken away: %s", error.message)
            except Exception:  # whatever goes wrong with others' parts, this worker goes on helping
                logger.exception("helping with parts of jobs failed")

    def _clean_up(self) -> None:
        self._refused.drop(self._board.find_ended(list(self._refused)))
        self._board.sweep()
        self._sweep()

    def _help(self) -> bool:
        """Does one part, if there is one and nothing else to do."""
        if not self._slot.acquire_idle():
            return False
        try:
            owner = uuid.uuid4().hex
            part = self._board.take_any(owner, self._refused, self._shapes)
            if part is None:
                return False
            self._do(part, owner)
            return True
        finally:
            self._slot.release()

    def _do(self, part: Part, owner: str) -> None:
        run: SupervisedRun = PartRun(self._board, part, owner, self._slot, self._stop)
        logger.info("helps with a part of job %s", part.job_id)
        place = part.job_id, part.key, owner
        try:
            result = self._perform({"kind": "train", **part.task}, run)
        except JobStopped:
            self._board.give_back(*place, has_died=False)
        except RunLost:
            self._give_back_for_good(*place, has_died=True)
        except JobFailed as error:
            if error.name == TrainingFailed.__name__:
                self._board.finish(*place, error=error.message)
            else:
                self._give_back_for_good(*place, has_died=error.name == JobFailed.__name__)
        except ServiceError:
            # More time or memory than this worker may give it.
            self._give_back_for_good(*place, has_died=False)
        except Exception:  # a fault of this worker's; others may do better
            logger.exception("a part of job %s failed", part.job_id)
            self._give_back_for_good(*place, has_died=False)
        else:
            if result.get("is_refused"):
                self._give_back_for_good(*place, has_died=False)
            else:
                self._board.finish(*place)
                self._shapes.add(part.task.get("shape", part.key))

    def _give_back_for_good(self, job_id: str, key: str, owner: str, *, has_died: bool) -> None:
        """Whoever has the job's data in hand may do better."""
        self._refused.add(job_id)
        self._board.give_back(job_id, key, owner, has_died=has_died)


class _Newest:
    """A set of the names that were added last."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, None] = OrderedDict()

    def add(self, name: str) -> None:
        self._names[name] = None
        self._names.move_to_end(name)
        if len(self._names) > MOST_KNOWN:
            self._names.popitem(last=False)

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            self._names.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
