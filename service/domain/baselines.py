"""Forecasts that every model has to beat."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def naive(inputs: Array, horizon: int) -> Array:
    """Repeats the last value; inputs [n, time] -> [n, horizon]."""
    return np.repeat(inputs[:, -1:], horizon, axis=1)


def seasonal_naive(inputs: Array, horizon: int, season: int) -> Array:
    """Repeats the last season; inputs [n, at least season] -> [n, horizon].

    Raises:
        ValueError: the inputs are shorter than a season.
    """
    if inputs.shape[1] < season:
        raise ValueError(f"expected at least a season of {season} points, got {inputs.shape[1]}.")
    last = inputs[:, inputs.shape[1] - season :]
    return last[:, np.arange(horizon) % season]


def fit_linear(inputs: Array, futures: Array) -> NDArray[np.float64]:
    """The least-squares linear forecast of the future from the window and a constant.

    Args:
        inputs: [n, window].
        futures: [n, horizon].

    Returns:
        Coefficients [window + 1, horizon], the constant last.
    """
    coefficients, *_ = np.linalg.lstsq(_with_constant(inputs), futures.astype(np.float64))
    return np.asarray(coefficients, dtype=np.float64)


def apply_linear(coefficients: NDArray[np.float64], inputs: Array) -> NDArray[np.float64]:
    """The forecast of `fit_linear`'s coefficients; inputs [n, window] -> [n, horizon]."""
    return _with_constant(inputs) @ coefficients


def _with_constant(inputs: Array) -> NDArray[np.float64]:
    return np.hstack([inputs.astype(np.float64), np.ones((len(inputs), 1))])
