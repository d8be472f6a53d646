"""What the combiner is fitted to: examples of the experts on synthetic series, with the future that followed."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretraining.shapes import Rng
from pretraining.synthetic import draw_series
from service.domain.seasons import Seasons
from service.networks.operations import NumPyOperations
from service.networks.zero_shot import backtest_experts

Floats = NDArray[np.float32]

BATCH = 500
# Steps of a forecast that are learnt from; of longer horizons so many, evenly spread.
STEPS = 12
WHOLE_HISTORY_SHARE = 0.4
# Errors are measured in what seasonal naive errs on the known part, or at least this share of the best expert's error.
LEAST_SHARE_OF_BEST = 0.2


class Kind(NamedTuple):
    """A kind of series: its seasons, the range of its lengths, the horizons asked for, and how often it is drawn."""

    seasons: Seasons
    shortest: int
    longest: int
    horizons: tuple[int, ...]
    share: float


KINDS = (
    Kind(Seasons(12), 8, 96, (6, 12, 18, 24), 0.26),
    Kind(Seasons(12), 5, 30, (6, 12), 0.03),
    Kind(Seasons(4), 5, 34, (4, 8, 12), 0.16),
    Kind(Seasons(1), 3, 100, (1, 4, 6, 10, 20), 0.14),
    Kind(Seasons(1), 3, 30, (1, 6, 12), 0.05),
    Kind(Seasons(7), 10, 140, (7, 14, 28), 0.10),
    Kind(Seasons(52), 30, 416, (8, 13, 26, 52), 0.06),
    Kind(Seasons(24, 168), 100, 1344, (24, 48, 168), 0.07),
    Kind(Seasons(24), 40, 192, (12, 24, 48), 0.04),
    Kind(Seasons(48, 336), 200, 2100, (48, 96), 0.03),
    Kind(Seasons(5), 10, 100, (5, 10, 20), 0.03),
    Kind(Seasons(96), 200, 768, (96,), 0.01),
    Kind(Seasons(10), 12, 80, (10, 20), 0.02),
    Kind(Seasons(7, 364), 400, 1200, (14, 28), 0.02),
)


class Examples(NamedTuple):
    """Examples of many series, as arrays that can be cut along their first axis.

    Attributes:
        forecasts: [n, experts, STEPS], zeros behind fewer steps; targets [n, STEPS] alike.
        features, log_errors, allowed, best: as of `service.networks.zero_shot.ExpertBacktest`.
        share: which part of the horizon has passed after each step [n, STEPS].
        is_step: 1 where there is a step [n, STEPS].
        unit: what errors are measured in [n].
        kind: the place in `KINDS` [n].
    """

    forecasts: Floats
    features: Floats
    log_errors: Floats
    allowed: Floats
    best: Floats
    targets: Floats
    share: Floats
    is_step: Floats
    unit: Floats
    kind: NDArray[np.int8]

    def take(self, rows: NDArray[np.integer]) -> "Examples":
        return Examples(*(array[rows] for array in self))


def draw_examples(seed: int, count: int) -> Examples:
    """Examples of synthetic series, of all kinds in their shares: the same for the same seed."""
    rng = np.random.default_rng(seed)
    shares = np.array([kind.share for kind in KINDS])
    places = rng.choice(len(KINDS), -(-count // BATCH), p=shares / shares.sum())
    batches = [_draw_batch(rng, int(place)) for place in places]
    return Examples(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))


def _draw_batch(rng: Rng, place: int) -> Examples:
    kind = KINDS[place]
    horizon = int(rng.choice(kind.horizons))
    shortest = max(kind.shortest * 1.5, kind.shortest + 4)
    time = int(np.exp(rng.uniform(np.log(shortest), np.log(kind.longest))))
    series = draw_series(rng, BATCH, time + horizon, kind.seasons, horizon)
    lengths = np.exp(rng.uniform(np.log(kind.shortest), np.log(time + 1), BATCH)).astype(np.int64)
    lengths = np.where(rng.random(BATCH) < WHOLE_HISTORY_SHARE, time, np.clip(lengths, kind.shortest, time))
    position = np.arange(time)
    own = position < lengths[:, None]
    past = np.take_along_axis(series, np.minimum(time - lengths[:, None] + position, time - 1), axis=1) * own
    return make_examples(past, lengths, series[:, time:], kind.seasons, place)


def make_examples(
    past: NDArray[np.float64], lengths: NDArray[np.int64], future: NDArray[np.float64], seasons: Seasons, kind: int = -1
) -> Examples:
    """Examples of given series.

    Args:
        past: [n, time], right-padded with zeros; `lengths` [n].
        future: [n, horizon].
        kind: what to call them.
    """
    n, horizon = future.shape
    steps = np.arange(horizon)
    if horizon > STEPS:
        steps = np.unique(np.round(np.linspace(0, horizon - 1, STEPS)).astype(int))
    backtest = backtest_experts(
        NumPyOperations(),
        past.astype(np.float32),
        lengths,
        np.int64(seasons.short),
        np.int64(seasons.long) if seasons.long else None,
        steps,
        np.int64(horizon),
    )
    missing = STEPS - len(steps)

    def fill(array: NDArray[np.floating]) -> Floats:
        return np.pad(array, [*[(0, 0)] * (array.ndim - 1), (0, missing)]).astype(np.float32)

    def repeat(row: NDArray[np.floating]) -> Floats:
        return np.repeat(row[None], n, axis=0)

    return Examples(
        fill(backtest.forecasts),
        backtest.features,
        backtest.log_errors,
        repeat(backtest.allowed.astype(np.float32)),
        backtest.best,
        fill(future[:, steps] / backtest.scale),
        repeat(fill((steps + 1) / horizon)),
        repeat(fill(np.ones(len(steps)))),
        np.maximum(
            _naive_error(past, lengths, seasons) / backtest.scale[:, 0], LEAST_SHARE_OF_BEST * backtest.best[:, 0]
        ).astype(np.float32)
        + np.float32(1e-4),
        np.full(n, kind, np.int8),
    )


def _naive_error(past: NDArray[np.float64], lengths: NDArray[np.int64], seasons: Seasons) -> NDArray[np.float64]:
    """What seasonal naive errs within the past, as of MASE: [n]."""
    lag = np.where(lengths > seasons.short, seasons.short, 1)[:, None]
    position = np.arange(past.shape[1])
    before = np.take_along_axis(past, np.maximum(position - lag, 0), axis=1)
    counted = (position >= lag) & (position < lengths[:, None])
    return np.asarray((np.abs(past - before) * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1))
