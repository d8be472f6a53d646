"""The Theta method for a batch of windows, as array operations of whatever library is handed in.

`xp` is what `service.networks.operations` says: there is one formula, and several libraries that compute it.

Sources: V. Assimakopoulos and K. Nikolopoulos, "The theta model: a decomposition approach to forecasting", 2000, as
simple exponential smoothing with half the trend (R. J. Hyndman and B. Billah, "Unmasking the Theta method", 2003);
D. M. Miller and D. Williams, "Shrinkage estimators of time series seasonal factors", 2003. What differs from them: the
smoothing rates are averaged by their likelihood and not chosen, and so are the spans of history looked at.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any
Constant = NDArray[np.float32]

RATES = np.array([0.05, 0.12, 0.25, 0.45, 0.7, 0.95])
# Histories of these shares of the window are forecast each by itself; each holds two seasons, where the window does.
SPANS = (1 / 2, 2 / 3, 1.0)
# A season is one of ratios where no value is under this share of the mean: of smaller ones float32 has too few digits.
LEAST_RATIO = 1e-3
# What counts as zero in a model's units, where a series is constant or a season repeats itself exactly.
TINY = 1e-12


class Theta:
    """What depends on the sizes alone: averages and smoothing as matrices over the window's positions."""

    def __init__(self, window: int, season: int, horizon: int) -> None:
        self.season = season
        spans = sorted({min(window, max(round(share * window), 2 * season)) for share in SPANS})
        position = np.arange(window)
        self._n_spans = len(spans)
        self._spans = _constant([position >= window - span for span in spans])  # [spans, window]
        self._position = _constant(position - (window - 1))  # the last one is 0
        self._steps = _constant(np.arange(horizon))
        phase = (position - window) % season  # the first step ahead has phase 0
        self._phases = _constant(phase[:, None] == np.arange(season))  # [window, season]
        self._phases_ahead = _constant(np.arange(season)[:, None] == np.arange(horizon) % season)  # [season, horizon]
        # A whole season centred at each position; of an even count of points, half of the outermost two.
        distance = np.abs(position[:, None] - position)
        inside = np.where(distance < season / 2, 1.0, np.where(distance == season / 2, 0.5, 0.0))
        self._season_mean = _constant(inside / season)  # [window, window]
        # The level before each position, for each rate, of a series that began at zero; and the level at the end.
        age = position - 1 - position[:, None, None]
        rates = RATES[:, None]
        weights = rates * (1 - rates) ** np.maximum(age, 0) * (age >= 0)  # [window, rates, window]
        self._levels_before = _constant(weights.reshape(window, -1))
        self._last_level = _constant(RATES * (1 - RATES) ** (window - 1 - position)[:, None])  # [window, rates]
        self._window = window

    def forecast(self, xp: Any, values: Array, own: Array) -> Array:
        """Forecasts windows.

        Args:
            values: [batch, window], in any unit; the season is one of ratios where all are clearly positive,
                else of differences. What is not a value must be 0.
            own: [batch, window], 1 where there is a value, which is from some position on to the end, else 0.

        Returns:
            [batch, horizon].
        """
        own = xp.expand_dims(own, 1) * self._spans  # [batch, spans, window]
        values = xp.expand_dims(values, 1) * own
        if self.season == 1:
            return xp.mean(self._extrapolate(xp, values, own), axis=1)
        is_ratio, factors = self._season(xp, values, own)
        here = xp.matmul(factors, self._phases.T)  # [batch, spans, window]
        ahead = xp.matmul(factors, self._phases_ahead)  # [batch, spans, horizon]
        adjusted = xp.where(is_ratio > 0, values / xp.maximum(1 + is_ratio * here, LEAST_RATIO), values - here) * own
        trend = self._extrapolate(xp, adjusted, own)
        return xp.mean(xp.where(is_ratio > 0, trend * (1 + ahead), trend + ahead), axis=1)

    def _season(self, xp: Any, values: Array, own: Array) -> tuple[Array, Array]:
        """Whether the season is one of ratios [batch, spans, 1], and how far each phase is from the level.

        Classical decomposition, whose factors [batch, spans, season] are then shrunk by the share of their variance
        that the scatter of single years explains.
        """
        count = xp.sum(own, axis=-1, keepdims=True)
        level = xp.matmul(values, self._season_mean)
        whole = xp.where(xp.matmul(own, self._season_mean) > 1 - 1e-4, 1.0, 0.0)
        usual = xp.sum(values, axis=-1, keepdims=True) / count
        least = xp.min(xp.where(own > 0, values, usual), axis=-1, keepdims=True)
        is_ratio = xp.where(least > LEAST_RATIO * usual, 1.0, 0.0)
        around = xp.where(is_ratio * whole > 0, values / xp.where(level > 0, level, 1.0) - 1, values - level) * whole
        years = xp.matmul(whole, self._phases)  # [batch, spans, season]
        factors = xp.matmul(around, self._phases) / xp.maximum(years, 1.0)
        # Ratios are to average one, differences zero.
        mean = xp.mean(factors, axis=-1, keepdims=True)
        unit = xp.maximum(1 + is_ratio * mean, TINY)
        factors = (factors - mean) / unit
        scatter = ((around - mean) / unit - xp.matmul(factors, self._phases.T)) * whole
        freedom = xp.maximum(xp.sum(whole, axis=-1, keepdims=True) - self.season, 1.0)
        noise = xp.sum(scatter * scatter, axis=-1, keepdims=True) / freedom
        noise = noise * xp.mean(1 / xp.maximum(years, 1.0), axis=-1, keepdims=True)
        signal = xp.sum(factors * factors, axis=-1, keepdims=True) / (self.season - 1)
        kept = xp.maximum(1 - noise / xp.maximum(signal, TINY), 0.0)
        seen = xp.min(years, axis=-1, keepdims=True)
        kept = xp.where(seen > 0, kept, 0.0) * xp.where(count > 2 * self.season - 0.5, 1.0, 0.0)
        return is_ratio, factors * kept

    def _extrapolate(self, xp: Any, values: Array, own: Array) -> Array:
        """Series without a season: exponential smoothing, and half the slope of a straight line through all points.

        [batch, spans, window] -> [batch, spans, horizon].
        """
        count = xp.sum(own, axis=-1, keepdims=True)
        center = xp.sum(self._position * own, axis=-1, keepdims=True) / count
        away = (self._position - center) * own
        slope = xp.sum(away * values, axis=-1, keepdims=True) / xp.maximum(
            xp.sum(away * away, axis=-1, keepdims=True), TINY
        )
        is_first = xp.where(xp.abs(self._position + (count - 1)) < 0.5, 1.0, 0.0)
        first = xp.sum(values * is_first, axis=-1, keepdims=True)
        moved = (values - first) * own
        before = xp.reshape(
            xp.matmul(moved, self._levels_before), (-1, self._n_spans, len(RATES), self._window)
        )  # [batch, spans, rates, window]
        errors = (xp.expand_dims(moved, 2) - before) * xp.expand_dims(own, 2)
        variance = xp.sum(errors * errors, axis=-1) / count  # [batch, spans, rates]
        likely = -0.5 * count * xp.log(variance + TINY)
        weights = xp.exp(likely - xp.max(likely, axis=-1, keepdims=True))
        weights = weights / xp.sum(weights, axis=-1, keepdims=True)
        rates = _constant(RATES)
        levels = xp.matmul(moved, self._last_level) + first
        # How far the trend has gone on since the points that the level stands for.
        lead = (1 - xp.exp(count * _constant(np.log(1 - RATES)))) / rates
        level = xp.sum(weights * (levels + 0.5 * slope * lead), axis=-1, keepdims=True)
        return level + 0.5 * slope * self._steps


def _constant(values: Any) -> Constant:
    return np.asarray(values, np.float32)
