"""The anomalies use case: one-step forecasts of all points of a series from those before, and which lie outside.

Source of the intervals: the model's errors on points that it had not seen, `service.serving.interval_widths`.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.backtest import Track, make_track
from service.domain.seasons import Seasons, find_all_seasons
from service.domain.series import Missing
from service.engines.engine import Engine, Series
from service.errors import Flaw, InvalidRequest
from service.serving.backtest_plan import PART_ROWS, BacktestData, make_pointers
from service.serving.batcher import Batcher
from service.serving.engine_call import EngineCall
from service.serving.forecast_plan import ForecastPlan, ForecastRequest, make_forecast_plan
from service.serving.forecasting import ForecastLimits
from service.serving.past_forecasts import PastForecasts, RowForecast, forecast_rows, join_rows
from service.serving.postprocess import overflow
from service.serving.preprocess import raise_if_all_bad
from service.serving.registry import Registry
from service.store.manifest import Manifest

Array = NDArray[np.float64]

# A request is computed while its caller waits.
MOST_POINTS = 100_000
# Points that the model reads, of all rows: about ten seconds of work.
MOST_READ = 50_000_000
# Before the zero-shot model knows so many points, or two seasons, its forecasts say little of what is unusual.
LEAST_HISTORY = 8
SEASONS_BEFORE = 2


@dataclass(frozen=True, slots=True)
class AnomaliesRequest:
    """A request without its series; `levels` in percent, none for forecasts without intervals."""

    model: str | None = None
    version: int | str | None = None
    levels: tuple[float, ...] = (99.0,)
    missing: Missing = "interpolate"
    season: int | None = None


class FittedSeries(NamedTuple):
    """One series with its one-step forecasts; arrays are [time], as it was posted, NaN where there is no number.

    `first` is the place of the first forecast. `intervals` are lower and upper bounds by level. `season` is what the
    zero-shot model found.
    """

    id: str
    flaw: Flaw | None = None
    first: int = 0
    actual: Array | None = None
    values: Array | None = None
    intervals: Mapping[str, tuple[Array, Array]] = MappingProxyType({})
    season: int | None = None

    def is_outside(self, level: str) -> NDArray[np.bool_]:
        """Which points lie outside their interval of a level, a key of `intervals`."""
        assert self.actual is not None
        lower, upper = self.intervals[level]
        with np.errstate(invalid="ignore"):
            return (self.actual < lower) | (self.actual > upper)


@dataclass(frozen=True, slots=True, eq=False)
class AnomaliesPlan:
    """One-step forecasts that can be made. `firsts` are the first origins of the series, `seasons` those found."""

    manifest: Manifest
    forecast_plan: ForecastPlan
    series: list[tuple[str, Track | Flaw]]
    n_posted: list[int]
    firsts: dict[str, int] = field(default_factory=dict)
    seasons: dict[str, Seasons] = field(default_factory=dict)

    @property
    def tracks(self) -> list[Track]:
        """The series that can be forecast."""
        return [track for _, track in self.series if isinstance(track, Track)]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The answer, in the order of the request."""

    manifest: Manifest
    series: list[FittedSeries]


class Anomalies:
    """Fits the versions of a store to series that are past, and finds what they did not expect."""

    def __init__(self, registry: Registry, batcher: Batcher, limits: ForecastLimits) -> None:
        self._registry = registry
        self._batcher = batcher
        self._limits = limits

    async def fit(self, request: AnomaliesRequest, data: BacktestData) -> Fitted:
        """One-step forecasts of all points but the first ones.

        Raises:
            InvalidRequest: the request is wrong, or every one of its series is.
            ModelNotFound, VersionNotFound, NoChampion, VersionDamaged, QueueFull, NotReady.
        """
        manifest = await self._registry.resolve(request.model, request.version)
        plan = await asyncio.to_thread(_plan, request, data, manifest, self._limits)
        engine = await self._registry.engine(manifest)
        found: dict[str, FittedSeries] = {}
        for part in await asyncio.to_thread(_split, plan):
            found |= await self._fit_part(plan, engine, part)
        fitted = [FittedSeries(name, track) if isinstance(track, Flaw) else found[name] for name, track in plan.series]
        raise_if_all_bad([series.flaw for series in fitted])
        return Fitted(manifest, fitted)

    async def _fit_part(self, plan: AnomaliesPlan, engine: Engine, part: list[Track]) -> dict[str, FittedSeries]:
        manifest = plan.manifest
        if manifest.reads_whole_series and "sequence" in manifest.modes:
            answers = await self._fit_in_one_pass(plan, engine, part)
            if answers is not None:
                return await asyncio.to_thread(_join, plan, part, answers)
        rows = await asyncio.to_thread(lambda: [row for track in part for row in _rows(plan, track)])
        seasons = None
        if manifest.is_zero_shot:
            seasons = [plan.seasons[track.id] for track in part for _ in _origins(plan, track)]
        answers = await forecast_rows(self._batcher, engine, manifest, plan.forecast_plan, rows, seasons)
        return await asyncio.to_thread(_join, plan, part, answers)

    async def _fit_in_one_pass(
        self, plan: AnomaliesPlan, engine: Engine, part: list[Track]
    ) -> list[RowForecast] | None:
        """Of a sequence head that scales nothing, the forecast made at each step; None where it skips steps."""
        call = EngineCall(engine, "all_steps", plan.manifest.horizon)
        computed = await self._batcher.run(call, [track.filled for track in part])
        answers = []
        for track, steps in zip(part, computed.rows, strict=True):
            if len(steps) != track.n_points:
                return None
            answers += [RowForecast(steps[origin - 1], None) for origin in _origins(plan, track)]
        return answers


