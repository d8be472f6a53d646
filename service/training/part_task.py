"""Tasks as parts that another process does: written down here, read there, and done."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from service.domain.recipes.recipe import Recipe
from service.training.checkpoints import Checkpoints, Standing, make_key
from service.training.fit import begin_network, restore_network
from service.training.fits import FitData, FitTask, key_of, perform_fit
from service.training.jax_trainer.program import program_key

# By what a helper sees that it has the job's checkpoints before it.
MARK = "shared"


class TaskWriter:
    """Writes the tasks of a job down as parts. What they begin with goes to its checkpoints, where helpers find it."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        # Weights that have been written.
        self._starts: set[str] = set()

    def mark(self) -> None:
        """Lets helpers see that they have the same checkpoints before them."""
        self._checkpoints.write(MARK, Standing([], [], {}, 0.0))

    def write(self, task: FitTask, key: str, description: dict[str, Any]) -> dict[str, Any]:
        """A task of the job engine's. Args: `description` says how to make the data."""
        part = {
            "key": key,
            "recipe": task.recipe.to_dict(),
            "before": task.before,
            "season": task.season,
            "start": self._write_start(task),
            "bounds": task.bounds,
            **description,
        }
        return {"part": part, "model": task.recipe.name, "shape": shape_of(task)}

    def _write_start(self, task: FitTask) -> str | None:
        if task.start is None:
            return None
        weights, facts = task.start.get_weights(), {"penalty": task.start.penalty}
        start = make_key({"start": facts}, weights)
        if start not in self._starts:
            self._starts.add(start)
            self._checkpoints.write(start, Standing(weights, [], facts, 0.0, has_ended=True))
        return start


def read_task(part: Mapping[str, Any], checkpoints: Checkpoints) -> FitTask | None:
    """The task that a part was made of; None where this process does not find the job's checkpoints.

    So it is on a host without an object store in common: what it did nobody else would see.
    """
    if checkpoints.read(MARK) is None:
        return None
    recipe = Recipe.from_dict(part["recipe"])
    start = None
    if part["start"] is not None:
        standing = checkpoints.read(part["start"])
        if standing is None:
            return None
        start = begin_network(recipe)
        restore_network(start, standing)
    return FitTask(recipe, part["before"], part["season"], start, tuple(part["bounds"]))


def perform_part(
    part: Mapping[str, Any], task: FitTask, data: FitData, on_batch: Callable[[], None], checkpoints: Checkpoints
) -> bool:
    """Does a part of another process's job; its outcome is then in the job's checkpoints.

    Returns:
        Whether it was done: not where this process would compute something else, of other data or libraries.
    """
    if key_of(task, data) != part["key"]:
        return False
    perform_fit(task, data, on_batch, lambda epoch: None, checkpoints.of(part["key"]))
    return True


def shape_of(task: FitTask) -> str:
    """A word for the program that a task takes."""
    return hashlib.sha256(repr(program_key(task.recipe)).encode()).hexdigest()[:16]
