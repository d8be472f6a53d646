"""Forecast errors, in the units of the series."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def score(actual: Array, forecast: Array) -> dict[str, Any]:
    """Mean squared, root mean squared and mean absolute error, over all and by horizon step.

    Args:
        actual: [n, horizon].
        forecast: [n, horizon].

    Returns:
        `{"mse", "rmse", "mae", "by_step": {"mse": [..], "mae": [..]}}` with `horizon` entries a list.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    if actual.shape != forecast.shape or actual.size == 0:
        raise ValueError(f"expected equal shapes with values, got {actual.shape} and {forecast.shape}.")
    error = forecast.astype(np.float64) - actual.astype(np.float64)
    mse_by_step = np.square(error).mean(axis=0)
    mae_by_step = np.abs(error).mean(axis=0)
    mse = float(mse_by_step.mean())
    return {
        "mse": mse,
        "rmse": mse**0.5,
        "mae": float(mae_by_step.mean()),
        "by_step": {"mse": mse_by_step.tolist(), "mae": mae_by_step.tolist()},
    }


def mean_absolute_scaled_error(actual: Array, forecast: Array, history: Array, season: int) -> float:
    """MASE: the mean absolute error over that of the seasonal naive forecast within the history.

    Source: R. J. Hyndman and A. B. Koehler, "Another look at measures of forecast accuracy", 2006.

    Args:
        actual, forecast: [horizon].
        history: [more than season], what came before.

    Raises:
        ValueError: the history is no longer than a season, or constant from season to season.
    """
    if len(history) <= season:
        raise ValueError(f"expected a history of more than a season of {season} points, got {len(history)}.")
    scale = float(np.abs(history[season:] - history[:-season]).mean())
    if scale == 0:
        raise ValueError("the history repeats itself exactly: MASE has no scale.")
    return float(np.abs(actual - forecast).mean()) / scale
