"""Linear least squares that a few wrong values can't decide.

Iteratively reweighted least squares with Huber's weights finds coefficients that most windows agree on; what errs by
many times as much as the usual window then counts for nothing, and all others count in full, so that data without
outliers have the plain least-squares fit.
Source: P. J. Huber, "Robust Estimation of a Location Parameter", 1964; P. J. Rousseeuw and A. M. Leroy, "Robust
Regression and Outlier Detection", 1987 (reweighted least squares).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Where Huber's loss turns from squares to magnitudes, in deviations: 95 % efficient for normal errors.
HUBER = 1.345
# The median magnitude of a normal error, inverted.
MEDIAN_TO_DEVIATION = 1.4826
# Windows that err by more deviations begin to count less, at twice as many for nothing.
TOLERATED = 10.0
ITERATIONS = 30
# Of the deviation, from one iteration to the next.
CONVERGED = 1e-3
# The share of the deviation of plain least squares that a robust fit's may be where there are no outliers.
AGREEING = 0.5
# Of the mean variance of the inputs: keeps provisional fits from failing where inputs depend on each other.
REGULARIZATION = 1e-9
# Windows in which values are missing are filled with what the fit itself says: so often.
FILLINGS = 5


@dataclass(frozen=True, slots=True)
class RobustFit:
    """Coefficients [window + 1, horizon], the constant last, and the deviation of the usual window's error."""

    coefficients: Array
    deviation: float

    def apply(self, inputs: Array) -> Array:
        """Inputs [n, window] -> forecasts [n, horizon]."""
        return np.asarray(inputs @ self.coefficients[:-1] + self.coefficients[-1])

    def complete(self, inputs: Array, futures: Array) -> Array:
        """Futures [n, horizon] with the fit's own forecasts where they are NaN (expectation maximisation)."""
        missing = np.isnan(futures)
        return np.where(missing, self.apply(inputs), futures) if missing.any() else futures

    def reweight(self, inputs: Array, futures: Array, weights: Array) -> Array:
        """The weights [n] of windows, less or none for those whose error is an outlier's."""
        errors = _measure(self.apply(inputs), futures, weights)
        if not self.deviation > 0:
            return weights
        return weights * np.clip(2 - errors / (TOLERATED * self.deviation), 0.0, 1.0)


def fit_robustly(inputs: Array, futures: Array, weights: Array | None = None) -> RobustFit:
    """Finds the coefficients that most windows agree on.

    Args:
        inputs: [n, window].
        futures: [n, horizon], NaN where a value is missing.
        weights: [n], how much a squared error counts; by default alike.
    """
    weights = np.ones(len(inputs)) if weights is None else weights
    extended = np.hstack([inputs, np.ones((len(inputs), 1))])
    known = ~np.isnan(futures)
    targets = np.where(known, futures, 0.0)
    counting = weights > 0
    plain = RobustFit(_solve(extended, targets, weights), np.inf)
    errors = _measure(plain.apply(inputs), futures, weights)
    plain = RobustFit(plain.coefficients, _usual(errors[counting]))
    is_ordinary = known.all() and not (errors[counting] > TOLERATED * plain.deviation).any()
    if plain.deviation == 0:
        return plain
    # Plain least squares would begin where the largest of errors are, and could take any number of steps from there.
    errors = _measure(_medians(futures, known), futures, weights)
    fit = RobustFit(plain.coefficients, _usual(errors[counting]) or plain.deviation)
    for _ in range(ITERATIONS):
        before = fit.deviation
        fit = RobustFit(_solve(extended, targets, _bound(weights, errors, before)), before)
        if not known.all():
            targets = np.where(known, futures, fit.apply(inputs))
        errors = _measure(fit.apply(inputs), futures, weights)
        fit = RobustFit(fit.coefficients, _usual(errors[counting]))
        if fit.deviation == 0 or abs(fit.deviation - before) <= CONVERGED * fit.deviation:
            break
    # Outliers may have made an error usual that is not, and so have hidden themselves.
    return plain if is_ordinary and fit.deviation >= AGREEING * plain.deviation else fit


def fit_linear_robustly(inputs: Array, futures: Array) -> Array:
    """Least squares without the windows that are outliers; coefficients as of `service.domain.baselines.fit_linear`."""
    fit = fit_robustly(inputs, futures)
    kept = fit.reweight(inputs, futures, np.ones(len(inputs))) > 0
    extended = np.hstack([inputs, np.ones((len(inputs), 1))])
    coefficients = fit.coefficients
    for _ in range(FILLINGS if np.isnan(futures).any() else 1):
        targets = RobustFit(coefficients, fit.deviation).complete(inputs, futures)
        solution, *_ = np.linalg.lstsq(extended[kept], targets[kept])
        coefficients = np.asarray(solution, np.float64)
    return coefficients


def _usual(errors: Array) -> float:
    """The deviation that errors [n] would have if they were normal; 0 of none."""
    return MEDIAN_TO_DEVIATION * float(np.median(errors)) if errors.size else 0.0


def _medians(futures: Array, known: NDArray[np.bool_]) -> Array:
    """The median of each step [horizon], 0 where nothing is known."""
    return np.array([np.median(step[own]) if own.any() else 0.0 for step, own in zip(futures.T, known.T, strict=True)])


def _bound(weights: Array, errors: Array, deviation: float) -> Array:
    """Weights [n] under which no window has more influence than one of a usual error."""
    limit = HUBER * deviation
    return weights * limit / np.maximum(errors, limit)


def _solve(extended: Array, targets: Array, weights: Array) -> Array:
    weighted = extended * weights[:, None]
    squares = weighted.T @ extended
    squares[np.diag_indices_from(squares)] += REGULARIZATION * np.trace(squares) / len(squares) + np.finfo(float).tiny
    return np.asarray(np.linalg.solve(squares, weighted.T @ targets))


def _measure(forecasts: Array, futures: Array, weights: Array) -> Array:
    """Each window's root mean squared error, in the unit of its weight: [n]; 0 where nothing is known."""
    known = ~np.isnan(futures)
    squares = np.where(known, np.square(np.where(known, futures, 0.0) - forecasts), 0.0).sum(axis=1)
    return np.asarray(np.sqrt(weights * squares / np.maximum(known.sum(axis=1), 1)))
