"""What happens to synthetic series before a forecaster sees them: mixtures, shifts, disturbances, gaps, rounding."""

import numpy as np

from pretraining.shapes import Array, Rng, log_uniform

# Changes of independent noise about a level are correlated by -0.5 with their neighbours.
STEADY_CORRELATION = -0.4


def mix(rng: Rng, series: Array) -> Array:
    """Every tenth series is a weighted mean of up to three."""
    n = len(series)
    unit = np.maximum(np.abs(series).mean(axis=1, keepdims=True), 1e-12)
    scaled = series / unit
    weights = rng.dirichlet((1.0, 1.0, 1.0), n)
    others = [scaled[rng.permutation(n)] for _ in range(2)]
    mixed = weights[:, :1] * scaled + weights[:, 1:2] * others[0] + weights[:, 2:] * others[1]
    return np.where(rng.random((n, 1)) < 0.1, mixed * unit, series)


def shift(rng: Rng, series: Array, end: int) -> Array:
    """Every fortieth series has clearly another level from a point on that lies shortly before `end`.

    Of series that keep to a level, whose changes mostly undo each other, every eighth.
    """
    n, time = series.shape
    before = np.ceil(log_uniform(rng, 1, max(2.0, 0.3 * end), (n, 1)))
    deviation = np.abs(np.diff(series, axis=1)).mean(axis=1, keepdims=True)
    size = rng.choice([-1.0, 1.0], (n, 1)) * log_uniform(rng, 5.0, 25.0, (n, 1)) * deviation
    moves = np.diff(series, axis=1)
    moves = moves - moves.mean(axis=1, keepdims=True)
    together = (moves[:, 1:] * moves[:, :-1]).sum(axis=1, keepdims=True)
    together /= np.maximum((moves * moves).sum(axis=1, keepdims=True), 1e-12)
    share = np.where(together < STEADY_CORRELATION, 1 / 8, 1 / 40)
    return series + (np.arange(time) >= end - before) * size * (rng.random((n, 1)) < share)


def disturb(rng: Rng, series: Array) -> Array:
    """In every seventh series the level leaves its way for a while and returns: strikes, holidays, broken sensors."""
    n, time = series.shape
    deviation = np.abs(np.diff(series, axis=1)).mean(axis=1, keepdims=True)
    position = np.arange(time)
    for _ in range(3):
        first = rng.integers(0, time, (n, 1))
        length = np.ceil(log_uniform(rng, 1, max(2.0, min(30.0, 0.15 * time)), (n, 1)))
        is_away = (position >= first) & (position < first + length) & (rng.random((n, 1)) < 1 / 20)
        size = rng.choice([-1.0, 1.0], (n, 1)) * log_uniform(rng, 1.5, 15.0, (n, 1)) * deviation
        gone = np.where(rng.random((n, 1)) < 0.3, series * rng.uniform(0, 0.7, (n, 1)), series + size)
        series = np.where(is_away, gone, series)
    return series


def record(rng: Rng, series: Array) -> Array:
    """Outliers, gaps that were filled, time and sign turned round, rounding: as series reach a forecaster."""
    n, time = series.shape
    deviation = np.maximum(np.abs(np.diff(series, axis=1)).mean(axis=1, keepdims=True), 1e-12)
    is_hit = (rng.random((n, time)) < 0.01) & (rng.random((n, 1)) < 0.1)
    series = series + is_hit * rng.normal(size=(n, time)) * 5 * deviation
    turned = rng.random((n, 1)) < 0.05
    series = np.where(turned, series[:, ::-1], series)
    negative = rng.random((n, 1)) < 0.02
    series = np.where(negative, -series, series)
    for i in np.flatnonzero(rng.random(n) < 0.05):
        first = int(rng.integers(0, time))
        gap = slice(first, min(time, first + int(rng.integers(2, max(3, time // 8)))))
        known = np.r_[0:first, gap.stop : time]
        if len(known) > 2:
            series[i, gap] = np.interp(np.arange(gap.start, gap.stop), known, series[i, known])
    unit = np.maximum(np.abs(series).mean(axis=1, keepdims=True), 1e-12)
    digits = unit * 10.0 ** -rng.integers(1, 4, (n, 1))
    rounded = np.round(series / digits) * digits
    return np.where(rng.random((n, 1)) < 0.2, rounded, series)
