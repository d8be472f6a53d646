"""What zones are ahead of UTC, for many stamps at once, is what the standard library says of each."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.time_zones import ahead_of_utc, ahead_of_wall

# With changes by an hour and by half an hour, twice in a month, over the date line, at midnight, and none at all.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Antarctica/Troll",
    "Europe/Dublin",
    "UTC",
)


def seconds(moment: datetime) -> int:
    offset = moment.utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(1890, 1, 1), datetime(2100, 1, 1)),
    st.integers(1, 100_000),
    st.integers(0, 400),
)
def test_many_stamps_have_the_offsets_that_each_has_alone(zone: str, first: datetime, step: int, n: int) -> None:
    info = ZoneInfo(zone)
    stamps = np.datetime64(first, "s") + step * np.arange(n) * np.timedelta64(1, "s")
    moments = stamps.tolist()
    utc = [seconds(moment.replace(tzinfo=UTC).astimezone(info)) for moment in moments]
    assert ahead_of_utc(zone, stamps).tolist() == utc
    assert ahead_of_wall(zone, stamps).tolist() == [seconds(moment.replace(tzinfo=info)) for moment in moments]


@pytest.mark.parametrize("zone", ZONES)
def test_each_change_is_found_to_the_second(zone: str) -> None:
    hours = np.arange(np.datetime64("2009-12-30", "s"), np.datetime64("2012-01-03", "s"), np.timedelta64(3600, "s"))
    ahead = ahead_of_utc(zone, hours)
    for before in hours[:-1][ahead[1:] != ahead[:-1]]:
        near = before + np.arange(0, 3601) * np.timedelta64(1, "s")
        expected = [seconds(moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))) for moment in near.tolist()]
        assert ahead_of_utc(zone, near).tolist() == expected


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("first", ["0001-01-03", "9999-12-20"])
def test_the_ends_of_the_calendar_are_read_too(zone: str, first: str) -> None:
    hours = np.datetime64(first, "s") + np.arange(200) * np.timedelta64(3600, "s")
    expected = seconds(hours[100].tolist().replace(tzinfo=UTC).astimezone(ZoneInfo(zone)))
    assert set(ahead_of_utc(zone, hours).tolist()) == {expected}
