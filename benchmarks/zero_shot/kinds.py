"""Kinds of series that everybody can combine: for each, how the model does beside the best single expert of that kind.

The model gets the series alone and finds the season itself; experts are told it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.seasons import Seasons
from service.networks.experts import EXPERTS
from service.networks.operations import NumPyOperations
from service.networks.zero_shot import backtest_experts

Array = NDArray[np.float64]

SERIES = 200
POINTS = 120
HORIZON = 12


class Kind(NamedTuple):
    """Series [n, time] whose last `HORIZON` points are to be forecast, and their seasons."""

    name: str
    series: NDArray[Any]
    seasons: Seasons


class Comparison(NamedTuple):
    """Mean absolute errors: of the best single expert, by its name, and of seasonal naive."""

    best: str
    best_error: float
    seasonal_naive_error: float


def draw_kinds(seed: int = 2026) -> list[Kind]:
    """All kinds: other draws than any that the model was fitted to."""
    rng = np.random.default_rng(seed)
    n, time = SERIES, POINTS + HORIZON
    t = np.arange(time)
    noise = rng.normal(size=(n, time))
    months = rng.normal(size=(n, 12))[:, t % 12]
    shifts = rng.integers(POINTS - 20, POINTS - 2, (n, 1))
    shifted = (t >= shifts) * rng.choice([-1.0, 1.0], (n, 1)) * rng.uniform(5, 20, (n, 1))
    hours = np.arange(4 * 168 + HORIZON)
    day, week = rng.normal(size=(n, 24))[:, hours % 24], rng.normal(size=(n, 7))[:, hours // 24 % 7]
    return [
        Kind("pure seasonal", 100 + 10 * months, Seasons(12)),
        Kind("seasonal, noisy", 100 + 10 * months + 3 * noise, Seasons(12)),
        Kind("trend", 50 + rng.normal(size=(n, 1)) * t + 2 * noise, Seasons(1)),
        Kind("random walk", 100 + noise.cumsum(axis=1), Seasons(1)),
        Kind("white noise", 100 + noise, Seasons(1)),
        Kind("level shift at the end", 100 + noise + shifted, Seasons(1)),
        Kind("intermittent", (rng.random((n, time)) < 0.15) * rng.poisson(5, (n, time)) * 1.0, Seasons(1)),
        Kind("multiplicative season", 50 * np.exp(0.01 * t + 0.2 * months + 0.03 * noise), Seasons(12)),
        Kind("two seasons", 100 + 10 * day + 6 * week + 2 * rng.normal(size=day.shape), Seasons(24, 168)),
        Kind("12 points", 100 + rng.normal(size=(n, 12 + HORIZON)).cumsum(axis=1), Seasons(1)),
        Kind("3 points", 100 + rng.normal(size=(n, 3 + HORIZON)).cumsum(axis=1), Seasons(1)),
        Kind("constant", np.full((n, time), 7.0), Seasons(1)),
    ]


def compare(kind: Kind) -> Comparison:
    """What each expert errs alone."""
    past, future = kind.series[:, :-HORIZON], kind.series[:, -HORIZON:]
    backtest = backtest_experts(
        NumPyOperations(),
        past.astype(np.float32),
        np.full(len(past), past.shape[1]),
        np.int64(kind.seasons.short),
        np.int64(kind.seasons.long) if kind.seasons.long else None,
        np.arange(HORIZON),
        np.int64(HORIZON),
    )
    forecasts = backtest.forecasts * backtest.scale[:, :, None]
    errors = np.abs(forecasts - future[:, None]).mean(axis=(0, 2))
    errors = np.where(backtest.allowed > 0.5, errors, np.inf)
    best = int(np.argmin(errors))
    return Comparison(EXPERTS[best], float(errors[best]), float(errors[0]))
