"""The user's own series, made ready for training: filled, cut by time, with the windows to learn from and to score."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.domain.forecast_origins import describe_shortage, find_scored
from service.domain.intermittency import is_intermittent
from service.domain.metrics import seasonal_scale
from service.domain.panel import Panel
from service.domain.panel_windows import FlatPanel, Positions, Slices, flatten_panel
from service.domain.recipes.recipe import Recipe
from service.domain.series import Missing, fill, trim
from service.domain.splits import Split, split
from service.errors import Flaw, TrainingFailed
from service.training.data.scratch import allocate

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredWindows:
    """Forecasts to score: where they begin, what came after [n, horizon], and MASE's scale of what came before [n].

    What was not measured is NaN.
    """

    series: Positions
    ends: Positions
    actual: Array
    scale: Array

    def __len__(self) -> int:
        return len(self.series)

    def take(self, rows: NDArray[np.int64]) -> "ScoredWindows":
        """Some of the windows, by their positions."""
        return ScoredWindows(self.series[rows], self.ends[rows], self.actual[rows], self.scale[rows])


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPanel:
    """A panel cut for one horizon."""

    rows: FlatPanel
    split: Split
    validation: ScoredWindows
    test: ScoredWindows
    horizon: int
    season: int
    is_intermittent: bool = False

    def histories(self, ends: Positions) -> list[Array]:
        """The first `ends` [n_series] points of each series."""
        return [self.rows.history(i, int(end)) for i, end in enumerate(ends)]


def read_panel(panel: Panel) -> list[Array]:
    """The series from their first known value to their last, NaN for missing ones; unusable ones are left out.

    They are `Slices` where the panel's are: nothing is copied.

    Raises:
        TrainingFailed: none is left.
    """
    usable = [trim(values) for values in panel.values if not isinstance(fill("", values, "interpolate"), Flaw)]
    if not usable:
        raise TrainingFailed("No series of the data holds a number that can be trained on.")
    return usable if panel.flat is None else Slices(usable, panel.flat)


def prepare_panel(values: list[Array], recipe: Recipe, missing: Missing = "interpolate") -> PreparedPanel:
    """Cuts series [time] for a recipe's horizon, and fills what is missing without a look over the cuts.

    Raises:
        TrainingFailed: all series are too short, or have gaps where they would be scored.
    """
    horizon = recipe.evaluated_horizon
    lengths = np.array([len(series) for series in values], dtype=np.int64)
    cut = split(lengths, horizon, recipe.min_history)

    def fill_one(number: int) -> Array:
        series = values[number]
        return fill_parts(series, (int(cut.train_ends[number]), len(series) - horizon), missing)

    is_complete = not any(np.isnan(series).any() for series in values)
    rows = flatten_panel(values, None if is_complete else fill_one, allocate)
    shortage = describe_shortage(rows, cut, horizon, recipe.horizon, recipe.min_history)
    if shortage is not None:
        raise TrainingFailed(shortage)
    validation, test = (
        _windows(rows, origins, horizon, recipe.season, recipe.min_history) for origins in (cut.validation, cut.test)
    )
    return PreparedPanel(rows, cut, validation, test, horizon, recipe.season, is_intermittent(values))


def fill_parts(values: Array, cuts: tuple[int, ...], missing: Missing) -> Array:
    """A series without missing values: before each cut, of ascending ones, filled with what is known before it.

    A gap over a cut is so carried forward up to it: to interpolate would tell training what comes after.
    """
    if not np.isnan(values).any():
        return values
    filled = _fill(values, missing)
    for cut in reversed([cut for cut in cuts if 0 < cut < len(values)]):
        filled[:cut] = _fill(values[:cut], missing)
    return filled


def _fill(values: Array, missing: Missing) -> Array:
    """Values [time] that begin with a known one, gaps filled and the last known one carried to the end."""
    filled_or_flaw = fill("", values, missing)
    # They were read before: nothing can be wrong with them.
    filled = values if isinstance(filled_or_flaw, Flaw) else filled_or_flaw
    return np.append(filled, np.full(len(values) - len(filled), filled[-1]))


def shortened(recipe: Recipe, epochs: int, seed: int) -> Recipe:
    """The recipe of a fit that goes on for a few epochs, with windows drawn for it alone."""
    seconds = None if recipe.max_seconds is None else recipe.max_seconds * epochs / recipe.epochs
    return replace(recipe, epochs=epochs, patience=None, seed=seed, max_seconds=seconds)


def _windows(
    rows: FlatPanel, origins: tuple[Positions, Positions], horizon: int, season: int, min_history: int
) -> ScoredWindows:
    series, ends, actual = find_scored(rows, origins, horizon, min_history)
    scale = np.array(
        [seasonal_scale(rows.measured_history(int(i), int(end)), season) for i, end in zip(series, ends, strict=True)]
    )
    return ScoredWindows(series, ends, actual, scale)
