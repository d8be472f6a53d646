"""Calibrates prediction intervals of a model from its out-of-sample residuals, and measures what they cover.

With as many series as make the usual levels trustworthy the residuals are those of the test windows: they are the
newest, and the model that made them had seen all that came before, as the published one has. Coverage is then measured
across series: each half of them by intervals from the other half. With fewer series the residuals are those of the
validation windows, of which each series has several, and coverage is measured on the test windows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.intervals import half_widths, needed, spread
from service.domain.metrics import coverage
from service.domain.recipe import Recipe
from service.domain.splits import ENOUGH_ORIGINS
from service.training.panel import PreparedPanel, Windows

Array = NDArray[np.float64]

# Levels whose coverage is measured and told with the model.
TOLD_LEVELS = (80, 95)
# Numbers that a manifest holds for its intervals. As many residuals a step make any usual level exact.
MAX_RESIDUALS = 30_000
FEWEST_RESIDUALS = 100
SIGNIFICANT_DIGITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Forecasts of windows [n, horizon], and what was wrong with them in spreads of their series [n, horizon]."""

    windows: Windows
    forecasts: Array
    spreads: Array  # [n]

    @property
    def scaled(self) -> Array:
        return np.asarray(np.abs(self.windows.actual - self.forecasts) / self.spreads[:, None])


def calibrate(
    recipe: Recipe, prepared: PreparedPanel, validation: Array, test: Array
) -> tuple[dict[str, Any], dict[str, float]]:
    """The calibration for a manifest, and the coverage of its intervals in percent, by level.

    Args:
        validation, test: forecasts of the windows of those parts [n, horizon]; the ones of test by a model that had
            seen all before them, or else `recipe.refit` is false.
    """
    by_part = [
        Residuals(windows, forecasts, _spreads(prepared, windows, recipe))
        for windows, forecasts in ((prepared.validation, validation), (prepared.test, test))
    ]
    from_test = recipe.refit and len(prepared.test) >= ENOUGH_ORIGINS
    used = by_part[1] if from_test else by_part[0]
    if from_test:
        even = np.arange(len(prepared.test)) % 2 == 0
        halves = [_coverage(used.scaled[one], used, ~one) for one in (even, ~even)]
        covered = {level: (halves[0][level] + halves[1][level]) / 2 for level in halves[0]}
    else:
        covered = _coverage(used.scaled, by_part[1], np.ones(len(prepared.test), bool))
    calibration = {
        "season": recipe.season,
        "window": recipe.longest_window,
        "part": "test" if from_test else "validation",
        "residuals": _ascending(used.scaled),
    }
    return calibration, covered


def _coverage(residuals: Array, measured: Residuals, rows: NDArray[np.bool_]) -> dict[str, float]:
    """What intervals from residuals [n, horizon] cover of the chosen windows; levels that they bear alone."""
    if not rows.any():
        return {}
    by_step = np.sort(residuals, axis=0).T
    found = {}
    for level in TOLD_LEVELS:
        if len(residuals) >= needed(level):
            width = half_widths(by_step, level, len(by_step)) * measured.spreads[rows, None]
            center = measured.forecasts[rows]
            found[str(level)] = coverage(measured.windows.actual[rows], center - width, center + width)
    return found


def _ascending(residuals: Array) -> list[list[float]]:
    """By step, of very many an even choice."""
    most = max(FEWEST_RESIDUALS, MAX_RESIDUALS // residuals.shape[1])
    if len(residuals) > most:
        residuals = residuals[np.linspace(0, len(residuals) - 1, most).astype(int)]
    return [[float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in step] for step in np.sort(residuals, axis=0).T]


def _spreads(prepared: PreparedPanel, windows: Windows, recipe: Recipe) -> Array:
    histories = (
        prepared.rows.history(int(i), int(end))[-recipe.longest_window :]
        for i, end in zip(windows.series, windows.ends, strict=True)
    )
    return np.array([spread(history, recipe.season) for history in histories])
