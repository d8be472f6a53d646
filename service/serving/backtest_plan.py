"""Checks a backtest request against its version and series, and plans it before anything is computed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.backtest import Rolling, Track, make_track
from service.domain.calendar import check_starts
from service.domain.json_flaws import escape
from service.domain.panel import Panel
from service.domain.recipes.options import MAX_SEASON
from service.domain.recipes.season_defaults import usual_season
from service.domain.seasons import NO_SEASON, Seasons, find_all_seasons, find_seasons
from service.domain.series import Missing, read_numbers, split
from service.errors import Flaw, InvalidRequest
from service.serving.forecast_plan import ForecastPlan, ForecastRequest, make_forecast_plan
from service.serving.forecasting import ForecastLimits
from service.serving.preprocess import raise_if_all_bad
from service.serving.zero_shot import choose_horizon
from service.store.manifest import Manifest

# Each has its scores in the answer: about 30 MB of them.
MAX_SERIES = 50_000
# Numbers of the forecasts in an answer, which the job database keeps where a job computed it.
MOST_FORECAST_VALUES = 1_000_000
# What is computed between two looks at whether the backtest is still wanted: rows, and points that they read.
PART_ROWS = 4096
PART_POINTS = 2**22


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """A backtest request without its series."""

    model: str | None = None
    version: int | str | None = None
    horizon: int | None = None
    windows: int = 3
    step: int = 1
    season: int | None = None
    level: tuple[float, ...] = ()
    missing: Missing = "interpolate"
    forecasts: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class BacktestData:
    """The series of a backtest: NaN where a value is missing.

    `pointers` is as `make_pointers` reads it; `asked_freq` what a request says of a panel that has no frequency.
    """

    panel: Panel
    pointers: str
    asked_freq: str | None = None

    @property
    def freq(self) -> str | None:
        return self.asked_freq if self.panel.freq is None else self.panel.freq


@dataclass(frozen=True, slots=True, eq=False)
class BacktestPlan:
    """A backtest that can be run."""

    manifest: Manifest
    forecast_plan: ForecastPlan
    rolling: Rolling
    season: int
    series: list[tuple[str, Track | Flaw]]
    # What was asked for, and what is known of the series: by them the zero-shot model finds their seasons.
    asked_season: int | None = None
    freq: str | None = None
    # Whether the answer holds the forecasts themselves.
    shows: bool = False

    @property
    def tracks(self) -> list[Track]:
        """The series that can be forecast."""
        return [track for _, track in self.series if isinstance(track, Track)]

    def origins(self, track: Track) -> list[int]:
        """How many points of a series are known at each origin; one in a gap lies where the gap begins."""
        return track.last_measured(self.rolling, self.manifest.min_length)

    def rows(self, track: Track) -> list[NDArray[np.float64]]:
        """What the version reads of a series at each origin; each [time]."""
        histories = (track.history(origin) for origin in self.origins(track))
        # The zero-shot model finds the season in all that is known, as a forecast does.
        is_whole = self.manifest.reads_whole_series or self.manifest.is_zero_shot
        window = 0 if is_whole else self.manifest.window
        return [history[-window:] for history in histories]

    def find_seasons(self, histories: list[NDArray[np.float64]]) -> list[Seasons]:
        """The seasons that the zero-shot model forecasts with, of each history [time]."""
        return find_all_seasons(histories, season=self.asked_season, freq=self.freq)

    def parts(self) -> Iterator[list[Track]]:
        """The series that can be forecast, in parts that are computed at once; at least one a part."""
        part: list[Track] = []
        points = 0
        for track in self.tracks:
            longest = track.n_points if self.manifest.reads_whole_series else min(track.n_points, self.manifest.window)
            cost = self.rolling.windows * (longest + self.rolling.horizon)
            if part and (points + cost > PART_POINTS or (len(part) + 1) * self.rolling.windows > PART_ROWS):
                yield part
                part, points = [], 0
            part.append(track)
            points += cost
        if part:
            yield part


def read_backtest_data(posted: Any, freq: str | None, start: str | None = None) -> BacktestData:
    """The series of a request, parsed JSON in any of the forms of `service.domain.series`.

    Args: `start` is that of series without one of their own.

    Raises:
        InvalidRequest: another shape, something in a series that is neither a number nor null, or a record's start that
            is no time or contradicts `freq`.
    """
    series = split(posted)
    check_starts(series, freq, start)
    panel = Panel(
        tuple(posted_one.id for posted_one in series),
        tuple(read_numbers(series)),
        tuple(start if posted_one.start is None else posted_one.start for posted_one in series),
        freq,
    )
    first = series[0].pointer
    if first == "/series/0/values":
        return BacktestData(panel, "/series/{index}/values")
    return BacktestData(panel, "/series" if first == "/series" else "/series/{id}")


def make_pointers(data: BacktestData) -> list[str]:
    """Where each series stands in the request: `{index}` and `{id}` in `pointers` are its own."""
    return [data.pointers.format(index=i, id=escape(name)) for i, name in enumerate(data.panel.ids)]


def make_backtest_plan(
    request: BacktestRequest, data: BacktestData, manifest: Manifest, limits: ForecastLimits
) -> BacktestPlan:
    """Settles what the request leaves open, and sets aside the series that can't be forecast.

    Raises:
        InvalidRequest: the version can't fulfil the request, there are too many series, or none is long enough.
    """
    panel = data.panel
    if panel.n_series > MAX_SERIES:
        raise InvalidRequest.at(
            data.pointers.partition("/{")[0],
            "too_many_series",
            f"Expected at most {MAX_SERIES} series in one backtest, got {panel.n_series}. Send them in several.",
        )
    default_horizon = None
    if manifest.is_zero_shot:
        _check_season(request.season)
        measured = panel.values[0][np.isfinite(panel.values[0])]
        first_seasons = find_seasons(measured, season=request.season, freq=data.freq) if len(measured) else NO_SEASON
        default_horizon = choose_horizon(first_seasons)
    asked = ForecastRequest(horizon=request.horizon, level=request.level)
    forecast_plan = make_forecast_plan(asked, manifest, max_horizon=limits.max_horizon, default_horizon=default_horizon)
    rolling = Rolling(forecast_plan.horizon, request.windows, request.step)
    series: list[tuple[str, Track | Flaw]] = []
    for name, pointer, values in zip(panel.ids, make_pointers(data), panel.values, strict=True):
        track = make_track(name, pointer, values, request.missing)
        series.append((name, track if isinstance(track, Flaw) else _misfit(track, rolling, manifest, limits) or track))
    raise_if_all_bad([track if isinstance(track, Flaw) else None for _, track in series])
    season = request.season or manifest.data.get("season") or usual_season(data.freq)
    plan = BacktestPlan(
        manifest, forecast_plan, rolling, season, series, request.season, data.freq, shows=request.forecasts
    )
    if request.forecasts:
        _check_answer_values(plan, limits)
    return plan


def _check_answer_values(plan: BacktestPlan, limits: ForecastLimits) -> None:
    """Refuses forecasts that would hold too many numbers before they are computed."""
    steps = plan.rolling.windows * plan.forecast_plan.horizon
    n_values = len(plan.tracks) * steps * plan.forecast_plan.numbers_a_step
    most = min(limits.max_answer_values, MOST_FORECAST_VALUES)
    if n_values > most:
        raise InvalidRequest.at(
            "/forecasts",
            "answer_too_large",
            f"The forecasts would hold {n_values} numbers: expected at most {most}. Send fewer "
            "series, ask for fewer windows or steps, or leave `forecasts` out.",
        )


def _check_season(season: int | None) -> None:
    """Refuses a season that the zero-shot model doesn't take: each row is as wide as one."""
    if season is not None and season > MAX_SEASON:
        raise InvalidRequest.at(
            "/season",
            "out_of_bounds",
            f"The zero-shot model takes a season of at most {MAX_SEASON} points, got {season}. Name a shorter one, or "
            "leave `season` out.",
        )


def _misfit(track: Track, rolling: Rolling, manifest: Manifest, limits: ForecastLimits) -> Flaw | None:
    needed = manifest.min_length + rolling.reach
    if track.n_points < needed:
        return Flaw(
            track.pointer,
            "too_short",
            f"A backtest of {rolling.windows} windows of {rolling.horizon} steps, {rolling.step} apart, needs at least "
            f"{needed} points: {manifest.min_length} that {manifest.name!r} reads and {rolling.reach} to compare with; "
            f"the series has {track.n_points}, leading and trailing nulls not counted. Send more history, or ask for "
            "fewer windows or steps.",
        )
    last = track.n_points - rolling.horizon
    if manifest.reads_whole_series and last > limits.max_series_length:
        return Flaw(
            track.pointer,
            "too_long",
            f"{manifest.name!r} reads a series whole, {limits.max_series_length} points at most; this one has "
            f"{last} before its last window. Send its last part.",
        )
    return None
