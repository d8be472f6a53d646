"""From posted series to the rows that a version reads, each with the time stamps of its forecast, or its flaw."""

from typing import NamedTuple

from service.domain.panel import Panel
from service.domain.series import PostedSeries, read_all
from service.engines.engine import Array
from service.errors import Flaw, InvalidRequest
from service.serving.forecast_calendar import ForecastCalendar
from service.serving.plan import ForecastRequest
from service.store.manifest import Manifest


class Row(NamedTuple):
    """One series as the model reads it: `values` float32 [time], or the flaw that keeps it from being forecast."""

    id: str
    pointer: str
    values: Array | None = None
    timestamps: list[str] | None = None
    flaw: Flaw | None = None


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
    return [
        _read_row(one, values, manifest, calendar, max_length)
        for one, values in zip(series, read_all(series, request.missing), strict=True)
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
    one: PostedSeries, values: Array | Flaw, manifest: Manifest, calendar: ForecastCalendar, max_length: int
) -> Row:
    if isinstance(values, Flaw):
        return Row(one.id, one.pointer, flaw=values)
    timestamps = calendar.timestamps(one, len(one.values))
    if isinstance(timestamps, Flaw):
        return Row(one.id, one.pointer, flaw=timestamps)
    flaw = _misfit(one.pointer, values, manifest, max_length)
    if flaw is not None:
        return Row(one.id, one.pointer, flaw=flaw)
    # Its last window is all that the model reads: no need to carry the rest along.
    read = values if manifest.reads_whole_series else values[-manifest.window :]
    return Row(one.id, one.pointer, read, timestamps)


def _misfit(pointer: str, values: Array, manifest: Manifest, max_length: int) -> Flaw | None:
    if len(values) < manifest.min_length:
        return Flaw(
            pointer,
            "too_short",
            f"{manifest.name!r} needs at least {manifest.min_length} points, leading nulls not counted; the series has "
            f"{len(values)}. Send more history, or choose a model with a smaller min_length.",
        )
    if manifest.reads_whole_series and len(values) > max_length:
        return Flaw(
            pointer,
            "too_long",
            f"{manifest.name!r} reads a series whole, {max_length} points at most; this one has {len(values)}. Send "
            "its last part.",
        )
    return None
