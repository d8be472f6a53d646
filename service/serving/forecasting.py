"""The forecast use case: from a request to a version's answer for every series, or why a series has none."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain.panel import Panel
from service.domain.series import split, unpack
from service.engines.engine import Array, Engine
from service.errors import Flaw, InvalidRequest
from service.serving.batcher import Batcher, Call, Computed
from service.serving.levels import find_spread
from service.serving.plan import ForecastRequest, Plan, make_plan
from service.serving.registry import Registry
from service.serving.rows import Row, count_points, raise_if_all_bad, read_rows
from service.store.manifest import Manifest

T = TypeVar("T")
Bounds = NDArray[np.float64]

# Beyond so many numbers, pure computation goes to a thread: about 2 ms, which other requests would wait for.
INLINE_NUMBERS = 20_000


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


class Forecasting:
    """Answers forecast requests from the versions of a store."""

    def __init__(self, registry: Registry, batcher: Batcher, limits: Limits) -> None:
        self._registry = registry
        self._batcher = batcher
        self._limits = limits

    async def forecast(self, request: ForecastRequest) -> Forecast:
        """Forecasts every series that can be.

        Raises:
            InvalidRequest: the request is wrong, or every one of its series is.
            ModelNotFound, VersionNotFound, NoChampion, VersionDamaged, QueueFull, NotReady.
        """
        manifest = await self._registry.resolve(request.model, request.version)
        plan = make_plan(request, manifest, max_horizon=self._limits.max_horizon)
        posted = request.series
        # An upload may hold very many series.
        series = await asyncio.to_thread(unpack, posted, "/dataset") if isinstance(posted, Panel) else split(posted)
        rows = await _compute(
            count_points(series),
            lambda: read_rows(
                series, request, manifest, horizon=plan.horizon, max_length=self._limits.max_series_length
            ),
        )
        inputs = [row.values for row in rows if row.values is not None]
        n_values = self._count_answer_values(inputs, request, plan, manifest)
        engine = await self._registry.engine(manifest)
        computed, sequences = await self._run(engine, inputs, request, plan, manifest)
        forecasts = await _compute(n_values, lambda: _assemble(rows, computed.rows, sequences, plan, manifest))
        return Forecast(
            manifest.name,
            manifest.version,
            plan,
            forecasts,
            queue_ms=computed.queue_seconds * 1000,
            compute_ms=computed.compute_seconds * 1000,
        )

    def _count_answer_values(
        self, inputs: list[Array], request: ForecastRequest, plan: Plan, manifest: Manifest
    ) -> int:
        """How many numbers the answer will hold, refused before anything is computed where they are too many."""
        n_values = len(inputs) * plan.horizon * (1 + 2 * len(plan.half_widths))
        if request.all_steps:
            n_values += sum(map(len, inputs)) * manifest.horizon
        if n_values > self._limits.max_answer_values:
            raise InvalidRequest.at(
                "/series",
                "answer_too_large",
                f"The answer would hold about {n_values} numbers: expected at most {self._limits.max_answer_values}. "
                "Send fewer series in one request, or ask for fewer steps.",
            )
        return n_values

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


async def _compute(n_numbers: int, work: Callable[[], T]) -> T:
    return work() if n_numbers <= INLINE_NUMBERS else await asyncio.to_thread(work)


def _assemble(
    rows: list[Row], answers: list[Array], sequences: list[Array] | None, plan: Plan, manifest: Manifest
) -> list[SeriesForecast]:
    """Joins the answers, one for each row without a flaw, with the series that they are for.

    Raises:
        InvalidRequest: no series has a forecast.
    """
    # Each answer has the plan's steps, or more: [series, horizon].
    values = np.concatenate(answers).reshape(len(answers), -1) if answers else np.zeros((0, plan.horizon), np.float32)
    values = np.ascontiguousarray(values[:, : plan.horizon])
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
    raise_if_all_bad([forecast.flaw for forecast in forecasts])
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
