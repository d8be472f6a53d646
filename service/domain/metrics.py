"""Forecast errors, in the units of the series or relative to it. What each is: docs/metrics.md."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# A scale under this share of the largest magnitude, some fifty last bits, is rounding noise, and so is one under this
# share of the series' own deviation: of a series that repeats itself exactly, written with fewer digits than it was
# computed with.
NOISE = 1e-14
NOISE_OF_MOVEMENT = 1e-6


def score(actual: Array, forecast: Array, scale: Array | None = None) -> dict[str, Any]:
    """Errors over all forecasts, and by horizon step.

    Args:
        actual: [n, horizon], NaN where nothing was measured: such points don't count.
        forecast: [n, horizon].
        scale: [n], `seasonal_scale` of what came before each forecast, NaN where there is none; for `mase`.

    Returns:
        `{"mse", "rmse", "mae", "smape", "mase", "by_step": {"mse": [..], "mae": [..]}}` with `horizon` entries a list,
        None for a step of which nothing was measured; `mase` only with `scale`, None where no row has one.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    known = ~np.isnan(actual)
    if actual.shape != forecast.shape or not known.any():
        raise ValueError(f"expected equal shapes with values, got {actual.shape} and {forecast.shape}.")
    error = np.where(known, forecast.astype(np.float64) - actual.astype(np.float64), 0.0)
    counts = known.sum(axis=0)
    squares, magnitudes = np.square(error).sum(axis=0), np.abs(error).sum(axis=0)
    mse = float(squares.sum() / counts.sum())
    return {
        "mse": mse,
        "rmse": mse**0.5,
        "mae": float(magnitudes.sum() / counts.sum()),
        "smape": symmetric_mean_absolute_percentage_error(actual, forecast),
        **({} if scale is None else {"mase": mean_absolute_scaled_error(actual, forecast, scale)}),
        "by_step": {"mse": _by_step(squares, counts), "mae": _by_step(magnitudes, counts)},
    }


def _by_step(sums: Array, counts: NDArray[np.int64]) -> list[float | None]:
    return [float(total / count) if count else None for total, count in zip(sums, counts, strict=True)]


def symmetric_mean_absolute_percentage_error(actual: Array, forecast: Array) -> float:
    """sMAPE in percent, 0 to 200: the mean of `200 |f - y| / (|y| + |f|)`, 0 where both are 0.

    NaN in `actual` is left out.

    Source: S. Makridakis and M. Hibon, "The M3-Competition: results, conclusions and implications", 2000.
    """
    known = ~np.isnan(actual)
    y, f = actual[known].astype(np.float64), forecast[known].astype(np.float64)
    error, magnitude = np.abs(f - y), np.abs(y) + np.abs(f)
    return float(np.where(magnitude > 0, 200 * error / np.where(magnitude > 0, magnitude, 1), 0.0).mean())


def seasonal_scale(history: Array, season: int) -> float:
    """MASE's denominator: the mean absolute error of the seasonal naive forecast within the history [time].

    NaN in the history is a value that was not measured. The answer is NaN where the history is no longer than a season,
    or repeats itself but for rounding: MASE then has no scale.
    """
    if len(history) <= season:
        return float("nan")
    history = history.astype(np.float64)
    errors = np.abs(history[season:] - history[:-season])
    measured = errors[~np.isnan(errors)]
    if not measured.size:
        return float("nan")
    scale = float(measured.mean())
    values = history[~np.isnan(history)]
    noise = max(NOISE * float(np.abs(values).max()), NOISE_OF_MOVEMENT * float(values.std()))
    return scale if scale > noise else float("nan")


def mean_absolute_scaled_error(actual: Array, forecast: Array, scale: Array) -> float | None:
    """MASE: each forecast's mean absolute error over its series' `seasonal_scale`, averaged over forecasts.

    Source: R. J. Hyndman and A. B. Koehler, "Another look at measures of forecast accuracy", 2006.

    Args:
        actual: [n, horizon], NaN where nothing was measured.
        forecast: [n, horizon].
        scale: [n]; rows with NaN don't count.

    Returns:
        None where no row counts.
    """
    scaled = scaled_errors(actual, forecast, scale)
    counts = np.isfinite(scaled)
    return float(scaled[counts].mean()) if counts.any() else None


def scaled_errors(actual: Array, forecast: Array, scale: Array) -> NDArray[np.float64]:
    """Each forecast's mean absolute error over its scale [n]; NaN where it has none, or nothing was measured."""
    known = ~np.isnan(actual)
    counts = known.sum(axis=1)
    sums = np.where(known, np.abs(forecast.astype(np.float64) - actual), 0.0).sum(axis=1)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan) / scale)


def coverage(actual: Array, lower: Array, upper: Array) -> float:
    """The share of values, in percent, that lie within their intervals; all [n, horizon], NaN in `actual` left out."""
    known = ~np.isnan(actual)
    return float(100 * ((lower <= actual) & (actual <= upper))[known].mean())
