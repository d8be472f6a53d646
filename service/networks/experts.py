"""Classical forecasts of many series at once: the experts whose forecasts the zero-shot model weighs.

Each is a formula that needs no fit by iteration: settings of exponential smoothing are averaged by their likelihood.
Sources: exponential smoothing with damped trends, E. S. Gardner and E. McKenzie, 1985; the Theta method as smoothing
plus half the slope of a straight line, R. J. Hyndman and B. Billah, "Unmasking the Theta method", 2003.
"""

from typing import Any, NamedTuple

import numpy as np

from service.networks.exponential_smoothing import Smoothed, Smoothing, SmoothingBank
from service.networks.operations import Tensor
from service.networks.seasonal_decomposition import decompose

# Of the short season, or of none.
SHORT = (
    "seasonal_naive",
    "smoothing",
    "damped_trend",
    "theta",
    "theta_long",
    "trend",
    "local_trend",
    "growth",
    "reverting",
    "mean",
    "seasonal_mean",
    "smoothing_without_season",
)
# Of the long season; without one they are the seasonal naive forecast, and have no weight.
LONG = ("seasonal_naive_long", "smoothing_long", "reverting_long", "mean_long")
EXPERTS = SHORT + LONG
# What makes no sense of a series without a season, or, of changes over a season, is too hasty there.
SEASONAL_ONLY = ("local_trend", "growth", "seasonal_mean", "smoothing_without_season")

RATES = (0.05, 0.12, 0.25, 0.45, 0.7, 0.95)
SLOW, MIDDLE, FAST = 1, 2, 4
LEVELS = tuple(Smoothing(rate) for rate in RATES)
TRENDS = tuple(Smoothing(rate, of_trend, 0.9) for rate, of_trend in ((0.2, 0.1), (0.5, 0.1), (0.8, 0.1), (0.8, 0.3)))
# Seasons over which the slope of a straight line is looked for; a series without a season counts as one of four.
SPANS = (1, 6, 12)
LOCAL, MEDIUM, WHOLE = range(3)
POINTS_WITHOUT_SEASON = 4
RECENT_SEASONS = 3
RECENT_CHANGES = 4
LARGEST_CORRELATION = 0.99
# How many times as large as the season before a season may be, for its growth to go on; twice that in all.
LARGEST_GROWTH = 4.0
TINY = 1e-12

_LEVELS, _BOTH = SmoothingBank(LEVELS), SmoothingBank(LEVELS + TRENDS)


class ExpertForecasts(NamedTuple):
    """Forecasts [rows, experts, steps], and what was noticed of each series [series, facts]: `SHARES`, then `SIZES`."""

    forecasts: Tensor
    facts: Tensor


# Shares, and what is in the units of the values.
SHARES = ("season_kept", "is_ratio", "correlation", "long_season_kept", "long_correlation", "zeros", "rate")
SIZES = (
    "smoothing_error",
    "deviation",
    "adjusted_deviation",
    "local_slope",
    "slope",
    "long_slope",
    "level_gap",
    "last_gap",
    "recent_change",
    "magnitude",
)


