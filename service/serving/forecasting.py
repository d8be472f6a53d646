"""The forecast use case: turns a request into a forecast, or an error, for each series."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, cast

from service.domain.calendar import STAMP_VALUES
from service.domain.panel import Panel
from service.domain.seasons import Seasons
from service.domain.series import PostedSeries, split, unpack
from service.errors import Flaw, InvalidRequest
from service.serving.batcher import Batcher
from service.serving.block import BlockForecasts, BlockWork, find_block, find_stamps, may_be_block
from service.serving.forecast_plan import AskedMode, ForecastPlan, ForecastRequest, make_forecast_plan
from service.serving.forecast_work import (
    PART_SERIES,
    Part,
    Work,
    answer_part,
    choose_frequency,
    collect_inputs,
    count_answer_values,
    join_answers,
    make_calendar,
    make_calls,
    split_rows,
    weigh,
)
from service.serving.postprocess import SeriesForecast, assemble
from service.serving.preprocess import PreparedSeries, count_points, prepare_series, raise_if_all_bad
from service.serving.registry import Registry
from service.serving.series_parts import read_later
from service.serving.zero_shot import (
    assemble_combined,
    choose_horizon,
    combine_rows,
    find_first_seasons,
)
from service.store.manifest import Manifest

# Beyond so many numbers, pure computation goes to a thread: about 2 ms, which other requests would wait for.
INLINE_NUMBERS = 20_000
# Parts whose answers are joined on the event loop, in less than a millisecond.
INLINE_PARTS = 32
# Of an upload whose answer is written to a file, so many at once.
MOST_PART_SERIES = 1024


@dataclass(frozen=True, slots=True)
class ForecastLimits:
    """Limits on one request: steps, numbers in the answer, points of a series that is read whole."""

    max_horizon: int
    max_answer_values: int
    max_series_length: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """A request's answer; the series are in the order of the request."""

    model: str
    version: int
    plan: ForecastPlan
    series: Sequence[SeriesForecast]
    # How many of them have no flaw.
    n_forecasts: int
    # Whether the request was so large that it was answered in threads.
    is_large: bool
    queue_ms: float
    compute_ms: float


