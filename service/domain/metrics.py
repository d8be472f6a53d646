"""Forecast errors, in the units of the series or relative to it. What each is: docs/metrics.md."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def score(actual: Array, forecast: Array, scale: Array | None = None) -> dict[str, Any]:
    """Errors over all forecasts, and by horizon step.

    Args:
        actual: [n, horizon].
        forecast: [n, horizon].
        scale: [n], `seasonal_scale` of what came before each forecast, NaN where there is none; for `mase`.

    Returns:
        `{"mse", "rmse", "mae", "smape", "mase", "by_step": {"mse": [..], "mae": [..]}}` with `horizon` entries a list;
        `mase` only with `scale`, None where no row has one.

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
        "smape": symmetric_mean_absolute_percentage_error(actual, forecast),
        **({} if scale is None else {"mase": mean_absolute_scaled_error(actual, forecast, scale)}),
        "by_step": {"mse": mse_by_step.tolist(), "mae": mae_by_step.tolist()},
    }


def symmetric_mean_absolute_percentage_error(actual: Array, forecast: Array) -> float:
    """sMAPE in percent, 0 to 200: the mean of `200 |f - y| / (|y| + |f|)`, 0 where both are 0.

    Source: S. Makridakis and M. Hibon, "The M3-Competition: results, conclusions and implications", 2000.
    """
    error = np.abs(forecast.astype(np.float64) - actual)
    magnitude = np.abs(actual.astype(np.float64)) + np.abs(forecast)
    return float(np.where(magnitude > 0, 200 * error / np.where(magnitude > 0, magnitude, 1), 0.0).mean())


def seasonal_scale(history: Array, season: int) -> float:
    """MASE's denominator: the mean absolute error of the seasonal naive forecast within the history [time].

    NaN where the history is no longer than a season, or repeats itself exactly: MASE then has no scale.
    """
    if len(history) <= season:
        return float("nan")
    scale = float(np.abs(history[season:] - history[:-season]).mean(dtype=np.float64))
    return scale if scale > 0 else float("nan")


def mean_absolute_scaled_error(actual: Array, forecast: Array, scale: Array) -> float | None:
    """MASE: each forecast's mean absolute error over its series' `seasonal_scale`, averaged over forecasts.

    Source: R. J. Hyndman and A. B. Koehler, "Another look at measures of forecast accuracy", 2006.

    Args:
        actual, forecast: [n, horizon].
        scale: [n]; rows with NaN don't count.

    Returns:
        None where no row counts.
    """
    counts = np.isfinite(scale)
    if not counts.any():
        return None
    errors = np.abs(forecast.astype(np.float64) - actual).mean(axis=1)
    return float((errors[counts] / scale[counts]).mean())


def coverage(actual: Array, lower: Array, upper: Array) -> float:
    """The share of values, in percent, that lie within their intervals; all [n, horizon]."""
    return float(100 * ((lower <= actual) & (actual <= upper)).mean())
