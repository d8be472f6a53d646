"""From posted series to the rows that a version reads, each with the time stamps of its forecast, or its flaw."""

from typing import NamedTuple

from service.domain.intervals import Spread
from service.domain.panel import Panel
from service.domain.series import PostedSeries, Read, read_all
from service.engines.engine import Series
from service.errors import Flaw, InvalidRequest
from service.serving.forecast_calendar import ForecastCalendar
from service.serving.levels import find_spread, never_negative
from service.serving.plan import ForecastRequest
from service.store.manifest import Manifest


class Row(NamedTuple):
    """One series as the model reads it: `values` float64 [time], or the flaw that keeps it from being forecast.

    `starts_after` is the index of the last number that was posted, where nulls follow it: the forecast begins there.
    With levels, `spread` says how much the whole series moves, `is_non_negative` that its intervals end at zero.
    """

    id: str
    pointer: str
    values: Series | None = None
    timestamps: list[str] | None = None
    flaw: Flaw | None = None
    starts_after: int | None = None
    spread: Spread | None = None
    is_non_negative: bool = False


def read_rows(
    series: list[PostedSeries],
    request: ForecastRequest,
    manifest: Manifest,
    *,
    panel: Panel | None,
    horizon: int,
    max_length: int,
) -> list[Row]:
    """Reads every series for a version.

    Args:
        panel: what the series are of; where it has a frequency and times, they give time stamps without being asked.
        horizon: the steps to give time stamps for, where they are asked for.
        max_length: the most points of a series that a model reads whole.

    Raises:
        InvalidRequest: wrong types, a wrong frequency or start.
    """
    calendar = ForecastCalendar(request, panel, horizon)
    has_levels = bool(request.level)
    return [
        _read_row(one, read, manifest, calendar, max_length, has_levels)
        for one, read in zip(series, read_all(series, request.missing), strict=True)
    ]


def count_points(series: list[PostedSeries]) -> int:
    """How many values were posted, nulls included."""
    return sum(len(one.values) for one in series)


def raise_if_all_bad(flaws: list[Flaw | None]) -> None:
    """Raises InvalidRequest when not one series is without a flaw."""
    found = [flaw for flaw in flaws if flaw is not None]
    if len(found) == len(flaws):
        raise InvalidRequest(found)


def _read_row(
    one: PostedSeries,
    read: Read | Flaw,
    manifest: Manifest,
    calendar: ForecastCalendar,
    max_length: int,
    has_levels: bool,
) -> Row:
    if isinstance(read, Flaw):
        return Row(one.id, one.pointer, flaw=read)
    timestamps = calendar.timestamps(one, read.end)
    if isinstance(timestamps, Flaw):
        return Row(one.id, one.pointer, flaw=timestamps)
    flaw = _misfit(one.pointer, read.values, manifest, max_length)
    if flaw is not None:
        return Row(one.id, one.pointer, flaw=flaw)
    return Row(
        one.id,
        one.pointer,
        # Its last window is all that the model reads: no need to carry the rest along.
        read.values if manifest.reads_whole_series else read.values[-manifest.window :],
        timestamps,
        starts_after=read.end - 1 if read.end < len(one.values) else None,
        spread=find_spread(manifest, read.values) if has_levels else None,
        is_non_negative=has_levels and never_negative(manifest, read.values),
    )


def _misfit(pointer: str, values: Series, manifest: Manifest, max_length: int) -> Flaw | None:
    if len(values) < manifest.min_length:
        return Flaw(
            pointer,
            "too_short",
            f"{manifest.name!r} needs at least {manifest.min_length} points, nulls at either end not counted; the "
            f"series has {len(values)}. Send more history, or choose a model with a smaller min_length.",
        )
    if manifest.reads_whole_series and len(values) > max_length:
        return Flaw(
            pointer,
            "too_long",
            f"{manifest.name!r} reads a series whole, {max_length} points at most; this one has {len(values)}. Send "
            "its last part.",
        )
    return None
