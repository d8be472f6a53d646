import re
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.domain.calendar import future_timestamps
from service.domain.frequency import WEEKDAYS
from service.domain.frequency_inference import fit, infer, place
from service.errors import InvalidRequest

FREQS = (
    "us", "5us", "ms", "250ms", "s", "30s", "min", "5min", "15min", "30min", "h", "2h", "6h", "12h", "36h", "D", "2D",
    "B", "C-1111110", "C-1111001", "C-1010100", "W-MON", "W-SUN", "2W-WED", "MS", "ME", "2MS", "QS-JAN", "QS-MAR",
    "QE-OCT", "QE-DEC", "YS-JAN", "YE-DEC", "YS-APR", "BMS", "BME", "BQE-OCT", "WOM-2TUE", "LWOM-FRI",
)  # fmt: skip


def stamps_of(freq: str, n: int) -> np.ndarray:
    """Stamps from the first day of 2021 on that the frequency has."""
    for day in range(400):
        start = np.datetime64("2021-01-01T00:00:00") + np.timedelta64(day, "D")
        try:
            return np.array(future_timestamps(freq, str(start), 0, n), dtype="datetime64[us]")
        except InvalidRequest:
            continue
    raise AssertionError(freq)


@given(st.sampled_from(FREQS), st.integers(30, 120), st.randoms(use_true_random=False))
def test_a_frequency_is_told_from_its_stamps_also_where_some_are_missing(freq: str, n: int, random: Random) -> None:
    # With gaps, a day that is closed is told from one that was missed only after some weeks.
    n = 60 if freq.startswith("C") else n
    stamps = stamps_of(freq, n)
    assert infer(stamps) == freq
    kept = sorted(random.sample(range(n), n - n // 5))
    # Where a weekday is left out each time, it is closed.
    assume(n_weekdays(stamps[kept]) == n_weekdays(stamps))
    assert infer(stamps[kept]) == freq
    assert place(stamps[kept], freq).tolist() == [index - kept[0] for index in kept]


def n_weekdays(stamps: np.ndarray) -> int:
    return len({day.weekday() for day in stamps.astype("datetime64[D]").tolist()})


def test_irregular_and_few_stamps_have_no_frequency() -> None:
    rng = np.random.default_rng(0)
    seconds = np.cumsum(rng.integers(1, 10_000, 100))
    assert infer(seconds.astype("datetime64[s]")) is None
    assert infer(stamps_of("D", 2)) is None


@pytest.mark.parametrize("n", [6, 12, 50])
@pytest.mark.parametrize("at", [0, 3, -1])
@pytest.mark.parametrize(
    ("freq", "moved"),
    [
        ("h", "7m"), ("h", "40m"), ("D", "3h"), ("D", "-3h"), ("W-MON", "1D"), ("MS", "1D"), ("ME", "-1D"), ("B", "2h"),
        ("15min", "1s"), ("QS-JAN", "2D"), ("YS-JAN", "1D"), ("250ms", "3ms"), ("C-1111110", "5h"),
    ],
)  # fmt: skip
def test_one_stamp_that_is_a_little_late_is_put_on_its_place(freq: str, moved: str, at: int, n: int) -> None:
    n = max(n, 30) if freq[0] in "BC" else n
    stamps = stamps_of(freq, n)
    unit: Any = re.sub(r"[-0-9]", "", moved)  # NumPy's types know each unit by name
    stamps[at] += np.timedelta64(int(moved.rstrip("mshD")), unit)
    found = fit(stamps)
    assert found is not None
    assert found.freq == freq
    assert found.places.tolist() == list(range(n))
    assert np.flatnonzero(found.is_late).tolist() == [at % n]
    # The grid is that of the others, also where the first one is late.
    assert found.grid.at(np.arange(n)).tolist() == stamps_of(freq, n).tolist()


def test_a_stamp_between_two_that_are_there_has_no_place() -> None:
    stamps = np.insert(stamps_of("h", 50), 20, np.datetime64("2021-01-01T19:30"))
    found = fit(stamps)
    assert found is not None
    assert found.places.tolist() == [*range(20), -1, *range(20, 50)]
    assert not found.is_late.any()


def test_months_that_are_reported_a_few_days_late_now_and_then_are_months() -> None:
    stamps = stamps_of("MS", 24)
    for at, days in ((2, 1), (5, 2), (9, 1), (14, 3), (20, 2)):
        stamps[at] += np.timedelta64(days, "D")
    found = fit(stamps)
    assert found is not None
    assert (found.freq, found.places.tolist(), int(found.is_late.sum())) == ("MS", list(range(24)), 5)


@pytest.mark.parametrize("day", range(1, 32))
@pytest.mark.parametrize("step", [1, 3, 12])
def test_any_day_of_the_month_goes_on_with_it(day: int, step: int) -> None:
    months = np.arange(0, 20 * step, step) + 12 * 49 + 10
    first = months.astype("datetime64[M]").astype("datetime64[D]")
    last = (months + 1).astype("datetime64[M]").astype("datetime64[D]") - 1
    stamps = np.minimum(first + (day - 1), last).astype("datetime64[us]")
    for begin in range(4):
        found = fit(stamps[begin:15])
        assert found is not None
        ahead = found.grid.at(found.places[-1] + np.arange(1, 6))
        assert ahead.tolist() == stamps[15:].tolist()
        # What the name and the first stamp say is the same, as they are all that is kept of it.
        start = str(found.grid.at(np.zeros(1, np.int64))[0])
        kept = future_timestamps(found.freq, start, int(found.places[-1]) + 1, 5)
        assert np.array(kept, "datetime64[us]").tolist() == stamps[15:].tolist()


@pytest.mark.parametrize("closed", ["SUN", "SAT", "FRI SAT", "SUN MON", "SAT SUN"])
def test_days_that_are_always_closed_are_left_out_of_the_grid(closed: str) -> None:
    days = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")
    is_open = np.array([WEEKDAYS[day.weekday()] not in closed.split() for day in days.tolist()])
    found = fit(days[is_open].astype("datetime64[us]"))
    assert found is not None
    assert found.freq == ("B" if closed == "SAT SUN" else f"C-{''.join('01'[day not in closed] for day in WEEKDAYS)}")
    assert found.places.tolist() == list(range(int(is_open.sum())))
    # A shop that is shut for a holiday as well is still open on that weekday.
    holiday = np.delete(days[is_open], [4, 20]).astype("datetime64[us]")
    assert infer(holiday) == found.freq


def test_four_weeks_tell_a_closed_day_from_one_that_was_missed() -> None:
    days = np.arange("2024-01-01", "2024-01-29", dtype="datetime64[D]")
    open_days = np.array([day for day in days.tolist() if day.weekday() != 6], "datetime64[us]")
    assert infer(open_days) == "C-1111110"
    # Where other days are missing as well, Sundays may be.
    assert infer(np.delete(open_days, [2, 7, 11, 15])) == "D"
    assert infer(open_days[:12]) == "D"


def test_a_business_day_that_slipped_to_a_saturday_is_late_and_a_sale_on_a_sunday_is_no_stray() -> None:
    days = stamps_of("B", 60)
    fridays = [i for i, day in enumerate(days.astype("datetime64[D]").tolist()) if day.weekday() == 4]
    slipped = days.copy()
    slipped[fridays[3]] += np.timedelta64(1, "D")
    found = fit(slipped)
    assert found is not None
    assert (found.freq, found.places.tolist()) == ("B", list(range(60)))
    # With the Friday there as well, the shop is open on week-ends: nothing may be left out.
    both = np.sort(np.append(days, slipped[fridays[3]]))
    found = fit(both)
    assert found is not None
    assert found.freq == "D"
    assert (found.places >= 0).all()


def test_sessions_with_nights_between_keep_their_step() -> None:
    days = np.arange("2024-01-01", "2024-01-20", dtype="datetime64[D]")
    days = days[np.is_busday(days)].astype("datetime64[m]")
    for minutes in (5, 15, 30, 60):
        stamps = (days[:, None] + np.arange(9 * 60 + 30, 16 * 60, minutes)).ravel().astype("datetime64[us]")
        found = fit(stamps)
        assert found is not None
        assert found.freq == ("h" if minutes == 60 else f"{minutes}min")
        assert (found.places >= 0).all()


@pytest.mark.parametrize(
    ("freq", "step_us", "jitter_us"),
    [("15min", 900_000_000, 20_000_000), ("h", 3_600_000_000, 90_000_000), ("s", 1_000_000, 9_000),
     ("D", 86_400_000_000, 60_000_000)],
)  # fmt: skip
@pytest.mark.parametrize("is_late_alone", [True, False])
def test_a_clock_that_jitters_is_put_on_round_times_with_its_gaps(
    freq: str, step_us: int, jitter_us: int, is_late_alone: bool
) -> None:
    random = Random(0)
    exact = np.datetime64("2024-01-01T00:00", "us") + step_us * np.arange(60)
    jitter = [random.randint(1 if is_late_alone else -jitter_us, jitter_us) for _ in exact]
    found = fit(np.delete(exact + np.array(jitter), [7, 8, 30]))
    assert found is not None
    assert found.freq == freq
    assert found.places.tolist() == [place for place in range(60) if place not in (7, 8, 30)]
    assert found.grid.at(np.arange(60)).tolist() == exact.tolist()
    assert found.is_late.all()


def test_midnights_of_a_zone_in_utc_are_days() -> None:
    days = np.datetime64("2023-01-01T00:00", "us") + np.timedelta64(1, "D") * np.arange(365)
    summer = (days >= np.datetime64("2023-03-26")) & (days < np.datetime64("2023-10-29"))
    found = fit(days - np.where(summer, 2, 1) * np.timedelta64(1, "h"))
    assert found is not None
    assert (found.freq, found.places.tolist()) == ("D", list(range(365)))


def test_events_at_any_time_are_irregular() -> None:
    random = Random(0)
    us = sorted(random.randint(0, 500 * 3_600_000_000) for _ in range(300))
    assert infer(np.datetime64("2024-01-01", "us") + np.array(us)) is None


def test_weekdays_are_daily_until_a_week_end_is_left_out() -> None:
    week = np.arange("2024-01-01", "2024-01-06", dtype="datetime64[D]")
    assert infer(week) == "D"
    assert infer(np.append(week, np.datetime64("2024-01-08"))) == "B"
    assert infer(np.append(week, np.datetime64("2024-01-06"))) == "D"


@pytest.mark.parametrize(
    ("freq", "stamps", "places"),
    [
        ("MS", ["2024-01-01", "2024-01-15", "2024-03-01"], [0, -1, 2]),
        ("ME", ["2024-01-31", "2024-02-28", "2024-02-29"], [0, -1, 1]),
        ("QE-DEC", ["2024-03-31", "2024-05-31", "2024-06-30"], [0, -1, 1]),
        ("B", ["2024-01-05", "2024-01-06", "2024-01-08", "2024-01-09T01:00"], [0, -1, 1, -1]),
    ],
)
def test_days_between_have_no_place(freq: str, stamps: list[str], places: list[int]) -> None:
    assert place(np.array(stamps, "datetime64[us]"), freq).tolist() == places
