"""Fits as tasks that are done by whoever is free, until each has an outcome or none."""

from collections.abc import Mapping
from functools import partial

from service.errors import TrainingFailed
from service.parts.board import JobBoard
from service.parts.sharing import Sharing
from service.training.checkpoints import Checkpoints
from service.training.fits import FitList, FitOutcome, Fits
from service.training.part_task import shape_of


def share_fits(
    fits: Fits, checkpoints: Checkpoints, board: JobBoard, listed: FitList, keys: Mapping[int, str]
) -> list[FitOutcome | None]:
    """The outcomes of tasks, in their order.

    Args:
        fits: perform what this process does itself.
        checkpoints: the job's, where helpers leave what they have fitted.
        keys: of those tasks that have been posted, by their places in the list.
    """
    work = FitWork(fits, checkpoints, listed, keys)
    Sharing(work, checkpoints, board, keys).run()
    return work.outcomes


class FitWork:
    """The tasks of a list, and their outcomes so far. Implements `service.parts.sharing.Work`."""

    def __init__(self, fits: Fits, checkpoints: Checkpoints, listed: FitList, keys: Mapping[int, str]) -> None:
        self.outcomes: list[FitOutcome | None] = [None] * len(listed.tasks)
        self.shapes = [shape_of(task) for task in listed.tasks]
        self._fits = fits
        self._checkpoints = checkpoints
        self._listed = listed
        self._keys = keys

    def look(self) -> None:
        self._fits.on_batch()

    def may_begin(self, index: int) -> bool:
        return self._listed.may_begin(index, self.outcomes)

    def is_wanted(self, index: int) -> bool:
        return self._listed.is_wanted(index, self.outcomes)

    def perform(self, index: int) -> str | None:
        listed = self._listed
        try:
            self.outcomes[index] = self._fits.perform(listed.tasks[index], listed.data, partial(listed.tell, index))
        except TrainingFailed as error:
            return error.message
        return None

    def collect(self, index: int) -> bool:
        outcome = self._read_outcome(self._keys[index])
        if outcome is None:
            return False
        self.outcomes[index] = outcome
        for epoch in outcome.epochs:
            self._listed.tell(index, epoch)
        return True

    def end(self, index: int) -> None:
        outcome = self.outcomes[index]
        assert outcome is not None  # of a task that is done
        self._listed.on_outcome(index, outcome)

    def refuse(self, index: int) -> None:
        self._listed.on_missing(index, True)

    def leave_out(self, index: int, reason: str) -> None:
        self._fits.leave_out(self._listed, index, reason)

    def leave_out_deadly(self, index: int, deaths: int) -> None:
        self.leave_out(index, f"The process that fitted it died, {deaths} times.")

    def _read_outcome(self, key: str) -> FitOutcome | None:
        """What a helper's fit ended with; None where it is not to be found."""
        standing = self._checkpoints.of(key).read()
        if standing is None or not standing.has_ended:
            return None
        return FitOutcome(standing.arrays, standing.facts["penalty"], standing.epochs, standing.seconds)