def _plan(request: AnomaliesRequest, data: BacktestData, manifest: Manifest, limits: ForecastLimits) -> AnomaliesPlan:
    panel = data.panel
    asked = ForecastRequest(horizon=1, level=request.levels, season=request.season)
    forecast_plan = make_forecast_plan(asked, manifest, max_horizon=limits.max_horizon)
    n_points = sum(map(len, panel.values))
    if n_points > MOST_POINTS:
        raise InvalidRequest.at(
            data.pointers.partition("/{")[0],
            "too_many_points",
            f"Expected at most {MOST_POINTS} points in one request, got {n_points}. Send the series in several.",
        )
    series = [
        (name, make_track(name, pointer, values, request.missing))
        for name, pointer, values in zip(panel.ids, make_pointers(data), panel.values, strict=True)
    ]
    plan = AnomaliesPlan(manifest, forecast_plan, [], [len(values) for values in panel.values])
    tracks = [track for _, track in series if isinstance(track, Track)]
    if manifest.is_zero_shot:
        # Once for each: it is that of the whole series, which also those points that come first belong to.
        found = find_all_seasons([track.filled for track in tracks], season=request.season, freq=data.freq)
        plan.seasons.update(zip((track.id for track in tracks), found, strict=True))
    for name, track in series:
        if isinstance(track, Track):
            plan.firsts[name] = _first_origin(plan, track)
            track = _misfit(plan, track, limits) or track
        plan.series.append((name, track))
    raise_if_all_bad([track if isinstance(track, Flaw) else None for _, track in plan.series])
    n_read = sum(_count_read(plan, track) for track in plan.tracks)
    if n_read > MOST_READ:
        raise InvalidRequest.at(
            data.pointers.partition("/{")[0],
            "too_many_points",
            f"{manifest.name!r} would read {n_read} points, each of them many times: expected at most {MOST_READ}. "
            "Send fewer or shorter series in one request.",
        )
    return plan


def _first_origin(plan: AnomaliesPlan, track: Track) -> int:
    """How many points are known before the first forecast: what the model needs, and two seasons where there are."""
    manifest = plan.manifest
    season = plan.seasons[track.id].short if manifest.is_zero_shot else manifest.data.get("season") or 1
    least = max(manifest.min_length, LEAST_HISTORY if manifest.is_zero_shot else 1)
    return max(least, min(SEASONS_BEFORE * season, track.n_points // 2))


def _misfit(plan: AnomaliesPlan, track: Track, limits: ForecastLimits) -> Flaw | None:
    first = plan.firsts[track.id]
    if track.n_points <= first:
        return Flaw(
            track.pointer,
            "too_short",
            f"Expected at least {first + 1} points, {first} that {plan.manifest.name!r} begins with and one to compare "
            f"with; the series has {track.n_points}, leading and trailing nulls not counted. Send more history.",
        )
    if plan.manifest.reads_whole_series and track.n_points > limits.max_series_length:
        return Flaw(
            track.pointer,
            "too_long",
            f"{plan.manifest.name!r} reads a series whole, {limits.max_series_length} points at most; this one has "
            f"{track.n_points}. Send its last part.",
        )
    return None


def _origins(plan: AnomaliesPlan, track: Track) -> range:
    return range(plan.firsts[track.id], track.n_points)


def _split(plan: AnomaliesPlan) -> list[list[Track]]:
    """The series in parts that are computed at once; at least one a part."""
    parts: list[list[Track]] = []
    n_rows = PART_ROWS
    for track in plan.tracks:
        n_rows += len(_origins(plan, track))
        if n_rows > PART_ROWS:
            parts.append([])
            n_rows = len(_origins(plan, track))
        parts[-1].append(track)
    return parts


def _most_read(plan: AnomaliesPlan, track: Track) -> int:
    """How many of the last points are read at an origin, at most."""
    if plan.manifest.is_zero_shot:
        return plan.seasons[track.id].points_read
    return track.n_points if plan.manifest.reads_whole_series else plan.manifest.window


def _count_read(plan: AnomaliesPlan, track: Track) -> int:
    return len(_origins(plan, track)) * min(_most_read(plan, track), track.n_points)


def _rows(plan: AnomaliesPlan, track: Track) -> Iterator[Series]:
    """What is read at each origin; each [time]."""
    most = _most_read(plan, track)
    for origin in _origins(plan, track):
        yield track.history(origin)[-most:]


def _join(plan: AnomaliesPlan, part: list[Track], answers: list[RowForecast]) -> dict[str, FittedSeries]:
    posted = dict(zip((name for name, _ in plan.series), plan.n_posted, strict=True))
    fitted = {}
    done = 0
    for track in part:
        origins = _origins(plan, track)
        rows = answers[done : done + len(origins)]
        done += len(origins)
        past = join_rows(plan.manifest, plan.forecast_plan, [track.history(origin) for origin in origins], rows)
        fitted[track.id] = (
            FittedSeries(track.id, overflow(track.pointer))
            if past is None
            else _place(plan, track, past, posted[track.id])
        )
    return fitted


def _place(plan: AnomaliesPlan, track: Track, past: PastForecasts, n_posted: int) -> FittedSeries:
    """Forecasts [origins, 1] at the places of the points that they are of."""
    first = track.first + plan.firsts[track.id]

    def spread_out(values: NDArray[np.floating], start: int) -> Array:
        placed = np.full(n_posted, np.nan)
        placed[start : start + len(values)] = values
        return placed

    return FittedSeries(
        track.id,
        None,
        first,
        spread_out(track.values, track.first),
        spread_out(past.values[:, 0], first),
        {
            level: (spread_out(low[:, 0], first), spread_out(high[:, 0], first))
            for level, (low, high) in past.intervals.items()
        },
        plan.seasons[track.id].short if plan.manifest.is_zero_shot else None,
    )
