"""Calibrates prediction intervals of a model from its out-of-sample residuals, and measures what they cover.

With as many series as make the usual levels trustworthy the residuals are those of the test windows: they are the
newest, and the model that made them had seen all that came before, as the published one has. Coverage is then measured
across series: each half of them by intervals from the other half. With fewer series the residuals are those of the
validation windows, of which each series has several, and coverage is measured on the test windows. What is then weighed
on those windows is calibrated by forecasts whose weights come from others of them (`panel_training.choose_fits`).

Series that are still at a window's origin are calibrated apart from those that move: `service.domain.intervals`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.intervals import Spread, half_widths, measure_spread, needed, scale_residuals
from service.domain.metrics import coverage
from service.domain.recipes.recipe import Recipe
from service.domain.splits import ENOUGH_ORIGINS
from service.training.data.panel_split import PreparedPanel, ScoredWindows

Array = NDArray[np.float64]

# Levels whose coverage is measured and told with the model.
TOLD_LEVELS = (80, 95)
# Numbers that a manifest holds for its intervals. As many residuals a step make any usual level exact.
MAX_RESIDUALS = 30_000
FEWEST_RESIDUALS = 100
SIGNIFICANT_DIGITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Forecasts of windows [n, horizon], the units of what was wrong with them [n], and which series were still [n]."""

    windows: ScoredWindows
    forecasts: Array
    units: Array
    is_still: NDArray[np.bool_]

    def scaled(self, rows: NDArray[np.bool_]) -> Array:
        """What was wrong with the chosen windows, in units of their series; NaN where nothing can be said."""
        errors = np.abs(self.windows.actual[rows] - self.forecasts[rows])
        return scale_residuals(errors, self.units[rows])


def calibrate(
    recipe: Recipe, prepared: PreparedPanel, validation: Array, test: Array
) -> tuple[dict[str, Any], dict[str, float]]:
    """The calibration for a manifest, and the coverage of its intervals in percent, by level.

    Args:
        validation, test: forecasts of the windows of those parts [n, horizon]; the ones of test by a model that had
            seen all before them, or else `recipe.refit` is false; those of validation were not made by what was chosen
            on the same windows.
    """
    from_test = recipe.refit and len(prepared.test) >= ENOUGH_ORIGINS
    # From one origin to the next only a spread over weeks that are alike tells more than it disturbs.
    season, is_steady = max((recipe.season, *recipe.seasons)), bool(recipe.seasons) and not from_test
    by_part = [
        _residuals(prepared, windows, forecasts, season, recipe.longest_window, is_steady=is_steady)
        for windows, forecasts in ((prepared.validation, validation), (prepared.test, test))
    ]
    used = by_part[1] if from_test else by_part[0]
    every = np.ones(len(used.windows), bool)
    if from_test:
        even = np.arange(len(prepared.test)) % 2 == 0
        halves = [_coverage(used, half, used, ~half) for half in (even, ~even)]
        covered = {level: (halves[0][level] + halves[1][level]) / 2 for level in halves[0].keys() & halves[1].keys()}
    else:
        covered = _coverage(used, every, by_part[1], np.ones(len(prepared.test), bool))
    calibration = {
        "season": season,
        "window": recipe.longest_window,
        "part": "test" if from_test else "validation",
        "residuals": _ascending(used.scaled(~used.is_still)),
        "non_negative": all(bool((history >= 0).all()) for history in prepared.histories(prepared.rows.lengths)),
        "still_residuals": _ascending(used.scaled(used.is_still)),
        **({"is_steady": True} if is_steady else {}),
    }
    return calibration, dict(sorted(covered.items()))


def _residuals(
    prepared: PreparedPanel, windows: ScoredWindows, forecasts: Array, season: int, window: int, *, is_steady: bool
) -> Residuals:
    spreads: list[Spread] = [
        measure_spread(prepared.rows.history(int(i), int(end)), season, window, is_steady=is_steady)
        for i, end in zip(windows.series, windows.ends, strict=True)
    ]
    units, still = (
        np.array([spread.unit for spread in spreads]),
        np.array([spread.is_still for spread in spreads], bool),
    )
    return Residuals(windows, forecasts, units, still)


def _coverage(
    residuals: Residuals, rows: NDArray[np.bool_], measured: Residuals, judged: NDArray[np.bool_]
) -> dict[str, float]:
    """What intervals from the residuals of rows cover of other windows; levels that they bear alone."""
    kinds = [_ascending(residuals.scaled(rows & (residuals.is_still == still))) for still in (False, True)]
    counts = [min(map(len, kind)) for kind in kinds]
    actual = measured.windows.actual[judged]
    if np.isnan(actual).all():
        return {}
    by_level = {}
    for level in TOLD_LEVELS:
        if needed(level) > max(counts):
            continue
        own = [kinds[i] if counts[i] >= needed(level) else kinds[1 - i] for i in (0, 1)]
        moving, still = (half_widths(kind, level, len(kind)) for kind in own)
        widths = np.where(measured.is_still[judged, None], still, moving) * measured.units[judged, None]
        center = measured.forecasts[judged]
        by_level[str(level)] = coverage(actual, center - widths, center + widths)
    return by_level


def _ascending(residuals: Array) -> list[list[float]]:
    """By step, without NaN, of very many an even choice."""
    most = max(FEWEST_RESIDUALS, MAX_RESIDUALS // residuals.shape[1])
    if len(residuals) > most:
        residuals = residuals[np.linspace(0, len(residuals) - 1, most).astype(int)]
    steps = (np.sort(step[~np.isnan(step)]) for step in residuals.T)
    return [[float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in step] for step in steps]
