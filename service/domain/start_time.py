"""One time by itself: the `start` of a series, also with an IANA zone, and what a zone is ahead of UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from service.domain.time_errors import BadTime
from service.domain.time_fields import NO_OFFSET
from service.domain.time_grids import to_us
from service.domain.timestamps import EXPECTED, ListTexts, read_texts
from service.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """One time: `wall`, seconds ahead of UTC, the zone's IANA name, and how it was written."""

    wall: np.datetime64
    offset: int | None
    zone: str | None
    is_date: bool
    is_zulu: bool


@lru_cache(maxsize=1024)
def read_stamp(text: str) -> TimeStamp:
    """Reads one time.

    Raises:
        InvalidRequest: at `/start`: it is none, or can be read in two ways.
    """
    shown = repr(text[:100])
    try:
        reading = read_texts(ListTexts([text]))
    except BadTime as error:
        raise _refuse(error.code, f"{shown} is no time that can be read{_explain(error)}.") from None
    guess = next((assumption for assumption in reading.assumed if assumption.is_guess), None)
    if guess is not None:
        message = guess.message.replace("{other}", shown)
        raise _refuse("ambiguous_timestamp", f"{shown} can be read in several ways. {message} Send ISO 8601.")
    wall, offset = int(reading.wall[0]), None if reading.offset[0] == NO_OFFSET else int(reading.offset[0])
    name = str(reading.zone[0]) or None
    if name is not None:
        try:
            wall, offset = _to_zone(name, wall, offset)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f"{shown} is of a zone that is not known here: expected an IANA name, such as Europe/Berlin."
            raise _refuse("bad_timestamp", message) from None
        except OverflowError:
            raise _refuse("bad_timestamp", f"{shown} is outside of the years 1 to 9999.") from None
    is_date = bool(reading.is_date[0]) and name is None and offset is None
    return TimeStamp(np.datetime64(wall, "us"), offset, name, is_date, bool(reading.is_zulu[0]) and name is None)


def format_offset(offset: int) -> str:
    """Seconds ahead of UTC in ISO 8601."""
    minutes, seconds = divmod(abs(offset), 60)
    # Before clocks were set by zones, offsets had seconds.
    rest = f":{seconds:02}" if seconds else ""
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}{rest}"


def _to_zone(name: str, wall: int, offset: int | None) -> tuple[int, int]:
    """The wall time in a zone, and what it is ahead of UTC there; an offset that is written counts."""
    zone, epoch = ZoneInfo(name), datetime(1970, 1, 1)
    local = epoch + timedelta(microseconds=wall)
    if offset is None:
        # A wall time that a clock change skips is the one that follows.
        moment = local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    else:
        moment = (local - timedelta(seconds=offset)).replace(tzinfo=UTC).astimezone(zone)
    ahead = moment.utcoffset()
    assert ahead is not None
    return int(to_us(np.array([moment.replace(tzinfo=None)]))[0]), int(ahead.total_seconds())


def _explain(error: BadTime) -> str:
    problem = error.problem.removesuffix(EXPECTED).removesuffix("; ")
    return f": {problem}" if problem else ""


def _refuse(code: str, message: str) -> InvalidRequest:
    return InvalidRequest.at(
        "/start",
        code,
        f"{message} Send one like 2024-01-31, 2024-01-31T06:00:00Z or 2024-01-31T06:00:00+01:00[Europe/Berlin].",
    )
