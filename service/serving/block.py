"""Many series of one length and calendar, forecast as one array: no object is made for each of them.

Only where nothing is to be said of any series alone: no gaps, no numbers out of range, no intervals. All else goes the
common way, and has the same numbers there.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from service.domain.panel import Panel
from service.domain.series import FLOAT32_MAX, PostedSeries, are_plain
from service.engines.engine import Answers, Engine, Series
from service.errors import Flaw
from service.serving.engine_call import MAX_CELLS, MAX_ROWS
from service.serving.forecast_calendar import ForecastCalendar
from service.serving.forecast_plan import ForecastPlan, ForecastRequest
from service.serving.postprocess import SeriesForecast
from service.store.manifest import Manifest

# Fewer are as fast by themselves.
FEWEST_SERIES = 256


@dataclass(frozen=True, slots=True, eq=False)
class BlockForecasts(Sequence[SeriesForecast]):
    """Forecasts `values` [series, horizon] of `ids`, all with the same time stamps; read one by one they are made."""

    ids: Sequence[str]
    values: Answers
    timestamps: list[str] | None

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> SeriesForecast: ...
    @overload
    def __getitem__(self, place: slice) -> "BlockForecasts": ...
    def __getitem__(self, place: int | slice) -> "SeriesForecast | BlockForecasts":
        if isinstance(place, slice):
            return BlockForecasts(self.ids[place], self.values[place], self.timestamps)
        return SeriesForecast(self.ids[place], self.values[place], self.timestamps)

    def __iter__(self) -> Iterator[SeriesForecast]:
        for name, values in zip(self.ids, self.values, strict=True):
            yield SeriesForecast(name, values, self.timestamps)


def may_be_block(panel: Panel, request: ForecastRequest, plan: ForecastPlan, manifest: Manifest) -> bool:
    """Whether a panel may be forecast as one array, as far as can be told without looking at its series."""
    return (
        panel.n_series >= FEWEST_SERIES and not plan.has_spread and not request.all_steps and not manifest.is_zero_shot
    )


def find_block(panel: Panel, manifest: Manifest, max_length: int) -> Series | None:
    """The values [series, time] of a panel that can be forecast as one array, else None. Blocks for a while."""
    length = len(panel.values[0])
    fits = length >= manifest.min_length and (length <= max_length or not manifest.reads_whole_series)
    if not fits or set(panel.starts) != {panel.starts[0]} or set(map(len, panel.values)) != {length}:
        return None
    flat = np.concatenate(panel.values)
    if not are_plain(flat, np.arange(length, len(flat) + 1, length)):
        return None
    return flat.reshape(panel.n_series, length)


def find_stamps(panel: Panel, calendar: ForecastCalendar) -> list[str] | Flaw | None:
    """The time stamps of all series' forecasts, or what is wrong with their start."""
    values, start = panel.values[0], panel.starts[0]
    if not calendar.has_times and start is None:
        return None
    return calendar.timestamps(PostedSeries(panel.ids[0], "/series/0", values, start), len(values))


class BlockWork:
    """Forecasts an array in steps of one engine call each, in as many threads as there are."""

    def __init__(self, engine: Engine, manifest: Manifest, plan: ForecastPlan, values: Series) -> None:
        """Args: `values` [series, time]."""
        self._engine = engine
        self._plan = plan
        # Its last window is all that the model reads.
        self._values = values if manifest.reads_whole_series else values[:, -manifest.window :]
        cells = self._values.shape[1] + max(plan.horizon, manifest.horizon)
        self._rows = max(1, min(MAX_ROWS, MAX_CELLS // cells))
        self._lock = threading.Lock()
        self._answers: list[Answers | None] = []
        self._submitted = time.perf_counter()
        self.queue_seconds = self.compute_seconds = 0.0

    def step(self) -> bool:
        """Computes a part; returns whether there was any left."""
        with self._lock:
            place = len(self._answers)
            series = self._values[place * self._rows : (place + 1) * self._rows]
            if not len(series):
                return False
            self._answers.append(None)
        started = time.perf_counter()
        lengths = np.full(len(series), series.shape[1], np.int32)
        plan = self._plan
        answers = (
            self._engine.rollout(series, lengths, plan.horizon)
            if plan.rolled_out
            else self._engine.forecast(series, lengths)
        )[:, : plan.horizon]
        self._answers[place] = np.maximum(answers, 0) if plan.clips else answers
        with self._lock:
            if not place:
                self.queue_seconds = started - self._submitted
            self.compute_seconds += time.perf_counter() - started
        return True

    def join(self) -> Answers | None:
        """The forecasts [series, horizon]; None where one is beyond 32-bit numbers, which is a flaw of its series."""
        answers = np.concatenate([part for part in self._answers if part is not None])
        # NaN fails the comparison.
        return answers if np.maximum.reduce(np.abs(answers), axis=None) <= FLOAT32_MAX else None
