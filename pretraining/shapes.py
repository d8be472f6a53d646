"""What synthetic series are made of: seasons, noise, correlations, and how a shape becomes a series."""

import numpy as np
from numpy.typing import NDArray

from service.domain.seasons import Seasons

Array = NDArray[np.float64]
Rng = np.random.Generator


def season_pattern(rng: Rng, n: int, m: int) -> Array:
    """Random patterns [n, m] of mean 0 and deviation about 1: a few waves, independent months, or some peaks."""
    if m == 1:
        return np.zeros((n, 1))
    x = np.arange(m) / m
    top = max(1, m // 2)
    waves = np.zeros((n, m))
    n_waves = np.minimum(rng.integers(1, 7, n), top)
    for k in range(1, min(top, 6) + 1):
        amplitude = rng.normal(size=(2, n, 1)) / np.sqrt(k) * (k <= n_waves)[:, None]
        waves += amplitude[0] * np.sin(2 * np.pi * k * x) + amplitude[1] * np.cos(2 * np.pi * k * x)
    rough = rng.normal(size=(n, m))
    peaks = np.maximum(rng.normal(size=(n, m)) - 1.0, 0)
    choice = rng.choice(4, n, p=[0.45, 0.2, 0.15, 0.2])[:, None]
    out = np.select([choice == 0, choice == 1, choice == 2], [waves, rough, peaks], waves + 0.5 * rough)
    out = out - out.mean(axis=1, keepdims=True)
    return np.asarray(out / np.maximum(out.std(axis=1, keepdims=True), 1e-3))


def season(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """Seasons [n, time]: the short one, the long one where there is one; some fade in or change their size."""
    m = seasons.short
    if m == 1:
        return np.zeros((n, time))
    t = np.arange(time)
    out = season_pattern(rng, n, m)[:, t % m]
    if seasons.long:
        n_days = seasons.long // m
        days = season_pattern(rng, n, n_days)[:, (t // m) % n_days]
        size = log_uniform(rng, 0.05, 1.0, (n, 1)) * (rng.random((n, 1)) < 0.8)
        is_product = rng.random((n, 1)) < 0.5
        out = _mix_days(rng, out, season_pattern(rng, n, m)[:, t % m], (t // m) % n_days, n_days)
        out = (
            out * np.where(is_product, np.maximum(1 + size * days, 0), 1.0)
            + np.where(is_product, 0.3, 1.0) * size * days
        )
    if time <= max(m, seasons.long):
        return np.asarray(out)
    swing = 1 + rng.normal(size=(n, 1)) * 0.5 * np.linspace(-0.5, 0.5, time) * (rng.random((n, 1)) < 0.3)
    return np.asarray(out * swing)


def _mix_days(rng: Rng, usual: Array, other: Array, day: NDArray[np.integer], n_days: int) -> Array:
    """Some days have another pattern [n, time] than most: weekends, market days. In every second series."""
    first, count = rng.integers(0, n_days, (len(usual), 1)), rng.integers(1, max(2, n_days // 2), (len(usual), 1))
    is_other = (day - first) % n_days < count
    share = rng.uniform(0.2, 1.0, (len(usual), 1)) * (rng.random((len(usual), 1)) < 0.5)
    return np.where(is_other, (1 - share) * usual + share * other, usual)


def log_uniform(rng: Rng, low: float, high: float, shape: int | tuple[int, ...]) -> Array:
    return np.exp(rng.uniform(np.log(low), np.log(high), shape))


def draw_noise(rng: Rng, n: int, time: int) -> Array:
    """Noise of deviation about 1: normal, heavy-tailed, or of changing size."""
    normal = rng.normal(size=(n, time))
    heavy = rng.standard_t(3, size=(n, time)) / np.sqrt(3)
    kind = rng.choice(3, n, p=[0.6, 0.25, 0.15])[:, None]
    growing = normal * np.linspace(0.4, 1.6, time)
    return np.select([kind == 0, kind == 1], [normal, heavy], growing)


def autoregress(noise: Array, phi: Array) -> Array:
    out = np.empty_like(noise)
    state = noise[:, 0] / np.sqrt(np.maximum(1 - phi**2, 0.02))
    for t in range(noise.shape[1]):
        state = phi * state + noise[:, t] if t else state
        out[:, t] = state
    return out


def polynomial(rng: Rng, order: int, radius: float) -> Array:
    """A real polynomial in the lag whose inverse roots lie in a disc: [order + 1], the first coefficient 1."""
    roots: list[complex] = []
    while len(roots) < order:
        size = radius * np.sqrt(rng.random())
        if order - len(roots) >= 2 and rng.random() < 0.5:
            root = size * np.exp(1j * rng.uniform(0, np.pi))
            roots += [root, root.conjugate()]
        else:
            roots.append(size * rng.choice([-1.0, 1.0], p=[0.25, 0.75]))
    return np.real(np.poly(roots)) if roots else np.ones(1)


def express(rng: Rng, shape: Array) -> Array:
    """Shapes about 0 as series: exponentials, so that seasons multiply; or moved to a level, so that they add."""
    n = len(shape)
    shape = shape - shape.mean(axis=1, keepdims=True)
    largest = np.abs(shape).max(axis=1, keepdims=True)
    bounded = shape * np.minimum(1.0, 4.0 / np.maximum(largest, 1e-9))
    as_exponential = np.exp(bounded)
    deviation = np.maximum(shape.std(axis=1, keepdims=True), 1e-9)
    # Most series that people measure are positive.
    lowest = shape.min(axis=1, keepdims=True)
    positive = shape - lowest + deviation * log_uniform(rng, 0.05, 30.0, (n, 1))
    free = shape + rng.normal(size=(n, 1)) * deviation * 3
    kind = rng.choice(3, n, p=[0.45, 0.4, 0.15])[:, None]
    return np.select([kind == 0, kind == 1], [as_exponential, positive], free)
