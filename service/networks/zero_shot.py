"""Forecasts of any series without training: classical experts, tried on the series' own past, weighed by a network.

The experts forecast from the end of a series and from a few earlier points of it, where the future is known. What they
err there, and what else is noticed of the series, is what the network reads; it gives each expert's weight at each
step, and the unit in which errors of the forecast are to be expected. Before it has learnt anything the weights follow
the inverse fourth power of the errors (J. M. Bates and C. W. J. Granger, "The Combination of Forecasts", 1969, with a
sharper power).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.networks.experts import EXPERTS, LONG, SEASONAL_ONLY, SHARES, SIZES, run_experts
from service.networks.operations import Tensor

Array = NDArray[np.float32]

# Earlier points that experts are tried from.
ORIGINS = 4
POWER = 4.0
# A backtest needs two seasons and a little before it, or this share of a short series.
SEASONS_BEFORE_BACKTEST = 2
POINTS_BEFORE_BACKTEST = 5
SHARE_BEFORE_BACKTEST = 0.7
# The error of smoothing one step ahead counts as so many points of a backtest, magnified.
PRIOR_POINTS = 2.0
PRIOR_FACTOR = 1.2
# The smallest unit of errors, as a share of a series' magnitude; and the smallest that are told apart.
LEAST_UNIT = 1e-4
LEAST_BEST = 1e-6
LARGEST_LOG = 6.0
LARGEST_LOGS_OF_SIZES = np.array([8.0] * (len(SIZES) - 1) + [12.0], np.float32)
LARGEST_DISTANCE = 10.0
LARGEST_FEATURE = 8.0
LARGEST_LOG_UNIT = 14.0
N_FEATURES = 5 * len(EXPERTS) + 7 + len(SHARES) + len(SIZES)


class Combiner(NamedTuple):
    """The network's weights: layers of (kernel, bias), and how features are centred and scaled.

    `power` and `preference` [experts] make weights of errors before the layers have a say.
    """

    layers: Sequence[tuple[Array, Array]]
    center: Array
    scale: Array
    power: Array
    preference: Array


class ExpertBacktest(NamedTuple):
    """What the combiner reads of series.

    Attributes:
        forecasts: [batch, experts, steps], in units of `scale`.
        features: [batch, features].
        log_errors: of each expert on the series' own past, as a logarithm over the best one's [batch, experts].
        allowed: 1 for experts that have a say, [experts].
        best: the smallest error of an expert, in units of `scale` [batch, 1].
        scale: the mean magnitude of each series [batch, 1].
    """

    forecasts: Tensor
    features: Tensor
    log_errors: Tensor
    allowed: Tensor
    best: Tensor
    scale: Tensor


class Combination(NamedTuple):
    """The forecast and the unit of its errors [batch, steps], and the experts' weights [batch, experts, steps]."""

    forecast: Tensor
    unit: Tensor
    weights: Tensor


