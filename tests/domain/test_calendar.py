"""Golden stamps, made with pandas.date_range where it has the same rule, and properties of any frequency."""

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.calendar import future_timestamps
from service.domain.frequency import ALIASES, same
from service.errors import InvalidRequest

GOLDEN = [
    ("D", "2024-02-27", 2, ["2024-02-29", "2024-03-01"]),
    ("3D", "2023-12-30", 1, ["2024-01-02", "2024-01-05"]),
    ("B", "2024-03-07", 2, ["2024-03-11", "2024-03-12"]),
    ("W", "2024-01-01", 1, ["2024-01-08", "2024-01-15"]),
    ("2W", "2024-01-01", 2, ["2024-01-29", "2024-02-12"]),
    ("W-WED", "2024-01-03", 1, ["2024-01-10", "2024-01-17"]),
    ("2W-MON", "2024-01-01", 1, ["2024-01-15", "2024-01-29"]),
    ("MS", "2024-01-01", 12, ["2025-01-01", "2025-02-01"]),
    ("MS", "2024-01-14", 1, ["2024-02-14", "2024-03-14"]),
    ("MS", "2023-12-30", 1, ["2024-01-30", "2024-02-29"]),
    ("MS", "2024-01-31", 1, ["2024-02-29", "2024-03-31"]),
    ("ME", "2024-01-31", 1, ["2024-02-29", "2024-03-31"]),
    ("M", "2024-01-15", 1, ["2024-02-15", "2024-03-15"]),
    ("M", "2024-04-30", 1, ["2024-05-31", "2024-06-30"]),
    ("2ME", "2023-12-31", 1, ["2024-02-29", "2024-04-30"]),
    ("QS", "2024-02-01", 1, ["2024-05-01", "2024-08-01"]),
    ("QS-JAN", "2024-04-15", 1, ["2024-07-15", "2024-10-15"]),
    ("Q-DEC", "2024-01-01", 1, ["2024-04-01", "2024-07-01"]),
    ("QE", "2024-03-31", 1, ["2024-06-30", "2024-09-30"]),
    ("QE-JAN", "2024-01-31", 1, ["2024-04-30", "2024-07-31"]),
    ("QE", "2023-11-30", 1, ["2024-02-29", "2024-05-31"]),
    ("YS", "2020-01-01", 4, ["2024-01-01", "2025-01-01"]),
    ("YS-APR", "2020-04-01", 1, ["2021-04-01", "2022-04-01"]),
    ("YS", "2020-07-04", 1, ["2021-07-04", "2022-07-04"]),
    ("YS", "2020-02-29", 3, ["2023-02-28", "2024-02-29"]),
    ("YE", "2020-06-30", 1, ["2021-06-30", "2022-06-30"]),
    ("BMS", "2024-06-03", 1, ["2024-07-01", "2024-08-01"]),
    ("BME", "2024-02-29", 1, ["2024-03-29", "2024-04-30"]),
    ("BQE-DEC", "2024-03-29", 1, ["2024-06-28", "2024-09-30"]),
    ("LWOM-FRI", "2024-01-26", 1, ["2024-02-23", "2024-03-29"]),
    ("WOM-3FRI", "2024-01-19", 1, ["2024-02-16", "2024-03-15"]),
    ("12WOM-4THU", "2023-11-23", 1, ["2024-11-28", "2025-11-27"]),
    ("C-1111110", "2024-01-05", 1, ["2024-01-06", "2024-01-08"]),
    ("C-1111001", "2024-01-04", 1, ["2024-01-07", "2024-01-08"]),
    ("2B", "2024-03-07", 1, ["2024-03-11", "2024-03-13"]),
    ("MS", "2024-02", 1, ["2024-03-01", "2024-04-01"]),
    ("QS", "2020Q1", 1, ["2020-04-01", "2020-07-01"]),
    ("YS", "2024", 1, ["2025-01-01", "2026-01-01"]),
    ("W", "2024-W05", 1, ["2024-02-05", "2024-02-12"]),
    ("h", "2024-01-31 24:00 UTC", 1, ["2024-02-01T01:00:00Z", "2024-02-01T02:00:00Z"]),
    ("h", "1706659200", 1, ["2024-01-31T01:00:00Z", "2024-01-31T02:00:00Z"]),
    ("250ms", "2024-01-31T00:00:00", 3, ["2024-01-31T00:00:00.750", "2024-01-31T00:00:01.000"]),
    ("us", "2024-01-31T00:00:00Z", 1, ["2024-01-31T00:00:00.000001Z", "2024-01-31T00:00:00.000002Z"]),
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
# One of each rule: what has no open name is anchored on its start.
FREQS = (
    *(alias for alias in ALIASES if alias not in ("C", "WOM", "LWOM")),
    *("W-SUN", "QS-FEB", "QE-NOV", "YS-JUL", "YE-APR", "BQS-FEB", "BYE-JUN", "C-1111110", "C-1010100", "WOM-2TUE"),
    *("WOM-4SUN", "LWOM-FRI", "Q-MAR", "A-JUN"),
)


@given(st.sampled_from(FREQS), st.integers(1, 5), starts, st.integers(1, 500), st.integers(1, 40))
def test_stamps_rise_and_do_not_depend_on_where_the_series_is_cut(
    alias: str, count: int, moment: datetime, n_observed: int, horizon: int
) -> None:
    freq = f"{count}{alias}"
    start = first_from(freq, moment)
    stamps = future_timestamps(freq, start.isoformat(), n_observed, horizon)
    assert len(stamps) == horizon
    moments = [datetime.fromisoformat(stamp) for stamp in stamps]
    assert all(a < b for a, b in itertools.pairwise(moments))
    assert moments[0] > start
    assert stamps[1:] == future_timestamps(freq, start.isoformat(), n_observed + 1, horizon)[: horizon - 1]
    # The series itself begins where it was said to.
    assert datetime.fromisoformat(future_timestamps(freq, start.isoformat(), 0, 1)[0]) == start
    if alias not in ("us", "U", "ms", "L", "s", "S", "min", "T", "h", "H"):
        assert {moment.time() for moment in moments} == {start.time()}


def first_from(freq: str, moment: datetime) -> datetime:
    """The first day from which a series of this frequency can begin."""
    for days in range(500):
        start = moment + timedelta(days=days)
        try:
            future_timestamps(freq, start.isoformat(), 0, 1)
        except InvalidRequest:
            continue
        return start
    raise AssertionError(freq)


@pytest.mark.parametrize(
    ("freq", "start", "fits"),
    [
        ("W-SUN", "2024-01-01", "W-MON"),
        ("2W-TUE", "2024-01-01", "2W-MON"),
        ("ME", "2024-01-14", "MS"),
        ("3ME", "2024-01-14", "QS-JAN"),
        ("QE", "2024-02-15", "QS-FEB"),
        ("QE-DEC", "2024-01-31", "QE-OCT"),
        ("QS-JAN", "2024-02-01", "QS-FEB"),
        ("YE", "2024-06-01", "YS-JUN"),
        ("YE-DEC", "2024-06-30", "YE-JUN"),
        ("YS-JAN", "2024-07-04", "YS-JUL"),
        ("B", "2024-03-02", "D"),
        ("C-1111110", "2024-03-03", "D"),
        ("BMS", "2024-06-04", "MS"),
        ("LWOM-FRI", "2024-01-19", "WOM-3FRI"),
        ("WOM-3FRI", "2024-01-29", "LWOM-MON"),
        ("Q-DEC", "2024-02-01", "QS-FEB"),
    ],
)
def test_a_start_that_contradicts_the_frequency_is_refused_with_one_that_fits(freq: str, start: str, fits: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        future_timestamps(freq, start, 10, 3)
    [flaw] = caught.value.flaws
    assert (flaw.pointer, flaw.code) == ("/freq", "frequency_mismatch")
    assert f"Did you mean {fits!r}?" in flaw.message
    assert future_timestamps(fits, start, 0, 1) == [start]


@pytest.mark.parametrize(
    ("freq", "other", "are_same"),
    [
        ("W", "W-MON", True), ("7D", "W-MON", True), ("W-SUN", "W-MON", False), ("M", "ME", True), ("M", "MS", True),
        ("MS", "ME", False), ("60min", "h", True), ("24h", "D", True), ("D", "B", False), ("C-1111100", "B", True),
        ("3MS", "QS-FEB", True), ("QS-JAN", "QS-APR", True), ("QS-JAN", "QS-FEB", False), ("12MS", "YS", True),
        ("Q", "QE-DEC", True), ("A-DEC", "YE", True), ("MS", "D", False), ("WOM-1FRI", "MS", False),
        ("WOM-1FRI", "LWOM-FRI", False), ("H", "h", True), ("BM", "BME", True), ("2D", "D", False),
    ],
)  # fmt: skip
def test_two_spellings_of_one_frequency_are_the_same(freq: str, other: str, are_same: bool) -> None:
    assert same(freq, other) is are_same
    assert same(other, freq) is are_same


@pytest.mark.parametrize("freq", ["", "X", "0D", "-1D", "D-MON", "W-JAN", "QE-MON", "monthly", "1.5h", "MS-JAN", "D\n"])
def test_an_unknown_frequency_is_refused(freq: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        future_timestamps(freq, "2024-01-01", 1, 1)
    assert caught.value.flaws[0].pointer == "/freq"
    assert caught.value.flaws[0].code == "unknown_frequency"


@pytest.mark.parametrize(
    ("freq", "alias"), [("monthly", "MS"), ("Daily", "D"), ("d", "D"), ("qs-jan", "QS"), ("2 weeks", "W"), ("b", "B")]
)
def test_a_frequency_in_words_is_answered_with_its_alias(freq: str, alias: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Did you mean '{alias}'"):
        future_timestamps(freq, "2024-01-01", 1, 1)


@pytest.mark.parametrize(
    "start", ["", "yesterday", "2024-13-01", "2024-01-01T00:00:00[Mars/Base]", "2024-01-01T25:00", "[UTC]", "\x00"]
)
def test_what_is_no_date_time_is_refused(start: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        future_timestamps("D", start, 1, 1)
    assert caught.value.flaws[0].pointer == "/start"


@pytest.mark.parametrize("freq", ["D", "B", "W", "M", "ME", "YE", "h", "us", "999999YE", "999999B", "BME"])
def test_time_ends_with_the_year_9999(freq: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        future_timestamps(freq, "9999-12-31T23:59:59.999999Z", 1, 1000)
    assert caught.value.flaws[0].code == "out_of_range"
