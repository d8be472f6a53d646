"""Fits that other workers help with: each is a part, which this process takes unless another has been faster.

A fit gives the same weights whoever does it, and outcomes are put together in the order of the tasks: what a job
publishes does not depend on who helped.
"""

from collections.abc import Callable
from dataclasses import replace

from service.parts.board import Board, JobBoard
from service.training.checkpoints import Checkpoints
from service.training.epoch import Epoch
from service.training.fits import FitList, FitOutcome, Fits, FitTask, key_of
from service.training.part_task import TaskWriter
from service.training.sharing import share_fits


class SharedFits(Fits):
    """Performs fits beside other workers, if there are any that are idle."""

    def __init__(
        self,
        on_batch: Callable[[], None],
        checkpoints: Checkpoints,
        board: Board,
        job_id: str,
        attempt: int,
    ) -> None:
        super().__init__(on_batch, checkpoints)
        self._shared_checkpoints = checkpoints
        self._board = JobBoard(board, job_id, attempt)
        self._writer = TaskWriter(checkpoints)

    def _run(self, listed: FitList) -> list[FitOutcome | None]:
        keys = {i: key_of(task, listed.data) for i, task in enumerate(listed.tasks) if _is_worth_sharing(task)}
        description = listed.data.description
        if len(keys) < 2 or description is None:
            return super()._run(listed)
        n_before = {index: self._count_epochs(key) for index, key in keys.items()}
        self._writer.mark()
        if not self._board.post(
            {key: self._writer.write(listed.tasks[index], key, description) for index, key in keys.items()}
        ):
            return super()._run(listed)

        def tell_once(index: int, epoch: Epoch) -> None:
            if index in keys:
                # Also what a helper has fitted nobody has told of, unless it was there before this run.
                epoch = replace(epoch, is_restored=epoch.number <= n_before[index])
            listed.tell(index, epoch)

        return share_fits(self, self._shared_checkpoints, self._board, replace(listed, tell=tell_once), keys)

    def _count_epochs(self, key: str) -> int:
        """Epochs of a fit that runs before have left."""
        standing = self._shared_checkpoints.read(key) if self._shared_checkpoints.is_continued else None
        return 0 if standing is None else len(standing.epochs)


def _is_worth_sharing(task: FitTask) -> bool:
    return task.is_work and not task.recipe.preset.is_solved
