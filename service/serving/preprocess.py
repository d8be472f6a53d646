"""Turns posted series into the rows that a version reads, with their time stamps, or an error for each."""

import sys
from typing import NamedTuple

import numpy as np

from service.domain.intervals import Spread
from service.domain.seasons import Seasons, find_all_seasons
from service.domain.series import PostedSeries, read_all
from service.engines.engine import Series
from service.errors import Flaw, InvalidRequest
from service.serving.forecast_calendar import ForecastCalendar
from service.serving.forecast_plan import ForecastRequest
from service.serving.interval_widths import find_spread, never_negative
from service.store.manifest import Manifest


class PreparedSeries(NamedTuple):
    """One series as the model reads it: `values` float64 [time], or the flaw that keeps it from being forecast.

    `starts_after` is the index of the last number that was posted, where nulls follow it: the forecast begins there.
    With levels, `spread` says how much the whole series moves; `is_non_negative` that no number of its forecast may be
    below zero, or no bound of its intervals. `seasons` are those that the zero-shot model forecasts with, None for
    others.
    """

    id: str
    pointer: str
    values: Series | None = None
    timestamps: list[str] | None = None
    flaw: Flaw | None = None
    starts_after: int | None = None
    spread: Spread | None = None
    is_non_negative: bool = False
    seasons: Seasons | None = None


def prepare_series(
    series: list[PostedSeries],
    request: ForecastRequest,
    manifest: Manifest,
    calendar: ForecastCalendar,
    *,
    max_length: int,
    freq: str | None = None,
    first_seasons: Seasons | None = None,
) -> list[PreparedSeries]:
    """Reads every series for a version.

    Args:
        freq: that of the series, where it is known.
        first_seasons: those of the first series, where they were found before.
        max_length: the most points of a series that a model reads whole.

    Raises:
        InvalidRequest: wrong types, a wrong frequency or start.
    """
    longest = max_length if manifest.reads_whole_series else sys.maxsize
    has_levels = bool(request.level or request.quantiles) and not manifest.is_zero_shot
    rows: list[PreparedSeries] = []
    for posted, read in zip(series, read_all(series, request.missing), strict=True):
        if isinstance(read, Flaw):
            rows.append(PreparedSeries(posted.id, posted.pointer, flaw=read))
            continue
        values, end = read
        timestamps = calendar.timestamps(posted, end) if calendar.has_times or posted.start is not None else None
        if isinstance(timestamps, Flaw):
            rows.append(PreparedSeries(posted.id, posted.pointer, flaw=timestamps))
        elif not manifest.min_length <= len(values) <= longest:
            rows.append(
                PreparedSeries(posted.id, posted.pointer, flaw=_misfit(posted.pointer, values, manifest, max_length))
            )
        elif manifest.is_zero_shot:
            starts_after = end - 1 if end < len(posted.values) else None
            rows.append(PreparedSeries(posted.id, posted.pointer, values, timestamps, None, starts_after))
        else:
            rows.append(
                PreparedSeries(
                    posted.id,
                    posted.pointer,
                    # Its last window is all that the model reads: no need to carry the rest along.
                    values if manifest.reads_whole_series else values[-manifest.window :],
                    timestamps,
                    None,
                    end - 1 if end < len(posted.values) else None,
                    find_spread(manifest, values) if has_levels else None,
                    has_levels and never_negative(manifest, values)
                    if request.non_negative is None
                    else request.non_negative,
                )
            )
    if manifest.is_zero_shot:
        return _with_seasons(rows, request, freq, first_seasons)
    return rows


def _with_seasons(
    rows: list[PreparedSeries], request: ForecastRequest, freq: str | None, first_seasons: Seasons | None
) -> list[PreparedSeries]:
    """Rows with the seasons of each series and whether it was ever negative, cut to what is read with them."""
    values = [row.values for row in rows if row.values is not None]
    known = [] if first_seasons is None or rows[0].values is None else [first_seasons]
    found = iter(known + find_all_seasons(values[len(known) :], season=request.season, freq=freq))
    told = request.non_negative
    return [
        row
        if row.values is None
        else PreparedSeries(
            row.id,
            row.pointer,
            row.values[-(seasons := next(found)).points_read :],
            row.timestamps,
            None,
            row.starts_after,
            None,
            bool(np.minimum.reduce(row.values) >= 0) if told is None else told,
            seasons,
        )
        for row in rows
    ]


def count_points(series: list[PostedSeries]) -> int:
    """How many values were posted, nulls included."""
    return sum(len(posted.values) for posted in series)


def raise_if_all_bad(flaws: list[Flaw | None]) -> None:
    """Raises InvalidRequest when not one series is without a flaw."""
    present = [flaw for flaw in flaws if flaw is not None]
    if len(present) == len(flaws):
        raise InvalidRequest(present)


def _misfit(pointer: str, values: Series, manifest: Manifest, max_length: int) -> Flaw:
    if len(values) < manifest.min_length:
        return Flaw(
            pointer,
            "too_short",
            f"{manifest.name!r} needs at least {manifest.min_length} points, nulls at either end not counted; the "
            f"series has {len(values)}. Send more history, or choose a model with a smaller min_length.",
        )
    return Flaw(
        pointer,
        "too_long",
        f"{manifest.name!r} reads a series whole, {max_length} points at most; this one has {len(values)}. Send "
        "its last part.",
    )