def backtest_experts(
    xp: Any, series: Tensor, lengths: Tensor, season: Tensor, long_season: Tensor | None, steps: Tensor, horizon: Tensor
) -> ExpertBacktest:
    """Asks the experts now and at earlier points of each series.

    Args:
        series: [batch, time], right-padded with zeros.
        lengths: [batch], integers of at least 1.
        season, long_season: as of `run_experts`.
        steps: the steps to forecast, integers [steps], 0 for the first.
        horizon: the step after the last one, an integer.
    """
    batch, time = xp.size(series, 0), xp.size(series, 1)
    longest = season if long_season is None else long_season
    width = (time + longest - 1) // longest * longest
    length = xp.cast(season, "float32")
    known = xp.cast(lengths, "float32")
    count = xp.expand_dims(known, 1)
    magnitude = xp.sum(xp.abs(series), axis=1, keepdims=True) / count
    scale = xp.where(magnitude > 0, magnitude, 1.0)  # [batch, 1]
    series = series / scale
    shifts = _origins(xp, known, length, xp.cast(horizon, "float32"))  # [batch, origins], integers
    zeros = xp.expand_dims(lengths - lengths, 1)
    all_shifts = xp.concatenate([zeros, shifts], axis=1)
    ends = xp.expand_dims(lengths, 1) - all_shifts  # [batch, 1 + origins]
    positions = xp.expand_dims(ends, 2) + (xp.arange(width) - width)  # [batch, 1 + origins, width]
    own = xp.where(positions >= 0, 1.0, 0.0)
    within = xp.reshape(xp.maximum(positions, 0), (batch, (1 + ORIGINS) * width))
    values = xp.reshape(xp.pick_numbers(series, within), (batch, 1 + ORIGINS, width)) * own

    rows = batch * (1 + ORIGINS)
    expert_forecasts = run_experts(
        xp,
        xp.reshape(values, (rows, width)),
        xp.reshape(own, (rows, width)),
        season,
        long_season,
        steps,
        rows_per_series=1 + ORIGINS,
    )
    n_steps = xp.size(steps, 0)
    n_experts = len(EXPERTS)
    forecasts = xp.reshape(expert_forecasts.forecasts, (batch, 1 + ORIGINS, n_experts, n_steps))
    facts = expert_forecasts.facts

    targets = xp.expand_dims(ends[:, 1:], 2) + steps  # [batch, origins, steps]
    is_known = xp.where(targets < xp.expand_dims(xp.expand_dims(lengths, 1), 2), 1.0, 0.0)
    within = xp.minimum(xp.reshape(targets, (batch, ORIGINS * n_steps)), time - 1)
    actual = xp.reshape(xp.pick_numbers(series, within), (batch, ORIGINS, n_steps))
    errors = xp.abs(forecasts[:, 1:] - xp.expand_dims(actual, 2)) * xp.expand_dims(is_known, 2)

    allowed = _allowed(xp, length, long_season is not None)
    shares, sizes = facts[:, : len(SHARES)], facts[:, len(SHARES) :]
    prior = PRIOR_FACTOR * (sizes[:, :1] + LEAST_UNIT)
    # Errors over all steps and origins, over the first third of the steps, and from the latest origin.
    is_near = xp.where(steps * 3 <= horizon - 1, 1.0, 0.0)
    of_steps = xp.expand_dims(is_near, 1) * np.array([[0, 1]], np.float32) + np.array([[1, 0]], np.float32)
    is_latest = xp.where(shifts <= shifts[:, :1], 1.0, 0.0)
    total = _count_latest(xp, xp.matmul(errors, of_steps), xp.expand_dims(is_latest, 2))
    total = xp.transpose(total, (0, 2, 1))  # [batch, 3, experts]
    n_counted = _count_latest(xp, xp.matmul(is_known, of_steps), is_latest)
    n_counted = xp.expand_dims(n_counted, 2)  # [batch, 3, 1]
    n_known = n_counted[:, :1]
    # Drawn to what smoothing errs where few are known.
    means = (total / xp.maximum(n_counted, 1.0) * n_known + xp.expand_dims(prior, 2) * PRIOR_POINTS) / (
        n_known + PRIOR_POINTS
    )  # [batch, 3, experts]
    best = xp.min(xp.where(allowed > 0.5, means[:, 0], np.float32(np.inf)), axis=1, keepdims=True)
    best = xp.maximum(best, LEAST_BEST)
    relative_errors = _clip(xp, xp.log(xp.maximum(means, 1e-7) / xp.expand_dims(best, 2)), LARGEST_LOG)
    log_errors = relative_errors[:, 0]
    now = forecasts[:, 0]
    blend = xp.softmax(xp.where(allowed > 0.5, -POWER * log_errors, -1e9))
    center = xp.sum(xp.expand_dims(blend, 2) * now, axis=1)  # [batch, steps]
    distance = _clip(xp, (now - xp.expand_dims(center, 1)) / xp.expand_dims(best, 2), LARGEST_DISTANCE)
    steps_ahead = xp.cast(horizon, "float32")
    has_season = xp.where(length > 1.5, 1.0, 0.0)

    def of_batch(value: Tensor) -> Tensor:
        return count * 0.0 + value

    sizes = xp.log(xp.maximum(sizes / best, 1e-6))
    features = [
        xp.reshape(relative_errors, (batch, 3 * n_experts)),
        xp.mean(distance, axis=2),
        distance[:, :, -1],
        xp.log(count),
        xp.log(count / length),
        of_batch(xp.log(length)),
        of_batch(xp.log(steps_ahead)),
        of_batch(has_season * steps_ahead / length),
        of_batch(0.0 if long_season is None else 1.0),
        xp.log(n_known[:, :, 0] + 1.0) - xp.log(steps_ahead),
        shares,
        xp.minimum(xp.maximum(sizes, -8.0), LARGEST_LOGS_OF_SIZES),
    ]
    return ExpertBacktest(now, xp.concatenate(features, axis=1), log_errors, allowed, best, scale)


