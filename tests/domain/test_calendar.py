"""Golden stamps, made with pandas.date_range where it has the same rule, and properties of any frequency."""

import itertools
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.calendar import ALIASES, future_timestamps
from service.errors import InvalidRequest

GOLDEN = [
    ("D", "2024-02-27", 2, ["2024-02-29", "2024-03-01"]),
    ("3D", "2023-12-30", 1, ["2024-01-02", "2024-01-05"]),
    ("B", "2024-03-02", 1, ["2024-03-05", "2024-03-06"]),
    ("B", "2024-03-07", 2, ["2024-03-11", "2024-03-12"]),
    ("W", "2024-01-01", 1, ["2024-01-14", "2024-01-21"]),
    ("W-WED", "2024-01-03", 1, ["2024-01-10", "2024-01-17"]),
    ("2W-MON", "2024-01-01", 1, ["2024-01-15", "2024-01-29"]),
    ("MS", "2024-01-01", 12, ["2025-01-01", "2025-02-01"]),
    ("MS", "2024-01-15", 1, ["2024-03-01", "2024-04-01"]),
    ("ME", "2024-01-31", 1, ["2024-02-29", "2024-03-31"]),
    ("M", "2024-01-15", 1, ["2024-02-29", "2024-03-31"]),
    ("2ME", "2023-12-31", 1, ["2024-02-29", "2024-04-30"]),
    ("QS", "2024-02-01", 1, ["2024-07-01", "2024-10-01"]),
    ("QE", "2024-03-31", 1, ["2024-06-30", "2024-09-30"]),
    ("QE-JAN", "2024-01-31", 1, ["2024-04-30", "2024-07-31"]),
    ("YS", "2020-01-01", 4, ["2024-01-01", "2025-01-01"]),
    ("YS-APR", "2020-01-01", 1, ["2021-04-01", "2022-04-01"]),
    ("YE", "2020-06-01", 1, ["2021-12-31", "2022-12-31"]),
    ("h", "2024-01-31", 24, ["2024-02-01T00:00:00", "2024-02-01T01:00:00"]),
    ("15min", "2024-01-31T23:30:00", 1, ["2024-01-31T23:45:00", "2024-02-01T00:00:00"]),
    ("s", "2024-12-31T23:59:58Z", 1, ["2024-12-31T23:59:59Z", "2025-01-01T00:00:00Z"]),
    ("D", "2024-01-01T06:30:00+02:00", 1, ["2024-01-02T06:30:00+02:00", "2024-01-03T06:30:00+02:00"]),
    ("h", "2024-01-01T00:00:00.500000", 1, ["2024-01-01T01:00:00.500000", "2024-01-01T02:00:00.500000"]),
    ("D", "2024-03-30T02:30:00+01:00[Europe/Berlin]", 1,
     ["2024-03-31T03:30:00+02:00[Europe/Berlin]", "2024-04-01T02:30:00+02:00[Europe/Berlin]"]),
    ("D", "2024-10-26T12:00:00+02:00[Europe/Berlin]", 1,
     ["2024-10-27T12:00:00+01:00[Europe/Berlin]", "2024-10-28T12:00:00+01:00[Europe/Berlin]"]),
    ("h", "2024-10-27T02:00:00+02:00[Europe/Berlin]", 1,
     ["2024-10-27T02:00:00+01:00[Europe/Berlin]", "2024-10-27T03:00:00+01:00[Europe/Berlin]"]),
]  # fmt: skip


@pytest.mark.parametrize(("freq", "start", "n_observed", "expected"), GOLDEN)
def test_stamps_follow_the_calendar(freq: str, start: str, n_observed: int, expected: list[str]) -> None:
    assert future_timestamps(freq, start, n_observed, 2) == expected


starts = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


@given(st.sampled_from(ALIASES), st.integers(1, 5), starts, st.integers(1, 500), st.integers(1, 40))
def test_stamps_rise_and_do_not_depend_on_where_the_series_is_cut(
    alias: str, count: int, start: datetime, n_observed: int, horizon: int
) -> None:
    freq = f"{count}{alias}"
    stamps = future_timestamps(freq, start.isoformat(), n_observed, horizon)
    assert len(stamps) == horizon
    moments = [datetime.fromisoformat(stamp) for stamp in stamps]
    assert all(a < b for a, b in itertools.pairwise(moments))
    assert moments[0] > start
    assert stamps[1:] == future_timestamps(freq, start.isoformat(), n_observed + 1, horizon)[: horizon - 1]
    if alias not in ("s", "S", "min", "T", "h", "H"):
        assert {moment.time() for moment in moments} == {start.time()}


@pytest.mark.parametrize("freq", ["", "X", "0D", "-1D", "D-MON", "W-JAN", "QE-MON", "monthly", "1.5h", "MS-JAN", "D\n"])
def test_an_unknown_frequency_is_refused(freq: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        future_timestamps(freq, "2024-01-01", 1, 1)
    assert caught.value.flaws[0].pointer == "/freq"
    assert caught.value.flaws[0].code == "unknown_frequency"


@pytest.mark.parametrize(
    "start", ["", "yesterday", "2024-13-01", "2024-01-01T00:00:00[Mars/Base]", "2024-01-01T25:00", "[UTC]", "\x00"]
)
def test_what_is_no_date_time_is_refused(start: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        future_timestamps("D", start, 1, 1)
    assert caught.value.flaws[0].pointer == "/start"


@pytest.mark.parametrize("freq", ["D", "B", "W", "MS", "ME", "YE", "h", "999999YE", "999999B"])
def test_time_ends_with_the_year_9999(freq: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        future_timestamps(freq, "9999-12-31T23:00:00Z", 1, 1000)
    assert caught.value.flaws[0].code == "out_of_range"
