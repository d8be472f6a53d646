"""Synthetic series of many kinds, from formulas alone: what the zero-shot model is pretrained on.

Each family draws series [n, time] with a season in mind. Sources: SARIMA-2 after B. Oreshkin et al., "SarSim0", 2026;
pooled Gaussian-process kernels after A. F. Ansari et al., "Chronos", 2024 (KernelSynth); random causal graphs after
"CauKer", 2025; regime-switching Ornstein-Uhlenbeck paths after "TempoPFN", 2025; multiplicative trends and seasons
after S. Dooley et al., "ForecastPFN", 2023. Exponential-smoothing and Theta-like paths, short yearly histories, counts
and level shifts are ours: published synthetic mixtures lack them, and lose to exponential smoothing on yearly series.
"""

from collections.abc import Callable

import numpy as np
from scipy.signal import lfilter

from pretraining.recording import disturb, mix, record, shift
from pretraining.shapes import (
    Array,
    Rng,
    autoregress,
    draw_noise,
    express,
    log_uniform,
    polynomial,
    season,
)
from service.domain.seasons import Seasons

Family = Callable[[Rng, int, int, Seasons], Array]


def exponential_smoothing(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """Paths of exponential smoothing in its state-space form: level, damped trend, season, additive errors.

    Source: R. J. Hyndman et al., "Forecasting with Exponential Smoothing", 2008, equations 2.12.
    """
    m = seasons.long or seasons.short
    alpha = rng.beta(1.2, 1.5, n) * rng.choice([1.0, 0.3], n, p=[0.7, 0.3])
    beta = alpha * rng.beta(1, 6, n) * rng.integers(0, 2, n)
    gamma = (1 - alpha) * rng.beta(1, 8, n) * rng.integers(0, 2, n)
    damping = np.where(rng.random(n) < 0.65, 1.0, rng.uniform(0.8, 1.0, n))
    sigma = log_uniform(rng, 0.005, 0.3, n)
    level = np.zeros(n)
    # Trends are as steep as the noise lets one see them.
    trend = rng.choice([-0.5, 1.0], n) * sigma * log_uniform(rng, 0.02, 2.0, n) * (rng.random(n) < 0.75)
    trend *= _steepness(seasons)
    pattern = season(rng, n, m, seasons) * log_uniform(rng, 0.02, 1.0, n)[:, None]
    noise = draw_noise(rng, n, time) * sigma[:, None]
    out = np.empty((n, time))
    for t in range(time):
        phase = t % m
        expected = level + damping * trend
        out[:, t] = expected + pattern[:, phase] + noise[:, t]
        level = expected + alpha * noise[:, t]
        trend = damping * trend + beta * noise[:, t]
        pattern[:, phase] += gamma * noise[:, t]
    return express(rng, out)


def _steepness(seasons: Seasons) -> float:
    """How steep trends are from point to point: in weeks of hours there is little to see of them."""
    return 0.05 if seasons.long else 1.0


def trend_and_season(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """A deterministic trend (straight, broken, saturating, exponential), seasons, and noise that may be correlated."""
    x = np.linspace(0, 1, time)
    slope = rng.normal(size=(n, 1)) * log_uniform(rng, 0.05, 3.0, (n, 1)) * np.sqrt(_steepness(seasons))
    where = rng.uniform(-0.2, 1.2, (n, 1))
    width = log_uniform(rng, 0.05, 0.5, (n, 1))
    trends = np.stack(
        [
            np.zeros((n, time)),
            slope * x,
            slope * (x + rng.normal(size=(n, 1)) * np.maximum(x - where, 0)),
            slope * np.tanh((x - where) / width),
            slope * (1 - np.exp(-x / width)),
        ]
    )
    out = trends[rng.integers(0, len(trends), n), np.arange(n)]
    out = out + season(rng, n, time, seasons) * log_uniform(rng, 0.02, 1.0, (n, 1))
    phi = rng.choice([0.0, 1.0], n, p=[0.4, 0.6]) * rng.uniform(0, 0.98, n)
    noise = autoregress(draw_noise(rng, n, time), phi)
    return express(rng, out + noise * log_uniform(rng, 0.003, 0.3, (n, 1)))


def seasonal_arima(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """SARIMA: autoregressive poles in the disc of 0.9, a few moving-average terms, orders of difference 0 to 2."""
    m = seasons.short
    burn = 50 + 2 * m
    out = rng.normal(size=(n, time + burn))
    for i in range(n):
        n_poles = int(rng.integers(0, 4))
        ar = polynomial(rng, n_poles, 0.95)
        ma = polynomial(rng, int(rng.integers(0, 3)), 0.9)
        out[i] = lfilter(ma, ar, out[i])
        if m > 1 and rng.random() < 0.5:
            kernel = np.zeros(m + 1)
            kernel[0], kernel[m] = 1.0, -rng.uniform(0.2, 0.95)
            out[i] = lfilter([1.0], kernel, out[i])
    out = out[:, burn:]
    out /= np.maximum(out.std(axis=1, keepdims=True), 1e-9)
    order = rng.choice(3, n, p=[0.35, 0.55, 0.1])
    out = np.where(order[:, None] >= 1, np.cumsum(out, axis=1), out)
    drift = rng.normal(size=(n, 1)) * log_uniform(rng, 0.01, 0.5, (n, 1)) * (rng.random((n, 1)) < 0.5)
    out = out + np.where(order[:, None] >= 1, drift * np.arange(time), 0.0)
    smooth = np.cumsum(out - out.mean(axis=1, keepdims=True), axis=1) / time
    out = np.where(order[:, None] == 2, smooth, out)
    out /= np.maximum(out.std(axis=1, keepdims=True), 1e-9)
    out = out + season(rng, n, time, seasons) * log_uniform(rng, 0.05, 5.0, (n, 1)) * (rng.random((n, 1)) < 0.7)
    return express(rng, out * log_uniform(rng, 0.02, 0.5, (n, 1)))


def gaussian_process(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """Draws of Gaussian processes with random kernels; one Cholesky factor serves many series."""
    knots = min(time, 300)
    x = np.linspace(0, 1, knots)
    gap = np.abs(x[:, None] - x)
    out = np.empty((n, time))
    share = 64
    for first in range(0, n, share):
        kernel = np.zeros((knots, knots))
        for _ in range(int(rng.integers(1, 4))):
            length = float(log_uniform(rng, 0.02, 1.0, 1)[0])
            kind = rng.integers(0, 4)
            if kind == 0:
                part = np.exp(-0.5 * (gap / length) ** 2)
            elif kind == 1:
                part = (1 + gap**2 / (2 * length**2 * 0.5)) ** -0.5
            elif kind == 2:
                part = np.exp(-gap / length)
            else:
                center = rng.uniform(0, 1)
                part = (x[:, None] - center) * (x - center) * rng.choice([1.0, 10.0])
            kernel = kernel * part if rng.random() < 0.3 and kernel.any() else kernel + part
        factor = np.linalg.cholesky(kernel / kernel.diagonal().mean() + 1e-6 * np.eye(knots))
        some = min(share, n - first)
        draws = (factor @ rng.normal(size=(knots, some))).T
        if knots < time:
            draws = np.stack([np.interp(np.linspace(0, 1, time), x, one) for one in draws])
        out[first : first + some] = draws
    out = out + season(rng, n, time, seasons) * log_uniform(rng, 0.05, 2.0, (n, 1)) * (rng.random((n, 1)) < 0.8)
    out = out + draw_noise(rng, n, time) * log_uniform(rng, 0.01, 0.7, (n, 1))
    return express(rng, out * log_uniform(rng, 0.05, 1.0, (n, 1)))


def causal_graph(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """A node of a random causal graph: mixtures of earlier nodes, with lags, through simple functions."""
    roots = [
        season(rng, n, time, seasons),
        np.cumsum(rng.normal(size=(n, time)), axis=1) / np.sqrt(time),
        autoregress(draw_noise(rng, n, time), rng.uniform(0.5, 0.99, n)) * 0.3,
    ]
    functions = (lambda v: v, np.tanh, lambda v: np.maximum(v, 0), lambda v: np.maximum(v, 0.1 * v), np.sin, np.abs)
    for _ in range(3):
        weights = rng.normal(size=(len(roots), n, 1)) * (rng.random((len(roots), n, 1)) < 0.7)
        lagged = [np.roll(root, int(rng.integers(0, 4)), axis=1) for root in roots]
        mixed = sum(weight * root for weight, root in zip(weights, lagged, strict=True)) + rng.normal(size=(n, 1)) * 0.3
        roots.append(functions[int(rng.integers(0, len(functions)))](mixed))
    out = roots[-1] + draw_noise(rng, n, time) * log_uniform(rng, 0.01, 0.3, (n, 1))
    return express(rng, out * log_uniform(rng, 0.1, 0.7, (n, 1)))


def regimes(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """Ornstein-Uhlenbeck paths whose mean jumps between regimes: level shifts, some of them near the end."""
    stay = rng.uniform(0.85, 0.998, (n, 1))
    jumps = rng.random((n, time)) > stay
    levels = rng.normal(size=(n, time))
    last = np.maximum.accumulate(np.where(jumps, np.arange(time), 0), axis=1)
    target = np.take_along_axis(levels, last, axis=1) * log_uniform(rng, 0.1, 2.0, (n, 1))
    pull = np.where(rng.random(n) < 0.5, rng.uniform(0.02, 0.3, n), rng.uniform(0.5, 1.0, n))
    noise = rng.normal(size=(n, time)) * log_uniform(rng, 0.02, 0.5, (n, 1))
    out = np.empty((n, time))
    state = target[:, 0]
    for t in range(time):
        state = state + pull * (target[:, t] - state) + noise[:, t]
        out[:, t] = state
    out = out + season(rng, n, time, seasons) * log_uniform(rng, 0.05, 1.0, (n, 1)) * (rng.random((n, 1)) < 0.6)
    return express(rng, out * 0.3)


def counts(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """Poisson and over-dispersed counts, many of them intermittent, with rates that drift, shift and have a season."""
    rate = log_uniform(rng, 0.05, 50.0, (n, 1))
    walk = np.cumsum(rng.normal(size=(n, time)), axis=1) * log_uniform(rng, 1e-3, 0.1, (n, 1))
    pattern = season(rng, n, time, seasons) * log_uniform(rng, 0.02, 0.8, (n, 1)) * (rng.random((n, 1)) < 0.6)
    mean = rate * np.exp(np.clip(walk + pattern, -3, 3))
    shape = log_uniform(rng, 0.5, 50.0, (n, 1))
    spread = np.where(rng.random((n, 1)) < 0.5, rng.gamma(shape, 1 / shape, (n, time)), 1.0)
    values = rng.poisson(np.minimum(mean * spread, 1e6)).astype(float)
    sizes = np.where(rng.random((n, 1)) < 0.3, rng.gamma(2.0, 2.0, (n, time)).round(), 1.0)
    return values * sizes


def spikes_and_steps(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """Plateaus, and spikes that repeat with the season or at random."""
    jumps = rng.random((n, time)) < log_uniform(rng, 0.003, 0.1, (n, 1))
    steps = np.cumsum(jumps * rng.normal(size=(n, time)), axis=1) * (rng.random((n, 1)) < 0.6)
    m = seasons.short if seasons.short > 1 else int(rng.integers(5, 30))
    phase = (np.arange(time)[None] + rng.integers(0, m, (n, 1))) % m
    width = np.maximum(1, (m * rng.uniform(0.03, 0.3, (n, 1))).astype(int))
    regular = (phase < width) * rng.choice([-1.0, 1.0], (n, 1)) * log_uniform(rng, 0.3, 3.0, (n, 1))
    at_random = (rng.random((n, time)) < 0.02) * rng.normal(size=(n, time)) * 2
    out = steps + np.where(rng.random((n, 1)) < 0.7, regular, at_random)
    return express(rng, (out + draw_noise(rng, n, time) * log_uniform(rng, 0.01, 0.5, (n, 1))) * 0.3)


def walks(rng: Rng, n: int, time: int, seasons: Seasons) -> Array:
    """Random walks, with drift and changing volatility, as prices move."""
    del seasons
    volatility = np.exp(autoregress(rng.normal(size=(n, time)) * 0.3, np.full(n, 0.9)) * (rng.random((n, 1)) < 0.5))
    drift = rng.normal(size=(n, 1)) * log_uniform(rng, 1e-3, 0.3, (n, 1)) * (rng.random((n, 1)) < 0.6)
    steps = (draw_noise(rng, n, time) * volatility + drift) * log_uniform(rng, 0.003, 0.1, (n, 1))
    return express(rng, np.cumsum(steps, axis=1))


# How often each family is drawn.
FAMILIES: tuple[tuple[Family, float], ...] = (
    (exponential_smoothing, 0.37),
    (trend_and_season, 0.18),
    (seasonal_arima, 0.12),
    (gaussian_process, 0.06),
    (causal_graph, 0.06),
    (regimes, 0.04),
    (counts, 0.06),
    (spikes_and_steps, 0.03),
    (walks, 0.06),
)


STEADY = (trend_and_season, causal_graph, regimes, counts, spikes_and_steps)
STEADY_FACTOR, WALKING_FACTOR = 6.0, 2.5


def draw_series(rng: Rng, n: int, time: int, seasons: Seasons, horizon: int = 0) -> Array:
    """Series [n, time] of all families in their shares, with what measuring and recording does to them.

    The last `horizon` points are what is to be forecast: the level of some series shifts not long before.
    """
    shares = np.array([share for _, share in FAMILIES])
    if seasons.long:
        # What is measured every hour mostly returns to its usual day: wandering is rare.
        shares = np.array([share if family in STEADY else share / STEADY_FACTOR for family, share in FAMILIES])
    if seasons.short == 1:
        # What is measured once a year, or has no season, often walks.
        shares[-1] *= WALKING_FACTOR
    counts_by_family = rng.multinomial(n, shares / shares.sum())
    parts = [family(rng, int(k), time, seasons) for (family, _), k in zip(FAMILIES, counts_by_family, strict=True) if k]
    out = np.concatenate(parts)[rng.permutation(n)]
    out = disturb(rng, mix(rng, out))
    return record(rng, shift(rng, out, time - horizon))