def _count_latest(xp: Any, sums: Tensor, is_latest: Tensor) -> Tensor:
    """Sums over origins, of [batch, origins, .., sums], and of the first one that from the latest origin alone.

    Args:
        is_latest: 1 for the latest origin, [batch, origins, ..].

    Returns:
        [batch, .., sums + 1].
    """
    latest = xp.sum(sums[..., :1] * xp.expand_dims(is_latest, -1), axis=1)
    return xp.concatenate([xp.sum(sums, axis=1), latest], axis=-1)


def combine(xp: Any, combiner: Combiner, backtest: ExpertBacktest, steps: Tensor, horizon: Tensor) -> Combination:
    """Weighs the experts: the forecast and the unit of its errors, in units of the series."""
    share = (xp.cast(steps, "float32") + 1.0) / xp.cast(horizon, "float32")
    return weigh(xp, combiner, backtest, xp.expand_dims(share, 0))[0]


def weigh(xp: Any, combiner: Combiner, backtest: ExpertBacktest, share: Tensor) -> tuple[Combination, Tensor]:
    """As `combine`, and what the last layer gave [batch, 2 experts + 3].

    Args:
        share: which part of the horizon has passed after each step, [batch, steps] or [1, steps].
    """
    n_experts = len(EXPERTS)
    hidden = _clip(xp, (backtest.features - combiner.center) / combiner.scale, LARGEST_FEATURE)
    *inner, (kernel, bias) = combiner.layers
    for inner_kernel, inner_bias in inner:
        hidden = xp.gelu(xp.matmul(hidden, inner_kernel) + inner_bias)
    answer = xp.matmul(hidden, kernel) + bias
    at_middle = combiner.preference - combiner.power * backtest.log_errors + answer[:, :n_experts]
    tilt = answer[:, n_experts : 2 * n_experts]
    logits = xp.expand_dims(at_middle, 2) + xp.expand_dims(tilt, 2) * xp.expand_dims(share - 0.5, 1)
    logits = xp.where(xp.expand_dims(backtest.allowed, -1) > 0.5, logits, -1e9)
    weights = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    weights = weights / xp.sum(weights, axis=1, keepdims=True)
    forecast = xp.sum(weights * backtest.forecasts, axis=1)
    rest = answer[:, 2 * n_experts :]
    log_unit = (
        xp.log(backtest.best) + rest[:, :1] + rest[:, 1:2] * (share - 0.5) + rest[:, 2:3] * (0.3 * xp.log(share + 1e-6))
    )
    unit = xp.exp(_clip(xp, log_unit, LARGEST_LOG_UNIT))
    return Combination(forecast * backtest.scale, unit * backtest.scale, weights), answer


def _origins(xp: Any, known: Tensor, season: Tensor, horizon: Tensor) -> Tensor:
    """How far before the end of each series experts are tried: integers [batch, origins], 0 where there is no room."""
    least = xp.where(season > 1.5, SEASONS_BEFORE_BACKTEST * season + 2.0, float(POINTS_BEFORE_BACKTEST))
    before = xp.maximum(xp.minimum(least, SHARE_BEFORE_BACKTEST * known), 2.0)
    room = xp.maximum(known - before, 0.0)
    stride = xp.minimum(horizon, room / float(ORIGINS))
    shifts = xp.expand_dims(stride, 1) * np.arange(1, ORIGINS + 1, dtype=np.float32)
    return xp.cast(xp.floor(shifts + 1e-3), "int32")


def _allowed(xp: Any, season: Tensor, has_long: bool) -> Tensor:
    seasonal = np.array([name in SEASONAL_ONLY for name in EXPERTS], np.float32)
    always = np.array([name not in SEASONAL_ONLY and (has_long or name not in LONG) for name in EXPERTS], np.float32)
    return always + seasonal * xp.where(season > 1.5, 1.0, 0.0)


def _clip(xp: Any, x: Tensor, most: float) -> Tensor:
    return xp.minimum(xp.maximum(x, -most), most)


def flatten(combiner: Combiner) -> list[Array]:
    """A combiner's arrays: center, scale, power, preference, then kernel and bias of each layer."""
    layers = [np.asarray(array, np.float32) for layer in combiner.layers for array in layer]
    return [
        *(np.asarray(a, np.float32) for a in (combiner.center, combiner.scale, combiner.power, combiner.preference)),
        *layers,
    ]


def to_combiner(arrays: Sequence[Any]) -> Combiner:
    """A combiner from its arrays, as `flatten` gives them."""
    center, scale, power, preference, *layers = arrays
    return Combiner(list(zip(layers[::2], layers[1::2], strict=True)), center, scale, power, preference)
