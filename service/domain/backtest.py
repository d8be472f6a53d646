"""Rolling-origin backtests: what was known at each origin, what came after it, and how well that was forecast.

Source: L. J. Tashman, "Out-of-sample tests of forecasting accuracy: an analysis and review", 2000.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.baselines import naive, seasonal_naive
from service.domain.metrics import coverage, score
from service.domain.series import Missing, fill
from service.errors import Flaw

Array = NDArray[np.float64]
Scores = dict[str, Any]

MEASURES = ("mse", "rmse", "mae", "smape", "mase")


@dataclass(frozen=True, slots=True)
class Rolling:
    """`windows` forecasts of `horizon` steps; the last ends with the series, each earlier one `step` points before."""

    horizon: int
    windows: int
    step: int

    @property
    def reach(self) -> int:
        """Points from the first origin to the end of the series."""
        return self.horizon + (self.windows - 1) * self.step

    def origins(self, n_points: int) -> list[int]:
        """How many points are known at each origin, ascending; at least one, of a series longer than `reach`."""
        first = n_points - self.reach
        return [first + window * self.step for window in range(self.windows)]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A series to be forecast at several origins.

    `values` [time] begin and end with a number and have NaN where one is missing; `filled` [time] are the same without
    gaps. `first` is the place of the first of them in the series as it was posted.
    """

    id: str
    pointer: str
    values: Array
    filled: Array
    first: int = 0

    @property
    def n_points(self) -> int:
        return len(self.values)

    def last_measured(self, rolling: Rolling, fewest: int) -> list[int]:
        """The origins of a backtest, those in a gap moved back to where it begins.

        No series is forecast from a value that was not measured: the forecast begins after the last one that was. An
        origin stays where fewer than `fewest` points would be left before it, or nothing to compare with after it.
        """
        known = np.flatnonzero(~np.isnan(self.values))
        origins = []
        for origin in rolling.origins(self.n_points):
            before = np.searchsorted(known, origin)
            moved = int(known[before - 1]) + 1
            reaches = known[before] < moved + rolling.horizon if before < len(known) else False
            origins.append(moved if moved >= fewest and reaches else origin)
        return origins

    def history(self, origin: int) -> Array:
        """What is known before an origin, without gaps; [origin].

        A gap that is still open at the origin carries the last value forward: what would close it is not known yet.
        """
        if not np.isnan(self.values[origin - 1]):
            return self.filled[:origin]
        last = int(np.flatnonzero(~np.isnan(self.values[:origin]))[-1])
        return np.concatenate([self.filled[: last + 1], np.full(origin - 1 - last, self.filled[last])])

    def actuals(self, origins: Iterable[int], horizon: int) -> Array:
        """What came after each origin, NaN where it is not known; [origins, horizon]."""
        return np.stack([self.values[origin : origin + horizon] for origin in origins])


def make_track(name: str, pointer: str, values: Array, missing: Missing) -> Track | Flaw:
    """A series without its leading and trailing gaps, or what keeps it from being forecast; NaN for a missing value."""
    filled = fill(pointer, values, missing)
    if isinstance(filled, Flaw):
        return filled
    known = np.flatnonzero(~np.isnan(values))
    first, end = int(known[0]), int(known[-1]) + 1
    return Track(name, pointer, values[first:end], filled[: end - first], first)


def forecast_naively(histories: list[Array], horizon: int, season: int) -> dict[str, Array]:
    """The baselines that need no fit, each [histories, horizon].

    The seasonal naive forecast of a history shorter than a season is the naive one.
    """
    rows = [history[None, -season:] for history in histories]
    return {
        "naive": np.concatenate([naive(row, horizon) for row in rows]),
        "seasonal_naive": np.concatenate(
            [seasonal_naive(row, horizon, season) if row.shape[1] >= season else naive(row, horizon) for row in rows]
        ),
    }


def measure_forecast(
    actual: Array, forecast: Array, scale: float, intervals: Mapping[str, tuple[Array, Array]] | None = None
) -> Scores:
    """The scores of one series' forecasts.

    Args:
        actual: [origins, horizon], NaN where it is not known: such points don't count.
        forecast: [origins, horizon].
        scale: the series' `seasonal_scale`, NaN where it has none.
        intervals: lower and upper bounds by level, each [origins, horizon].

    Returns:
        `{"mse", "rmse", "mae", "smape", "mase"}`, and `coverage` in percent by level, with intervals.
    """
    known = ~np.isnan(actual)
    # One point a row: all points then weigh the same, also in series with gaps.
    points, forecasts = actual[known][:, None], forecast[known].astype(np.float64)[:, None]
    # A history that hardly moves, before values near the end of the range, has a scale that errors overflow.
    with np.errstate(over="ignore"):
        measured = score(points, forecasts, np.full(len(points), scale))
    scores: Scores = {name: measured[name] for name in MEASURES}
    if scores["mase"] is not None and not np.isfinite(scores["mase"]):
        scores["mase"] = None
    if intervals:
        scores["coverage"] = {
            level: coverage(points, lower[known][:, None], upper[known][:, None])
            for level, (lower, upper) in intervals.items()
        }
    return scores


class ScorePool:
    """The scores of many series together: every point weighs the same, as if all were of one series."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], float] = {}
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, scores: Mapping[str, Scores], n_points: int) -> None:
        """Adds a series: by forecaster what `measure_forecast` gave, over how many points."""
        for forecaster, measures in scores.items():
            for name, value in measures.items():
                if name == "coverage":
                    for level, share in value.items():
                        self._count((forecaster, name, level), share, n_points)
                else:
                    self._count((forecaster, name), value, n_points)

    def scores(self) -> dict[str, Scores]:
        """By forecaster, in the order in which they were first added."""
        pooled: dict[str, Scores] = {}
        for (forecaster, name, *level), total in self._sums.items():
            count = self._counts[(forecaster, name, *level)]
            mean = total / count if count else None
            scores = pooled.setdefault(forecaster, {})
            if level:
                scores.setdefault(name, {})[level[0]] = mean
            else:
                scores[name] = mean
        for scores in pooled.values():
            scores["rmse"] = scores["mse"] ** 0.5
        return pooled

    def _count(self, key: tuple[str, ...], value: float | None, n_points: int) -> None:
        self._sums.setdefault(key, 0.0)
        self._counts.setdefault(key, 0)
        if value is not None:
            self._sums[key] += value * n_points
            self._counts[key] += n_points