def run_experts(
    xp: Any,
    values: Tensor,
    own: Tensor,
    season: Tensor,
    long_season: Tensor | None,
    steps: Tensor,
    *,
    rows_per_series: int = 1,
) -> ExpertForecasts:
    """Forecasts series that end at the last column.

    Args:
        values: [rows, time], 0 where there is none; time is a multiple of both seasons.
        own: [rows, time], 1 where there is a value, from some position on to the end, else 0. Each row has one.
        season: points, an integer of at least 1; 1 for none.
        long_season: a multiple of it, or None for none.
        steps: the steps to forecast [steps], integers, 0 for the first.
        rows_per_series: how many rows behind each other are of one series; what is noticed is of the first of them.
    """
    time = xp.size(values, 1)
    count = xp.sum(own, axis=1, keepdims=True)
    length = xp.cast(season, "float32")
    ahead = xp.cast(steps, "float32")
    phases = steps % season
    last = values[:, -1:]
    naive = xp.where(count > length - 0.5, xp.take(values, time - season + phases, axis=1), last)

    found = decompose(xp, values, own, season)
    adjusted = found.adjusted
    smoothed = _BOTH.smooth(xp, adjusted, own)
    of_levels = _likely(xp, smoothed.squared_error[:, : len(LEVELS)], count)
    of_trends = _likely(xp, smoothed.squared_error[:, len(LEVELS) :], count)
    level = _weigh(xp, of_levels, smoothed.level[:, : len(LEVELS)])
    # How far the trend has gone on since the points that the level stands for.
    rates = np.array(RATES, np.float32)
    lead = _weigh(xp, of_levels, (1.0 - xp.exp(count * np.log(1 - rates))) / rates)
    damped = _damp(xp, smoothed, of_trends, ahead)
    unit = xp.where(length > 1.5, length, float(POINTS_WITHOUT_SEASON))
    reverting, mean, around, correlation, total = _revert(xp, adjusted, own, count, ahead)
    slopes = _slopes(xp, around, count, unit)  # [rows, spans]
    recent = _recent_mean(xp, values, adjusted, own, season, phases, level)
    plain = _LEVELS.smooth(xp, values, own)
    plain_level = _weigh(xp, _likely(xp, plain.squared_error, count), plain.level)
    # Half the slope of the longer spans, and the whole one of the shorter: [rows, 4, steps].
    slanted = xp.concatenate([0.5 * slopes[:, MEDIUM:], slopes[:, MEDIUM:WHOLE], slopes[:, LOCAL:MEDIUM]], axis=1)
    lines = xp.expand_dims(level, 2) + xp.expand_dims(slanted, 2) * xp.expand_dims(lead + ahead, 1)
    flat = xp.zeros_like(damped)

    def one(forecast: Tensor) -> Tensor:
        return xp.expand_dims(forecast, 1)

    trends = xp.concatenate([one(level + flat), one(damped), lines], axis=1)
    means = xp.concatenate([one(reverting), one(mean + flat)], axis=1)
    parts = [
        one(naive),
        found.apply(xp, trends, phases),
        one(_grow(xp, values, count, length, unit, ahead, naive)),
        found.apply(xp, means, phases),
        one(xp.where(count > 2.0 * length - 0.5, recent, naive)),
        one(plain_level + flat),
    ]
    long_kept = long_correlation = xp.zeros_like(count)
    if long_season is None:
        parts += [one(naive)] * len(LONG)
    else:
        more, long_kept, long_correlation = _of_long_season(xp, values, own, count, long_season, steps, naive)
        parts += more
    n_series = xp.size(values, 0) // rows_per_series

    def now(x: Tensor) -> Tensor:
        """The first row of each series: [series, ..]."""
        return xp.reshape(x, (n_series, rows_per_series, -1))[:, 0]

    noticed = [
        found.kept,
        found.is_ratio,
        correlation,
        long_kept,
        long_correlation,
        _weigh(xp, of_levels, rates[None]),
        xp.sqrt(xp.min(smoothed.squared_error[:, : len(LEVELS)], axis=1, keepdims=True)),
        xp.sqrt(total / count),
        xp.abs(slopes) * unit,
        xp.abs(smoothed.level[:, FAST : FAST + 1] - smoothed.level[:, SLOW : SLOW + 1]),
        xp.abs(adjusted[:, -1:] - smoothed.level[:, MIDDLE : MIDDLE + 1]),
        _recent_change(xp, adjusted, own),
    ]
    of_now = now(xp.concatenate(noticed, axis=1))
    values, own, count = now(values), now(own), now(count)
    own_mean = xp.sum(values, axis=1, keepdims=True) / count
    spread = (values - own_mean) * own
    n_before = SHARES.index("zeros")
    facts = [
        of_now[:, :n_before],
        xp.sum(xp.where(xp.abs(values) < 1e-9, own, 0.0), axis=1, keepdims=True) / count,
        of_now[:, n_before : n_before + 2],
        xp.sqrt(xp.sum(spread * spread, axis=1, keepdims=True) / count),
        of_now[:, n_before + 2 :],
        xp.abs(own_mean),
    ]
    return ExpertForecasts(xp.concatenate(parts, axis=1), xp.concatenate(facts, axis=1))


