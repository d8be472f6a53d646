"""The Theta method for series with two seasons, such as the day and the week of hours.

The short season is taken off by classical decomposition with shrunk factors, then from what is left the long one, and
what is left of that is forecast by the Theta method without a season; then both are put on again. Of three weeks each
hour of a day has been seen 21 times and each hour of a week three times, so that the noise takes little of the former.
"""

from typing import Any

import numpy as np

from service.networks.seasonal_decomposition import decompose
from service.networks.theta import Theta

Array = Any

# Short seasons that level and trend are looked for in.
TREND_SEASONS = 7


class TwoSeasonTheta:
    """What depends on the sizes alone."""

    def __init__(self, window: int, short: int, long: int, horizon: int) -> None:
        self._short, self._long, self._horizon = short, long, horizon
        # Zeros before the window, so that it begins with a phase of both seasons.
        self._missing = -window % long
        self._tail = min(TREND_SEASONS * short, window)
        self._theta = Theta(self._tail, 1, horizon)

    def forecast(self, xp: Any, values: Array, own: Array) -> Array:
        """Forecasts windows; arguments and what is returned are those of `service.networks.theta.Theta.forecast`."""
        values, own = (xp.pad(x, self._missing, 0) for x in (values, own))
        of_short = decompose(xp, values, own, self._short)
        of_long = decompose(xp, of_short.adjusted, own, self._long)
        level = self._theta.forecast(xp, of_long.adjusted[:, -self._tail :], own[:, -self._tail :])
        phases = np.arange(self._horizon)
        forecast = of_long.apply(xp, xp.expand_dims(level, 1), (phases % self._long).astype(np.int32))
        return of_short.apply(xp, forecast, (phases % self._short).astype(np.int32))[:, 0]
