"""Calendar-correct time stamps of what comes after a series. NumPy and the standard library only."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, cast

import numpy as np

from service.domain.frequency import EVEN_US, Frequency, parse
from service.domain.frequency_grid import anchor
from service.domain.series import PostedSeries
from service.domain.start_time import TimeStamp, format_offset, read_stamp
from service.domain.time_grids import FIRST_STAMP, LAST_STAMP, EvenGrid, Grid, Places, Stamps, to_us
from service.domain.time_zones import ahead_of_utc, ahead_of_wall
from service.errors import Flaw, InvalidRequest

Unit = Literal["s", "ms", "us"]

# What a time stamp takes in an answer, in numbers.
STAMP_VALUES = 4


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
        if first.zone is not None:
            return _in_zone(_to_utc(first, grid, places, frequency), first.zone, _unit(first, frequency))
        stamps = grid.at(places)
        if len(stamps) and stamps[-1] > LAST_STAMP - np.timedelta64(max(0, -(first.offset or 0)), "s"):
            raise OverflowError
        return _format(stamps, first, frequency)
    except OverflowError as error:
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
    for posted in series:
        first = start if posted.start is None else posted.start
        if first is None or first in checked:
            continue
        checked.add(first)
        try:
            # Without a frequency, a start is at least a time.
            anchor(freq or "D", read_stamp(first).wall)
        except InvalidRequest as error:
            if posted.start is None:
                raise
            pointer = f"{posted.pointer.removesuffix('/values')}/start"
            raise InvalidRequest([Flaw(pointer, flaw.code, flaw.message) for flaw in error.flaws]) from error


def _format(stamps: Stamps, first: TimeStamp, frequency: Frequency) -> list[str]:
    if first.is_date and not frequency.is_shorter_than_a_day:
        return cast(list[str], np.datetime_as_string(stamps, unit="D").tolist())
    texts = cast(list[str], np.datetime_as_string(stamps, unit=_unit(first, frequency)).tolist())
    if first.offset is None:
        return texts
    suffix = "Z" if first.is_zulu else format_offset(first.offset)
    return [text + suffix for text in texts]


def _unit(first: TimeStamp, frequency: Frequency) -> Unit:
    """How finely stamps are written: as finely as the first one and the step need."""
    if int(to_us(np.array([first.wall]))[0]) % 10**6 or frequency.unit in ("us", "U"):
        return "us"
    return "ms" if frequency.unit in ("ms", "L") else "s"


def _to_utc(first: TimeStamp, grid: Grid, places: Places, frequency: Frequency) -> Stamps:
    """The stamps in UTC of a start with a zone: hours are hours there, days keep their wall time."""
    assert first.zone is not None
    if frequency.is_shorter_than_a_day:
        assert isinstance(grid, EvenGrid)
        ahead_us = (first.offset or 0) * EVEN_US["s"]
        return replace(grid, origin_us=grid.origin_us - ahead_us).at(places)
    wall = grid.at(places)
    # Of a wall time that a clock change skips, that is what is left of it behind the change.
    utc = wall - ahead_of_wall(first.zone, wall).astype("timedelta64[s]")
    if len(utc) and not FIRST_STAMP <= utc.min() <= utc.max() <= LAST_STAMP:
        raise OverflowError
    return np.asarray(utc)


def _in_zone(utc: Stamps, name: str, unit: Unit) -> list[str]:
    """ISO 8601 with the offset of each stamp and the zone in brackets."""
    ahead = ahead_of_utc(name, utc)
    suffixes = {seconds: f"{format_offset(seconds)}[{name}]" for seconds in np.unique(ahead).tolist()}
    local = np.datetime_as_string(utc + ahead.astype("timedelta64[s]"), unit=unit).tolist()
    return [text + suffixes[seconds] for text, seconds in zip(local, ahead.tolist(), strict=True)]
