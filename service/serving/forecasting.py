"""The forecast use case: from a request to a version's answer for every series, or why a series has none."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.panel import Panel
from service.domain.series import PostedSeries, split, unpack
from service.engines.engine import Array, Engine
from service.errors import Flaw, InvalidRequest
from service.serving.batcher import Batcher, Call, Computed
from service.serving.levels import find_spread
from service.serving.plan import ForecastRequest, Plan, make_plan
from service.serving.registry import Registry
from service.serving.rows import Row, count_points, raise_if_all_bad, read_rows
from service.store.manifest import Manifest

Bounds = NDArray[np.float64]

# Beyond so many numbers, pure computation goes to a thread: about 2 ms, which other requests would wait for.
INLINE_NUMBERS = 20_000
# A large request is read, computed and answered in parts of so many series, a few of them at a time.
PART_SERIES = 512
PARTS_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for: steps, numbers in the answer, points of a series that is read whole."""

    max_horizon: int
    max_answer_values: int
    max_series_length: int


class SeriesForecast(NamedTuple):
    """One series' forecast: `values` [horizon], `sequence` [steps, horizon] where asked for; or its flaw.

    `intervals` are lower and upper bounds by level, each [horizon].
    """

    id: str
    values: Array | None = None
    timestamps: list[str] | None = None
    sequence: Array | None = None
    intervals: dict[str, tuple[Bounds, Bounds]] | None = None
    flaw: Flaw | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """A request's answer; the series are in the order of the request."""

    model: str
    version: int
    plan: Plan
    series: list[SeriesForecast]
    queue_ms: float
    compute_ms: float


@dataclass(frozen=True, slots=True)
class _Work:
    """A request, and what it means."""

    request: ForecastRequest
    manifest: Manifest
    plan: Plan
    panel: Panel | None


class _Part(NamedTuple):
    """The answers to some of a request's series."""

    series: list[SeriesForecast]
    queue_seconds: float
    compute_seconds: float


class Forecasting:
    """Answers forecast requests from the versions of a store."""

    def __init__(self, registry: Registry, batcher: Batcher, limits: Limits) -> None:
        self._registry = registry
        self._batcher = batcher
        self._limits = limits

    async def forecast(self, posted: Any, request: ForecastRequest) -> Forecast:
        """Forecasts every series that can be.

        Args:
            posted: JSON in one of the forms of `service.domain.series`, a Panel, or an iterator over parts of many
                series, each a list of PostedSeries, which takes its time.

        Raises:
            InvalidRequest: the request is wrong, or every one of its series is.
            ModelNotFound, VersionNotFound, NoChampion, VersionDamaged, QueueFull, NotReady.
        """
        manifest = await self._registry.resolve(request.model, request.version)
        plan = make_plan(request, manifest, max_horizon=self._limits.max_horizon)
        work = _Work(request, manifest, plan, posted if isinstance(posted, Panel) else None)
        if isinstance(posted, Panel | Iterator):
            parts = await self._forecast_parts(work, self._read_parts(work, posted))
        else:
            series = split(posted)
            if count_points(series) > INLINE_NUMBERS:
                parts = await self._forecast_parts(work, self._read_parts(work, iter([series])))
            else:
                rows = self._read(work, series)
                n_values = _count_answer_values(rows, work)
                self._check_answer_values(n_values)
                parts = [await self._forecast_rows(work, rows, in_thread=n_values > INLINE_NUMBERS)]
        forecasts = parts[0].series if len(parts) == 1 else [one for part in parts for one in part.series]
        raise_if_all_bad([forecast.flaw for forecast in forecasts])
        return Forecast(
            manifest.name,
            manifest.version,
            plan,
            forecasts,
            # The first part's wait; while one part is computed the next ones wait for it.
            queue_ms=parts[0].queue_seconds * 1000,
            compute_ms=sum(part.compute_seconds for part in parts) * 1000,
        )

    async def _forecast_parts(self, work: "_Work", parts: Iterator[list[Row]]) -> list["_Part"]:
        """Reads parts in a thread, one after the other, while those before are computed; few are in memory at once."""
        free = asyncio.Semaphore(PARTS_IN_FLIGHT)
        tasks: list[asyncio.Task[_Part]] = []
        n_values = 0
        try:
            async with asyncio.TaskGroup() as group:
                await free.acquire()
                while (rows := await asyncio.to_thread(next, parts, None)) is not None:
                    n_values += _count_answer_values(rows, work)
                    self._check_answer_values(n_values)
                    task = group.create_task(self._forecast_rows(work, rows, in_thread=True))
                    task.add_done_callback(lambda _: free.release())
                    tasks.append(task)
                    await free.acquire()
        except BaseExceptionGroup as errors:
            # One request has one answer: what was wrong first.
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    def _read(self, work: "_Work", series: list[PostedSeries]) -> list[Row]:
        return read_rows(
            series,
            work.request,
            work.manifest,
            panel=work.panel,
            horizon=work.plan.horizon,
            max_length=self._limits.max_series_length,
        )

    def _read_parts(self, work: "_Work", posted: Panel | Iterator[list[PostedSeries]]) -> Iterator[list[Row]]:
        for series in [unpack(posted, "/dataset")] if isinstance(posted, Panel) else posted:
            rows = self._read(work, series)
            for first in range(0, len(rows), PART_SERIES):
                yield rows[first : first + PART_SERIES]

    def _check_answer_values(self, n_values: int) -> None:
        """Refuses an answer that would hold too many numbers before they are computed."""
        if n_values > self._limits.max_answer_values:
            raise InvalidRequest.at(
                "/series",
                "answer_too_large",
                f"The answer would hold {n_values} numbers, or more: expected at most {self._limits.max_answer_values}."
                " Send fewer series in one request, or ask for fewer steps.",
            )

    async def _forecast_rows(self, work: "_Work", rows: list[Row], *, in_thread: bool) -> "_Part":
        inputs = [row.values for row in rows if row.values is not None]
        computed, sequences = Computed([], 0.0, 0.0), None
        if inputs:
            engine = await self._registry.engine(work.manifest)
            computed, sequences = await self._run(engine, inputs, work.request, work.plan, work.manifest)
        parts = (rows, computed.rows, sequences, work.plan, work.manifest)
        series = await asyncio.to_thread(_assemble, *parts) if in_thread else _assemble(*parts)
        return _Part(series, computed.queue_seconds, computed.compute_seconds)

    async def _run(
        self, engine: Engine, inputs: list[Array], request: ForecastRequest, plan: Plan, manifest: Manifest
    ) -> tuple[Computed, list[Array] | None]:
        """Forecasts [horizon or more] of the rows and, where asked for, those of all steps [steps, own horizon]."""
        own = manifest.horizon
        main = make_call(engine, plan, manifest)
        if not request.all_steps:
            return await self._batcher.run(main, inputs), None
        steps = await self._batcher.run(Call(engine, "all_steps", own), inputs)
        if not plan.rolled_out:
            # The forecast is the last step's.
            return replace(steps, rows=[row[-1] for row in steps.rows]), steps.rows
        computed = await self._batcher.run(main, inputs)
        total = Computed(
            computed.rows,
            steps.queue_seconds + computed.queue_seconds,
            steps.compute_seconds + computed.compute_seconds,
        )
        return total, steps.rows


