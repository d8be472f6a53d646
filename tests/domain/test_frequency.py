from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.calendar import future_timestamps
from service.domain.frequency import infer, place

FREQS = (
    "s", "30s", "min", "5min", "15min", "30min", "h", "2h", "6h", "12h", "D", "2D", "B", "W-MON", "W-SUN", "2W-WED",
    "MS", "ME", "2MS", "QS-JAN", "QS-MAR", "QE-OCT", "QE-DEC", "YS-JAN", "YE-DEC", "YS-APR",
)  # fmt: skip


def stamps_of(freq: str, n: int) -> np.ndarray:
    texts = future_timestamps(freq, "2021-01-04T00:00:00", 0, n)
    return np.array(texts, dtype="datetime64[us]")


@given(st.sampled_from(FREQS), st.integers(30, 120), st.randoms(use_true_random=False))
def test_a_frequency_is_told_from_its_stamps_also_where_some_are_missing(freq: str, n: int, random: Random) -> None:
    stamps = stamps_of(freq, n)
    assert infer(stamps) == freq
    kept = sorted(random.sample(range(n), n - n // 5))
    assert infer(stamps[kept]) == freq
    assert place(stamps[kept], freq).tolist() == [index - kept[0] for index in kept]


def test_irregular_and_few_stamps_have_no_frequency() -> None:
    rng = np.random.default_rng(0)
    seconds = np.cumsum(rng.integers(1, 10_000, 100))
    assert infer(seconds.astype("datetime64[s]")) is None
    assert infer(stamps_of("D", 2)) is None


@pytest.mark.parametrize(("freq", "moved"), [("h", np.timedelta64(7, "m")), ("D", np.timedelta64(3, "h"))])
def test_a_stamp_out_of_step_has_no_place(freq: str, moved: np.timedelta64) -> None:
    stamps = stamps_of(freq, 50)
    stamps[20] += moved
    assert infer(stamps) == freq
    places = place(stamps, freq)
    assert places[20] == -1
    assert np.delete(places, 20).tolist() == [*range(20), *range(21, 50)]


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
