"""Engines of the zero-shot model, whose forecasts depend on a season beside the series."""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.normalization import normalize
from service.domain.seasons import Seasons, find_seasons
from service.engines.engine import Answers, Array, Kind, Lengths, Series
from service.store.manifest import Manifest

ARCHITECTURE = "zero_shot"
# The calls of an engine: with one season, or none; and with a longer one as well.
ONE_SEASON, TWO_SEASONS = "zero_shot", "zero_shot_two_seasons"
MEASURED_POINTS, MEASURED_ROWS, MEASURED_STEPS = 120, 32, 12
# The least of so many counts, since others use the processor too.
MEASUREMENTS = 5
# Series without a season, with a short one, and all others are calibrated each by themselves: the longest of a group.
LONGEST_OF_GROUPS = (1, 6)
N_GROUPS = len(LONGEST_OF_GROUPS) + 1


def find_group(season: int) -> int:
    """The place of a season among the groups."""
    return bisect_left(LONGEST_OF_GROUPS, season)


class Combined(NamedTuple):
    """What the model says of series.

    Attributes:
        forecast: [batch, horizon].
        unit: in what errors of the forecast are to be expected [batch, horizon].
        weights: of each expert, the mean over the steps [batch, experts].
        errors: what each expert erred on the series' own past [batch, experts].
    """

    forecast: Any
    unit: Any
    weights: Any
    errors: Any

    def row(self, i: int) -> "CombinedRow":
        return CombinedRow(self, i)


class CombinedRow(NamedTuple):
    """What the model says of one of the series. Of many, hardly anybody asks for more than the forecast."""

    batch: Combined
    place: int

    @property
    def forecast(self) -> Any:
        """[horizon]."""
        return self.batch.forecast[self.place]

    @property
    def unit(self) -> Any:
        """[horizon]."""
        return self.batch.unit[self.place]

    @property
    def weights(self) -> Any:
        """[experts]."""
        return self.batch.weights[self.place]

    @property
    def errors(self) -> Any:
        """[experts]."""
        return self.batch.errors[self.place]


class ZeroShotRuntime(Protocol):
    """Combines the experts' forecasts in 32 bits. Thread-safe."""

    def combine(self, series: Array, lengths: Lengths, seasons: Seasons, horizon: int) -> Combined:
        """Series [batch, time], right-padded with zeros, all of the same seasons."""
        ...


@dataclass(frozen=True, slots=True)
class _Cost:
    """Seconds of a call, and of each point of a row in it."""

    call: float
    point: float


class ZeroShotEngine:
    """A loaded zero-shot version. As an `Engine` it finds the season of each series itself."""

    def __init__(self, runtime: ZeroShotRuntime, manifest: Manifest) -> None:
        self._runtime = runtime
        self._horizon = manifest.horizon
        self._factors = tuple(manifest.hyper_parameters["unit_factors"])
        # Their names, in the order of weights.
        self.experts = tuple(manifest.hyper_parameters["experts"])
        self._cost = _Cost(float("inf"), 0.0)

    def combine(self, series: Series, lengths: Lengths, seasons: Seasons, horizon: int) -> Combined:
        """As of the runtime, for series in 64 bits and units of their own."""
        normalized, reference = normalize(series, lengths, "scale")
        forecast, unit, weights, errors = self._runtime.combine(normalized, lengths, seasons, horizon)
        assert reference is not None  # only of models that read values as they are
        size = reference.unit
        return Combined(
            reference.restore(forecast),
            unit.astype(np.float64) * (size * self._factors[find_group(seasons.short)]),
            weights,
            errors.astype(np.float64) * size,
        )

    def estimate(self, kind: Kind, rows: int, length: int, horizon: int) -> float:
        del kind
        return self._cost.call + rows * (length + horizon) * self._cost.point

    def forecast(self, series: Series, lengths: Lengths) -> Answers:
        return self.rollout(series, lengths, self._horizon)

    def rollout(self, series: Series, lengths: Lengths, horizon: int) -> Answers:
        answer = np.empty((len(series), horizon))
        for i, (row, length) in enumerate(zip(series, lengths, strict=True)):
            values = row[:length]
            seasons = find_seasons(values)
            values = values[-seasons.points_read :]
            answer[i] = self.combine(values[None], np.array([len(values)], np.int32), seasons, horizon).forecast[0]
        return answer

    def all_steps(self, series: Series, lengths: Lengths) -> tuple[Answers, Lengths]:
        raise ValueError("this version has no sequence head")

    def warm(self) -> None:
        """Runs each call once, and measures what it costs.

        Raises:
            ValueError: an answer is not a forecast.
        """
        for seasons in (Seasons(12, 24), Seasons(12)):
            for rows in (1, MEASURED_ROWS):
                self._measure(rows, seasons)
        one, many = self._measure(1, Seasons(12)), self._measure(MEASURED_ROWS, Seasons(12))
        points = MEASURED_POINTS + MEASURED_STEPS
        point = max(many - one, 0.0) / (MEASURED_ROWS - 1) / points
        self._cost = _Cost(max(one - point * points, 0.0), point)

    def _measure(self, rows: int, seasons: Seasons) -> float:
        series = np.tile(np.arange(12.0) + 1, (rows, MEASURED_POINTS // 12))
        lengths = np.full(rows, MEASURED_POINTS, np.int32)
        seconds = []
        for _ in range(MEASUREMENTS):
            started = time.perf_counter()
            answer = self.combine(series, lengths, seasons, MEASURED_STEPS)
            seconds.append(time.perf_counter() - started)
        expected = (rows, MEASURED_STEPS)
        if answer.forecast.shape != expected or not np.isfinite(answer.forecast).all():
            raise ValueError(f"an answer has the shape {answer.forecast.shape}, expected {expected}, all finite")
        if answer.weights.shape != (rows, len(self.experts)):
            raise ValueError(f"weights have the shape {answer.weights.shape}, expected {(rows, len(self.experts))}")
        return min(seconds)


def to_combined(outputs: Sequence[NDArray[Any]]) -> Combined:
    """From the outputs of a graph, in the order of the fields."""
    forecast, unit, weights, errors = outputs
    return Combined(forecast, unit, weights, errors)
