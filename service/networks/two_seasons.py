"""A forecast of series with two seasons, such as the day and the week of hours, without weights that are learnt.

Repetitions of the day and of the week, some of them moved by how far the last points are from those that are repeated,
are tried from earlier points of the window itself. Their mean is the forecast, each counting as the inverse fourth
power of what it erred there (J. M. Bates and C. W. J. Granger, "The Combination of Forecasts", 1969, with a sharper
power). `xp` is what `service.networks.operations` says.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = Any
Constant = NDArray[np.float32]

POWER = 4
# Earlier points that repetitions are tried from, a short season apart.
ORIGINS = 7
# Of a short season: the last points that say where the series is just now...
RECENT = 1 / 12
# ...and after how many steps half of that is forgotten.
HALF_LIFE = 1 / 2
# Errors that are told apart, in a model's units.
LEAST_ERROR = 1e-6


class _Repetition(NamedTuple):
    """A mean of the values so many points before, moved by a share of how far the last `span` are from theirs.

    `moved` [steps] is the share at each step; `span` 0 moves nothing.
    """

    lags: tuple[int, ...]
    span: int
    moved: Constant

    @property
    def needs(self) -> int:
        """How many points it is made of."""
        return max(self.lags) + self.span


class TwoSeasons:
    """What depends on the sizes alone. The long season is a multiple of the short one."""

    def __init__(self, window: int, short: int, long: int, horizon: int) -> None:
        self._repetitions = _repetitions(short, long, horizon)
        self._n_tried = min(horizon, long)
        shifts = [self._n_tried + i * short for i in range(ORIGINS)]
        # Of a window that holds no such point with a long season before it, one with a short season.
        enough = [shift for shift in shifts if window - shift >= long] or shifts[: int(window - shifts[0] >= short)]
        self._now = _Origin(self._repetitions, window, 0, horizon)
        self._tried = [_Origin(self._repetitions, window, shift, self._n_tried) for shift in enough]
        self._needs = _constant([repetition.needs for repetition in self._repetitions])

    def forecast(self, xp: Any, values: Array, own: Array) -> Array:
        """Forecasts windows, of less than a short season by their last value.

        Args:
            values: [batch, window], 0 where there is none.
            own: [batch, window], 1 where there is a value, which is from some position on to the end, else 0.

        Returns:
            [batch, horizon].
        """
        count = xp.sum(own, axis=1, keepdims=True)
        possible = xp.where(count > self._needs - 0.5, 1.0, 0.0)  # [batch, repetitions]
        forecasts = self._now.forecasts(xp, values)  # [batch, repetitions, horizon]
        weights = possible
        if self._tried:
            errors, n_tried = self._try(xp, values, count)
            is_tried = xp.where(n_tried > 0.5, 1.0, 0.0)
            best = xp.min(xp.where(n_tried > 0.5, errors, np.float32(np.finfo(np.float32).max)), axis=1, keepdims=True)
            ratio = (xp.minimum(best, errors) + LEAST_ERROR) / (errors + LEAST_ERROR) * is_tried
            any_tried = xp.max(is_tried, axis=1, keepdims=True)
            squared = ratio * ratio
            weights = xp.where(any_tried > 0.5, squared * squared, possible)
        total = xp.sum(weights, axis=1, keepdims=True)
        mean = xp.sum(xp.expand_dims(weights, 2) * forecasts, axis=1) / xp.maximum(total, 1e-12)
        return xp.where(total > 0, mean, values[:, -1:])

    def _try(self, xp: Any, values: Array, count: Array) -> tuple[Array, Array]:
        """Mean absolute errors at the earlier points that a row has, and how many these are: [batch, repetitions]."""
        total, n_tried = 0.0, 0.0
        for origin in self._tried:
            has = xp.where(count > self._needs + (origin.shift - 0.5), 1.0, 0.0)
            actual = xp.expand_dims(values[:, origin.end : origin.end + self._n_tried], 1)
            errors = xp.mean(xp.abs(origin.forecasts(xp, values) - actual), axis=2)
            total, n_tried = total + errors * has, n_tried + has
        return total / xp.maximum(n_tried, 1.0), n_tried


class _Origin:
    """The repetitions from one point of the window, `shift` points before its end."""

    def __init__(self, repetitions: tuple[_Repetition, ...], window: int, shift: int, steps: int) -> None:
        self.shift, self.end = shift, window - shift
        end = self.end
        self._lags = sorted({lag for repetition in repetitions for lag in repetition.lags})
        # The values that are repeated, for each lag [lags x steps]; a season that is over begins anew.
        period = {lag: repetition.lags[0] for repetition in repetitions for lag in repetition.lags}
        positions = np.concatenate([end - lag + np.arange(steps) % period[lag] for lag in self._lags])
        self._positions = np.maximum(positions, 0).astype(np.int32)
        self._steps = steps
        mean = np.array([[lag in repetition.lags for lag in self._lags] for repetition in repetitions], float)
        self._mean = _constant(mean / mean.sum(axis=1, keepdims=True))  # [repetitions, lags]
        away = np.zeros((window, len(repetitions)))
        for column, repetition in enumerate(repetitions):
            if repetition.span and repetition.needs <= end:
                last = end - repetition.span + np.arange(repetition.span)
                away[last, column] += 1 / repetition.span
                for lag in repetition.lags:
                    away[last - lag, column] -= 1 / repetition.span / len(repetition.lags)
        self._away = _constant(away)
        self._moved = _constant([repetition.moved[:steps] for repetition in repetitions])  # [repetitions, steps]

    def forecasts(self, xp: Any, values: Array) -> Array:
        """[batch, window] -> [batch, repetitions, steps]."""
        repeated = xp.reshape(xp.take(values, self._positions, axis=1), (-1, len(self._lags), self._steps))
        moved = xp.expand_dims(xp.matmul(values, self._away), 2) * self._moved
        return xp.matmul(self._mean, repeated) + moved


def _repetitions(short: int, long: int, horizon: int) -> tuple[_Repetition, ...]:
    steps = np.arange(horizon)
    recent = max(1, round(RECENT * short))
    fading = 0.5 ** (steps / (HALF_LIFE * short))
    day, days, week, weeks = (short,), (short, 2 * short, 3 * short), (long,), (long, 2 * long)
    choices = (
        (day, 0, 0.0 * steps),
        (days, 0, 0.0 * steps),
        (day, recent, fading),
        (week, 0, 0.0 * steps),
        (weeks, 0, 0.0 * steps),
        (week, short, 0.5 + 0.0 * steps),
        (week, short, 1.0 + 0.0 * steps),
        (weeks, short, 0.5 + 0.0 * steps),
        (week, recent, fading),
        (weeks, recent, fading),
    )
    return tuple(_Repetition(lags, span, _constant(moved)) for lags, span, moved in choices)


def _constant(values: Any) -> Constant:
    return np.asarray(values, np.float32)