def _count_answer_values(rows: list[Row], work: "_Work") -> int:
    """How many numbers the answer for these rows will hold, at most."""
    n_values = len(rows) * work.plan.horizon * (1 + 2 * len(work.plan.half_widths))
    if work.request.all_steps:
        n_values += sum(len(row.values) for row in rows if row.values is not None) * work.manifest.horizon
    return n_values


def _assemble(
    rows: list[Row], answers: list[Array], sequences: list[Array] | None, plan: Plan, manifest: Manifest
) -> list[SeriesForecast]:
    """Joins the answers, one for each row without a flaw, with the series that they are for."""
    # Each answer has the plan's steps, or more: [series, horizon].
    if len(answers) == 1:
        values = answers[0][None, : plan.horizon]
    elif answers:
        values = np.ascontiguousarray(np.concatenate(answers).reshape(len(answers), -1)[:, : plan.horizon])
    else:
        values = np.zeros((0, plan.horizon), np.float32)
    finite = np.isfinite(values)
    overflown = frozenset() if finite.all() else frozenset(np.nonzero(~finite)[0].tolist())
    forecasts = []
    positions = iter(range(len(answers)))
    for row in rows:
        if row.flaw is not None:
            forecasts.append(SeriesForecast(row.id, flaw=row.flaw))
            continue
        i = next(positions)
        sequence = None if sequences is None else np.ascontiguousarray(sequences[i][:, : plan.horizon])
        if i not in overflown and (sequence is None or np.isfinite(sequence).all()):
            intervals = _surround(row, values[i], plan, manifest) if plan.half_widths else None
            forecasts.append(SeriesForecast(row.id, values[i], row.timestamps, sequence, intervals))
        else:
            forecasts.append(SeriesForecast(row.id, flaw=overflow(row.pointer)))
    return forecasts


def _surround(row: Row, values: Array, plan: Plan, manifest: Manifest) -> dict[str, tuple[Bounds, Bounds]]:
    """The intervals of one series' forecast, as wide as the series moves."""
    spread = 0.0 if row.values is None else find_spread(manifest, row.values)
    return {
        level: (values - half_widths * spread, values + half_widths * spread)
        for level, half_widths in plan.half_widths.items()
    }


def make_call(engine: Engine, plan: Plan, manifest: Manifest) -> Call:
    """The engine call that gives a plan's steps, or more."""
    return Call(engine, "rollout", plan.horizon) if plan.rolled_out else Call(engine, "forecast", manifest.horizon)


def overflow(pointer: str) -> Flaw:
    """The flaw of a series whose forecast is not finite."""
    return Flaw(
        pointer,
        "out_of_range",
        "The forecast leaves the range of 32-bit numbers: expected finite values. Send the series in a larger unit, or "
        "ask for fewer steps.",
    )