def _of_long_season(
    xp: Any, values: Tensor, own: Tensor, count: Tensor, season: Tensor, steps: Tensor, naive: Tensor
) -> tuple[list[Tensor], Tensor, Tensor]:
    """The forecasts of `LONG`, and what was noticed."""
    ahead = xp.cast(steps, "float32")
    phases = steps % season
    time = xp.size(values, 1)
    length = xp.cast(season, "float32")
    found = decompose(xp, values, own, season)
    smoothed = _LEVELS.smooth(xp, found.adjusted, own)
    level = _weigh(xp, _likely(xp, smoothed.squared_error, count), smoothed.level)
    reverting, mean, _, correlation, _ = _revert(xp, found.adjusted, own, count, ahead)
    flat = xp.zeros_like(reverting)
    unseasonal = [xp.expand_dims(forecast, 1) for forecast in (level + flat, reverting, mean + flat)]
    repeated = xp.where(count > length - 0.5, xp.take(values, time - season + phases, axis=1), naive)
    return (
        [xp.expand_dims(repeated, 1), found.apply(xp, xp.concatenate(unseasonal, axis=1), phases)],
        found.kept,
        correlation,
    )


def _likely(xp: Any, squared_error: Tensor, count: Tensor) -> Tensor:
    """How likely each setting is, of normal errors: [rows, settings], which sum to 1."""
    return xp.softmax(-0.5 * count * xp.log(squared_error + TINY))


def _weigh(xp: Any, weights: Tensor, values: Tensor) -> Tensor:
    return xp.sum(weights * values, axis=1, keepdims=True)


def _damp(xp: Any, smoothed: Smoothed, weights: Tensor, ahead: Tensor) -> Tensor:
    """Levels and trends that die away: [rows, steps]. All trends are damped alike."""
    damping = TRENDS[0].damping
    sums = damping * (1.0 - xp.exp((ahead + 1.0) * float(np.log(damping)))) / (1.0 - damping)  # [steps]
    level = _weigh(xp, weights, smoothed.level[:, len(LEVELS) :])
    trend = _weigh(xp, weights, smoothed.trend[:, len(LEVELS) :])
    return level + trend * sums


def _slopes(xp: Any, around: Tensor, count: Tensor, unit: Tensor) -> Tensor:
    """The slopes of straight lines through the last points, by least squares: [rows, spans].

    Args:
        around: values less their mean, 0 where there is none [rows, time].
    """
    time = xp.size(around, 1)
    back = xp.expand_dims(xp.cast(time - 1 - xp.arange(time), "float32"), 1)  # [time, 1]
    spans = np.array(SPANS, np.float32) * unit
    used = xp.where(back < spans - 0.5, 1.0, 0.0)  # [time, spans]
    n_used = xp.minimum(count, spans)  # [rows, spans]
    # The points stand from 0 to `n_used - 1` before the end: mean and squares of that are known.
    sums = xp.matmul(around, xp.concatenate([used, back * used], axis=1))
    away = 0.5 * (n_used - 1.0) * sums[:, : len(SPANS)] - sums[:, len(SPANS) :]
    return away / xp.maximum(n_used * (n_used * n_used - 1.0) / 12.0, TINY)


