"""The user's own series, made ready for training: filled, cut by time, with the windows to learn from and to score."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.domain.examples import Positions, Rows, gather
from service.domain.metrics import seasonal_scale
from service.domain.panel import Panel
from service.domain.recipe import Recipe
from service.domain.series import fill
from service.domain.splits import Split, split
from service.errors import Flaw, TrainingFailed

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Forecasts to score: where they begin, what came after [n, horizon], and MASE's scale of what came before [n]."""

    series: Positions
    ends: Positions
    actual: Array
    scale: Array

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPanel:
    """A panel cut for one horizon."""

    rows: Rows
    split: Split
    validation: Windows
    test: Windows
    horizon: int
    season: int

    def histories(self, ends: Positions) -> list[Array]:
        """The first `ends` [n_series] points of each series."""
        return [self.rows.history(i, int(end)) for i, end in enumerate(ends)]


def read_panel(panel: Panel, missing: str) -> list[Array]:
    """The series without missing values, those that hold no usable number left out.

    Raises:
        TrainingFailed: none is left.
    """
    values = [fill("", one, "ffill" if missing == "ffill" else "interpolate") for one in panel.values]
    usable = [one for one in values if not isinstance(one, Flaw)]
    if not usable:
        raise TrainingFailed("No series of the data holds a number that can be trained on.")
    return usable


def prepare_panel(values: list[Array], recipe: Recipe) -> PreparedPanel:
    """Cuts series [time] for a recipe's horizon.

    Raises:
        TrainingFailed: all series are too short.
    """
    rows = gather(values)
    horizon = recipe.evaluated_horizon
    cut = split(rows.lengths, horizon, recipe.min_history)
    validation, test = (_windows(rows, *origins, horizon, recipe.season) for origins in (cut.validation, cut.test))
    if not len(validation) or not (cut.train_ends >= recipe.min_history + recipe.horizon).any():
        raise TrainingFailed(
            f"No series is long enough: training, validation and test need {recipe.min_history + 2 * horizon} points "
            "of a series at least. Send more history, or ask for a shorter horizon."
        )
    return PreparedPanel(rows, cut, validation, test, horizon, recipe.season)


def shortened(recipe: Recipe, epochs: int, seed: int) -> Recipe:
    """The recipe of a fit that goes on for a few epochs, with draws of its own."""
    return replace(recipe, epochs=epochs, patience=None, seed=seed)


def _windows(rows: Rows, series: Positions, ends: Positions, horizon: int, season: int) -> Windows:
    scale = np.array(
        [seasonal_scale(rows.history(int(i), int(end)), season) for i, end in zip(series, ends, strict=True)]
    )
    return Windows(series, ends, rows.futures(series, ends, horizon), scale)
