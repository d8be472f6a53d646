"""Exponential smoothing of many series with many settings at once, without a loop over time.

Level, trend and the errors of forecasts one step ahead are linear in the values, so each is a product with a matrix
that depends on the setting alone. Source of the recursion: R. J. Hyndman et al., "Forecasting with Exponential
Smoothing", 2008, the error-correction form of table 2.3.
"""

from typing import Any, NamedTuple

import numpy as np

from service.networks.operations import Tensor

# Points that smoothing looks back at: measured, more gained nothing.
MOST_POINTS = 128


class Smoothing(NamedTuple):
    """One setting: how fast level and trend follow, and how the trend dies away. Without a trend `trend_rate` is 0."""

    rate: float
    trend_rate: float = 0.0
    damping: float = 1.0


class Smoothed(NamedTuple):
    """What became of each setting [rows, settings].

    Level and trend after the last point, and the mean squared error of forecasts one step ahead.
    """

    level: Tensor
    trend: Tensor
    squared_error: Tensor


class SmoothingBank:
    """Several settings, as matrices for windows of `MOST_POINTS`; those of shorter ones are corners of them."""

    def __init__(self, settings: tuple[Smoothing, ...]) -> None:
        self._count = len(settings)
        responses = [_respond(setting) for setting in settings]
        age = np.arange(MOST_POINTS) - np.arange(MOST_POINTS)[:, None]  # of each position, at each later one
        errors = [
            np.where(age == 0, 1.0, np.where(age > 0, -expected[np.maximum(age, 0)], 0.0))
            for _, _, expected in responses
        ]
        self._errors = np.stack(errors, axis=1).astype(np.float32)  # [position, settings, later position]
        self._level = np.stack([level[::-1] for level, _, _ in responses], axis=1).astype(np.float32)
        self._trend = np.stack([trend[::-1] for _, trend, _ in responses], axis=1).astype(np.float32)

    def smooth(self, xp: Any, values: Tensor, own: Tensor) -> Smoothed:
        """Smooths series that end at the last column. Everything begins at the first value: level there, no trend.

        Args:
            values: [rows, time].
            own: [rows, time], 1 where there is a value, which is from some position on to the end, else 0.
        """
        time = xp.size(values, 1)
        used = xp.minimum(time, MOST_POINTS)
        values, own = values[:, time - used :], own[:, time - used :]
        count = xp.maximum(xp.sum(own, axis=1, keepdims=True), 1.0)
        first = xp.pick_numbers(values, used - xp.cast(count, "int32"))  # [rows, 1]
        moved = (values - first) * own  # [rows, used]
        # Before the first value everything is 0, the errors too. They follow from no later value: a quarter less work.
        # Of a single position both halves are that one, where the error is always 0.
        half = used // 2
        end = xp.maximum(half, 1)
        squares = self._square(xp, moved[:, :end], 0, end) + self._square(xp, moved, half, used)
        start = MOST_POINTS - used
        return Smoothed(
            xp.matmul(moved, xp.constant(self._level)[start:]) + first,
            xp.matmul(moved, xp.constant(self._trend)[start:]),
            squares / count,
        )

    def _square(self, xp: Any, moved: Tensor, begin: Tensor, end: Tensor) -> Tensor:
        """The sums of squared errors of each setting, from one position to another: [rows, settings].

        Args:
            moved: the values up to the latter, [rows, end].
        """
        kernel = xp.reshape(xp.constant(self._errors)[:end, :, begin:end], (end, self._count * (end - begin)))
        errors = xp.reshape(xp.matmul(moved, kernel), (xp.size(moved, 0), self._count, end - begin))
        return xp.sum(errors * errors, axis=2)


def _respond(setting: Smoothing) -> tuple[Any, Any, Any]:
    """Level, trend, and the next step's forecast so many steps after a single 1 [time]; the last one from step 1 on."""
    level = trend = 0.0
    levels, trends, expected = (np.zeros(MOST_POINTS) for _ in range(3))
    for step in range(MOST_POINTS):
        forecast = level + setting.damping * trend
        expected[step] = forecast
        error = (1.0 if step == 0 else 0.0) - forecast
        level = forecast + setting.rate * error
        trend = setting.damping * trend + setting.rate * setting.trend_rate * error
        levels[step], trends[step] = level, trend
    return levels, trends, expected
