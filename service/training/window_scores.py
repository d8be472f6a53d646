"""What forecasts of held-out windows are judged by: the choice among fits, their weights, and the gate."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.training.data.panel_split import PreparedPanel, ScoredWindows

Array = NDArray[np.float64]

# MASE; of intermittent demand RMSSE, the root mean squared scaled error of S. Makridakis, E. Spiliotis and
# V. Assimakopoulos, "The M5 competition: background, organization, and implementation", 2022; and where no series has a
# scale, because each repeats itself, the mean absolute error.
Metric = Literal["mase", "rmsse", "mae"]


def choose_metric(prepared: PreparedPanel) -> Metric:
    """The metric of a panel's windows."""
    if not np.isfinite(prepared.validation.scale).any():
        return "mae"
    return "rmsse" if prepared.is_intermittent else "mase"


def measure_windows(windows: ScoredWindows, forecasts: Array, metric: Metric, tolerated: Array | None = None) -> Array:
    """Each window's mean error [n]; squared, for `rmsse`. NaN where a window has no scale, or nothing was measured.

    Args:
        tolerated: [n], what of an error doesn't count, in the user's units; by default nothing.
    """
    known = ~np.isnan(windows.actual)
    errors = np.where(known, np.abs(forecasts - windows.actual), 0.0)
    if tolerated is not None:
        errors = np.maximum(errors - tolerated[:, None], 0.0)
    if metric != "mae":
        errors = errors / windows.scale[:, None]
    if metric == "rmsse":
        errors = np.square(errors)
    counts = known.sum(axis=1)
    return np.where(counts > 0, np.where(known, errors, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def summarize(errors: Array, metric: Metric) -> float:
    """The metric over windows [n], of which none is NaN."""
    mean = float(errors.mean())
    return mean**0.5 if metric == "rmsse" else mean