def _grow(xp: Any, values: Tensor, count: Tensor, length: Tensor, unit: Tensor, ahead: Tensor, naive: Tensor) -> Tensor:
    """The last season, moved on as it has moved from the one before: by a factor where both are positive [rows, steps].

    Without a season the last point moves as it has since `unit` points before it.
    """
    time = xp.size(values, 1)
    position = xp.cast(xp.arange(time) - (time - 1), "float32")
    is_last = xp.where(position > 0.5 - length, 1.0, 0.0)
    is_before = xp.where(position > 0.5 - length - unit, 1.0, 0.0) * xp.where(position < 0.5 - unit, 1.0, 0.0)
    here = xp.concatenate([xp.expand_dims(is_last, 1), xp.expand_dims(is_before, 1)], axis=1)
    means = xp.matmul(values, here) / length
    last, before = means[:, :1], means[:, 1:]
    seen = xp.where(count > length + unit - 0.5, 1.0, 0.0)
    is_ratio = xp.where(xp.minimum(last, before) > TINY, seen, 0.0)
    growth = xp.log(xp.where(is_ratio > 0.5, last, 1.0)) - xp.log(xp.where(is_ratio > 0.5, before, 1.0))
    seasons_ahead = (xp.floor(ahead / length + 1e-4) + 1.0) * (length / unit)
    most = float(np.log(LARGEST_GROWTH))
    growth = xp.minimum(xp.maximum(growth, -most), most)
    factor = xp.exp(xp.minimum(xp.maximum(growth * seasons_ahead, -2.0 * most), 2.0 * most))
    return xp.where(is_ratio > 0.5, naive * factor, naive + seen * (last - before) * seasons_ahead)


def _revert(
    xp: Any, values: Tensor, own: Tensor, count: Tensor, ahead: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A return to the mean as fast as neighbours are correlated [rows, steps].

    Returns:
        That, the mean, what is around it [rows, time], the correlation, and the sum of squares.
    """
    mean = xp.sum(values, axis=1, keepdims=True) / count
    around = (values - mean) * own
    total = xp.sum(around * around, axis=1, keepdims=True)
    shared = xp.sum(around * xp.pad(around, 1, 0)[:, :-1], axis=1, keepdims=True)
    correlation = xp.minimum(xp.maximum(shared / xp.maximum(total, TINY), 0.0), LARGEST_CORRELATION)
    # An exponent of a logarithm: not all libraries raise to a power of a tensor.
    fading = xp.exp((ahead + 1.0) * xp.log(correlation + TINY))
    return mean + fading * (values[:, -1:] - mean), mean, around, correlation, total


def _recent_change(xp: Any, values: Tensor, own: Tensor) -> Tensor:
    """The mean size of the last differences of neighbours: [rows, 1]. A shift of the level before them leaves it."""
    n = xp.minimum(xp.size(values, 1) - 1, RECENT_CHANGES)
    end = xp.size(values, 1)
    both = own[:, end - n - 1 : -1]
    changes = xp.abs(values[:, end - n :] - values[:, end - n - 1 : -1]) * both
    return xp.sum(changes, axis=1, keepdims=True) / xp.maximum(xp.sum(both, axis=1, keepdims=True), 1.0)


def _recent_mean(
    xp: Any, values: Tensor, adjusted: Tensor, own: Tensor, season: Tensor, phases: Tensor, level: Tensor
) -> Tensor:
    """The mean of each phase over the last seasons, moved to today's level: [rows, steps]."""
    rows, time = xp.size(values, 0), xp.size(values, 1)
    n_seasons = xp.minimum(time // season, RECENT_SEASONS)
    first = time - n_seasons * season
    values, adjusted, own = values[:, first:], adjusted[:, first:], own[:, first:]

    def by_phase(x: Tensor) -> Tensor:
        """Sums [season, rows]."""
        return xp.sum(xp.reshape(xp.transpose(x, (1, 0)), (n_seasons, season, rows)), axis=0)

    means = xp.take(by_phase(values) / xp.maximum(by_phase(own), 1.0), phases, axis=0)
    base = xp.sum(adjusted, axis=1, keepdims=True) / xp.maximum(xp.sum(own, axis=1, keepdims=True), 1.0)
    return xp.transpose(means, (1, 0)) + (level - base)