class Forecasting:
    """Answers forecast requests from the versions of a store."""

    def __init__(self, registry: Registry, batcher: Batcher, limits: ForecastLimits) -> None:
        self._registry = registry
        self._batcher = batcher
        self._limits = limits

    async def answer(self, posted: Any, request: ForecastRequest, *, panel_in_body: bool = False) -> Forecast:
        """Forecasts each series, or says why it can't be.

        Args:
            posted: JSON in one of the forms of `service.domain.series`, a Panel, or an iterator over parts of many
                series, each a list of PostedSeries, which takes its time.
            panel_in_body: whether a Panel came with the request, and is no upload that it names.

        Raises:
            InvalidRequest: the request is wrong, or every one of its series is.
            ModelNotFound, VersionNotFound, NoChampion, VersionDamaged, QueueFull, NotReady.
        """
        manifest = await self._registry.resolve(request.model, request.version)
        panel = posted if isinstance(posted, Panel) else None
        many = read_later(posted, in_body=panel_in_body)
        series = [] if many is not None else split(posted)
        freq = choose_frequency(request, panel, manifest)
        first_seasons = default_horizon = None
        if manifest.is_zero_shot and request.horizon is None:
            first = series
            if many is not None:
                first = await asyncio.to_thread(next, many, [])
                many = chain([first], many)
            if count_points(first[:1]) > INLINE_NUMBERS:
                first_seasons = await asyncio.to_thread(find_first_seasons, request, first, freq)
            else:
                first_seasons = find_first_seasons(request, first, freq)
            default_horizon = choose_horizon(first_seasons)
        work = self._plan(request, manifest, panel, freq, default_horizon)
        if panel is not None and may_be_block(panel, request, work.plan, manifest):
            forecast = await self._forecast_block(work, panel)
            if forecast is not None:
                return forecast
        if many is not None:
            parts = await self._forecast_parts(work, many)
        else:
            self._check_answer_values(count_answer_values(series, work))
            if weigh(series, work) > INLINE_NUMBERS:
                parts = await self._forecast_parts(work, iter([series]))
            else:
                part = await self._forecast_rows(work, self._read(work, series, first_seasons))
                return _finish(work, [part], is_large=False)
        if len(parts) <= INLINE_PARTS:
            return _finish(work, parts, is_large=True)
        return await asyncio.to_thread(_finish, work, parts, is_large=True)

    async def settle(self, panel: Panel, first: list[PostedSeries], request: ForecastRequest) -> ForecastRequest:
        """A request for forecasts of a whole upload with all that it leaves open: model, version, mode, horizon.

        Args:
            panel: the upload; its values are not looked at, and may be missing.
            first: its first series alone, whose season a zero-shot forecast is as long as, and whose times are tried.

        Raises:
            InvalidRequest: the version can't fulfil the request.
            ModelNotFound, VersionNotFound, NoChampion, VersionDamaged.
        """
        manifest = await self._registry.resolve(request.model, request.version)
        freq = choose_frequency(request, panel, manifest)
        default_horizon = None
        if manifest.is_zero_shot and request.horizon is None:
            default_horizon = choose_horizon(await asyncio.to_thread(find_first_seasons, request, first, freq))
        work = self._plan(request, manifest, panel, freq, default_horizon)
        plan = work.plan
        for series in first:
            if work.calendar.has_times or series.start is not None:
                # What is wrong with the frequency, or with the start that all share.
                work.calendar.timestamps(series, len(series.values))
        mode = cast(AskedMode, plan.mode)
        return replace(request, model=manifest.name, version=manifest.version, mode=mode, horizon=plan.horizon)

    async def answer_parts(self, panel: Panel, request: ForecastRequest) -> AsyncIterator[Forecast]:
        """Forecasts all series of an upload as `answer` would, in parts, of which some may have no forecast.

        Args:
            panel: the upload, whose values may be mapped from their file.
            request: one of `settle`.

        Raises:
            InvalidRequest: the version can't fulfil the request, or one series' answer would be too large.
            ModelNotFound, VersionNotFound, VersionDamaged, QueueFull, NotReady.
        """
        manifest = await self._registry.resolve(request.model, request.version)
        work = self._plan(request, manifest, panel, choose_frequency(request, panel, manifest))
        each = count_answer_values([PostedSeries("", "", [], "")], work)
        count = max(1, min(MOST_PART_SERIES, self._limits.max_answer_values // each))
        for first in range(0, panel.n_series, count):
            some = slice(first, first + count)
            part = Panel(panel.ids[some], panel.values[some], panel.starts[some], panel.freq)
            # With a calendar of its own: one for all would remember the times of every series.
            here = replace(work, calendar=make_calendar(request, manifest, panel, work.plan))
            parts = await self._forecast_parts(here, iter([unpack(part, "/dataset")]))
            yield _gather(here, parts, is_large=True)

    def _plan(
        self,
        request: ForecastRequest,
        manifest: Manifest,
        panel: Panel | None,
        freq: str | None,
        default_horizon: int | None = None,
    ) -> Work:
        plan = make_forecast_plan(
            request, manifest, max_horizon=self._limits.max_horizon, default_horizon=default_horizon
        )
        return Work(request, manifest, plan, make_calendar(request, manifest, panel, plan), freq)

    async def _forecast_parts(self, work: Work, series: Iterator[list[PostedSeries]]) -> list[Part]:
        """Reads, computes and answers parts in threads, each in one go; while one reads another computes."""
        engine = await self._registry.engine(work.manifest)
        submitted = time.perf_counter()
        parts = self._read_parts(work, series)
        reading = threading.Lock()
        answered: list[Any] = []

        def step() -> bool:
            with reading:
                rows = next(parts, None)
                if rows is None:
                    return False
                place = len(answered)
                answered.append(None)
            answered[place] = answer_part(work, engine, rows, submitted)
            return True

        await self._batcher.run_steps(step)
        return answered

    async def _forecast_block(self, work: Work, panel: Panel) -> Forecast | None:
        """Forecasts series of one length and calendar as one array; None where they are to go the common way."""
        values = await asyncio.to_thread(find_block, panel, work.manifest, self._limits.max_series_length)
        stamps = None if values is None else find_stamps(panel, work.calendar)
        if values is None or isinstance(stamps, Flaw):
            return None
        plan = work.plan
        self._check_answer_values(panel.n_series * plan.horizon * (1 if stamps is None else 1 + STAMP_VALUES))
        block = BlockWork(await self._registry.engine(work.manifest), work.manifest, plan, values)
        await self._batcher.run_steps(block.step)
        answers = await asyncio.to_thread(block.join)
        if answers is None:
            return None
        return Forecast(
            work.manifest.name,
            work.manifest.version,
            plan,
            BlockForecasts(panel.ids, answers, stamps),
            panel.n_series,
            is_large=True,
            queue_ms=block.queue_seconds * 1000,
            compute_ms=block.compute_seconds * 1000,
        )

    def _read_parts(self, work: Work, series: Iterator[list[PostedSeries]]) -> Iterator[list[PreparedSeries]]:
        """Rows in parts of about one engine call, none of which is read before the answer to it is known to fit."""
        n_values = 0
        for some in series:
            n_values += count_answer_values(some, work)
            self._check_answer_values(n_values)
            for first in range(0, len(some), PART_SERIES):
                yield from split_rows(self._read(work, some[first : first + PART_SERIES]))

    def _read(
        self, work: Work, series: list[PostedSeries], first_seasons: Seasons | None = None
    ) -> list[PreparedSeries]:
        return prepare_series(
            series,
            work.request,
            work.manifest,
            work.calendar,
            max_length=self._limits.max_series_length,
            freq=work.freq,
            first_seasons=first_seasons,
        )

    def _check_answer_values(self, n_values: int) -> None:
        """Refuses an answer that would hold too many numbers before they are computed."""
        if n_values > self._limits.max_answer_values:
            raise InvalidRequest.at(
                "/series",
                "answer_too_large",
                f"The answer would hold {n_values} numbers, or more: expected at most {self._limits.max_answer_values}."
                " Send fewer series in one request, or ask for fewer steps.",
            )

    async def _forecast_rows(self, work: Work, rows: list[PreparedSeries]) -> Part:
        inputs = collect_inputs(rows)
        if not inputs:
            return Part(assemble(rows, [], None, work.plan), 0.0, 0.0)
        engine = await self._registry.engine(work.manifest)
        if work.manifest.is_zero_shot:
            seasons = [row.seasons for row in rows if row.seasons is not None]
            combined, queued, computing = await combine_rows(self._batcher, engine, inputs, seasons, work.plan.horizon)
            joined = assemble_combined(rows, combined, engine, work.plan, explained=work.request.explain)
            return Part(joined, queued, computing)
        computed = [await self._batcher.run(call, inputs) for call in make_calls(work, engine)]
        return Part(
            join_answers(work, rows, [call_result.rows for call_result in computed]),
            sum(call_result.queue_seconds for call_result in computed),
            sum(call_result.compute_seconds for call_result in computed),
        )


def _finish(work: Work, parts: list[Part], *, is_large: bool) -> Forecast:
    """Joins the answers. Raises InvalidRequest when no series has one."""
    forecast = _gather(work, parts, is_large=is_large)
    if not forecast.n_forecasts:
        raise_if_all_bad([series.flaw for series in forecast.series])
    return forecast


def _gather(work: Work, parts: list[Part], *, is_large: bool) -> Forecast:
    """Joins the answers, of which all may be flaws."""
    forecasts = parts[0].series if len(parts) == 1 else [series for part in parts for series in part.series]
    flaws = [forecast.flaw for forecast in forecasts]
    return Forecast(
        work.manifest.name,
        work.manifest.version,
        work.plan,
        forecasts,
        flaws.count(None),
        is_large,
        # The first part's wait; while one part is computed the next ones wait for it.
        queue_ms=parts[0].queue_seconds * 1000,
        compute_ms=sum(part.compute_seconds for part in parts) * 1000,
    )
