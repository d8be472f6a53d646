"""Calendar-correct time stamps of what comes after a series. NumPy and the standard library only."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from zoneinfo import ZoneInfo

import numpy as np

from service.domain.anchoring import anchor
from service.domain.frequency import Frequency, parse
from service.domain.grids import LAST_STAMP, EvenGrid, Stamps, to_us
from service.domain.series import PostedSeries
from service.domain.timestamps import TimeStamp, format_offset, read_stamp
from service.errors import Flaw, InvalidRequest

_EPOCH = datetime(1970, 1, 1)


def future_timestamps(freq: str, start: str, n_observed: int, horizon: int) -> list[str]:
    """The stamps of the `horizon` points after `n_observed` points that began at `start`.

    `start` settles what `freq` leaves open: `W` goes on by its weekday, `MS` by its day of the month. Days and longer
    steps keep the wall time of a zone, hours and shorter ones the distance in time.

    Args:
        freq: a pandas offset alias, such as `D`, `15min`, `W-MON`, `MS`, `QE-DEC`.
        start: a time in any form of `service.domain.timestamps`, also with an IANA zone in brackets (RFC 9557).

    Returns:
        ISO 8601: dates where `start` is a date, a month, a quarter, a week or a year, date-times with its offset or
        zone else.

    Raises:
        InvalidRequest: an unknown frequency, one that contradicts `start`, no time, or a time after the year 9999.
    """
    frequency, first = parse(freq), read_stamp(start)
    grid = anchor(freq, first.wall)
    places = np.arange(n_observed, n_observed + horizon)
    try:
        if frequency.is_shorter_than_a_day and first.zone is not None:
            assert isinstance(grid, EvenGrid)
            return _in_zone_by_time(first, grid, places)
        stamps = grid.at(places)
        if len(stamps) and stamps[-1] > LAST_STAMP - np.timedelta64(max(0, -(first.offset or 0)), "s"):
            raise OverflowError
        if first.zone is not None:
            return [_format_zoned(_from_wall(first.zone, stamp), first, frequency) for stamp in stamps]
        return _format(stamps, first, frequency)
    except (OverflowError, ValueError) as error:
        raise InvalidRequest.at(
            "/horizon", "out_of_range", f"{horizon} steps of {freq!r} after {start!r} lead past the year 9999."
        ) from error


def check_starts(series: Sequence[PostedSeries], freq: str | None, start: str | None = None) -> None:
    """Checks the start of each series, its own or the one that all share.

    Raises:
        InvalidRequest: an unknown frequency, a start that can't be read, or one that contradicts the frequency.
    """
    if freq is not None:
        parse(freq)
    checked = set()
    for one in series:
        first = start if one.start is None else one.start
        if first is None or first in checked:
            continue
        checked.add(first)
        try:
            # Without a frequency, a start is at least a time.
            anchor(freq or "D", read_stamp(first).wall)
        except InvalidRequest as error:
            if one.start is None:
                raise
            pointer = f"{one.pointer.removesuffix('/values')}/start"
            raise InvalidRequest([Flaw(pointer, flaw.code, flaw.message) for flaw in error.flaws]) from error


def _format(stamps: Stamps, first: TimeStamp, frequency: Frequency) -> list[str]:
    if first.is_date and not frequency.is_shorter_than_a_day:
        return cast(list[str], np.datetime_as_string(stamps, unit="D").tolist())
    texts = cast(list[str], np.datetime_as_string(stamps, unit=_unit(first, frequency)).tolist())
    if first.offset is None:
        return texts
    suffix = "Z" if first.is_zulu else format_offset(first.offset)
    return [text + suffix for text in texts]


def _unit(first: TimeStamp, frequency: Frequency) -> Literal["s", "ms", "us"]:
    """How finely stamps are written: as finely as the first one and the step need."""
    if int(to_us(np.array([first.wall]))[0]) % 10**6 or frequency.unit in ("us", "U"):
        return "us"
    return "ms" if frequency.unit in ("ms", "L") else "s"


def _in_zone_by_time(first: TimeStamp, grid: EvenGrid, places: np.ndarray) -> list[str]:
    assert first.zone is not None
    zone = ZoneInfo(first.zone)
    utc = first.wall - np.timedelta64(first.offset or 0, "s")
    frequency_unit = "microseconds" if int(to_us(np.array([first.wall]))[0]) % 10**6 or grid.step_us % 10**6 else ""
    moments = EvenGrid(int(to_us(np.array([utc]))[0]), grid.step_us).at(places)
    texts = []
    for moment in to_us(moments).tolist():
        local = (_EPOCH + timedelta(microseconds=moment)).replace(tzinfo=UTC).astimezone(zone)
        texts.append(f"{local.isoformat(timespec=frequency_unit or 'seconds')}[{first.zone}]")
    return texts


def _from_wall(zone: str, stamp: np.datetime64) -> datetime:
    wall = (_EPOCH + timedelta(microseconds=int(stamp.astype(np.int64)))).replace(tzinfo=ZoneInfo(zone))
    # A wall time that a clock change skips does not exist: the way through UTC gives the one that follows.
    return wall.astimezone(UTC).astimezone(wall.tzinfo)


def _format_zoned(moment: datetime, first: TimeStamp, frequency: Frequency) -> str:
    timespec = "microseconds" if _unit(first, frequency) == "us" else "seconds"
    return f"{moment.isoformat(timespec=timespec)}[{first.zone}]"
