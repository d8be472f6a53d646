"""Seasons that nobody names are found where they are, and not where they aren't."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.season_detection import detect_all_seasons, detect_seasons
from service.domain.seasons import Seasons, find_seasons

Array = NDArray[np.float64]


def seasonal(season: int, cycles: int, noise: float, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    pattern = rng.normal(size=season)
    pattern /= pattern.std()
    time = np.arange(season * cycles)
    return 20 + 0.05 * time + pattern[time % season] + noise * rng.normal(size=len(time))


@pytest.mark.parametrize("season", [4, 5, 7, 10, 12, 24, 52])
def test_a_clear_season_is_found(season: int) -> None:
    found = [detect_seasons(seasonal(season, 6, 0.3, seed))[0] for seed in range(20)]
    # Half of ten, or a third of twelve, is what a pattern may look like by chance.
    assert sum(one == season for one in found) >= 15


@pytest.mark.parametrize("n", [12, 60, 300])
def test_noise_and_walks_have_mostly_none(n: int) -> None:
    rng = np.random.default_rng(n)
    draws = [rng.normal(size=n) for _ in range(100)] + [rng.normal(size=n).cumsum() for _ in range(100)]
    assert sum(detect_seasons(one)[0] == 1 for one in draws) >= 150


def test_a_day_and_a_week_are_found_together() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(24 * 7 * 5)
    day, week = rng.normal(size=24), rng.normal(size=7)
    series = 100 + 10 * day[time % 24] + 8 * week[time // 24 % 7] + rng.normal(size=len(time))
    assert detect_seasons(series) == (24, 168)
    assert detect_seasons(series[:150])[1] == 0


@given(
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=80),
)
def test_any_series_has_an_answer(values: list[float]) -> None:
    short, long = detect_seasons(np.array(values))
    assert 1 <= short <= max(1, len(values) // 2)
    assert long == 0 or long % short == 0


@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.integers(0, 1000))
def test_level_and_unit_change_nothing(unit: float, level: float, seed: int) -> None:
    series = seasonal(7, 8, 0.4, seed)
    assert detect_seasons(unit * (series + level)) == detect_seasons(series)


@pytest.mark.parametrize("values", [[5.0] * 40, [1e9 + i * 1e-7 for i in range(40)], [0.0] * 40, [3.0]])
def test_a_constant_has_no_season(values: list[float]) -> None:
    assert detect_seasons(np.array(values)) == (1, 0)


@pytest.mark.parametrize(
    ("n", "freq", "expected"),
    [
        (30, "MS", Seasons(12)),
        (30, "QS", Seasons(4)),
        (30, "YS", Seasons(1)),
        (500, "h", Seasons(24, 168)),
        (200, "h", Seasons(24)),
        (1000, "30min", Seasons(48, 336)),
        (100, "D", Seasons(7)),
        (800, "D", Seasons(7, 364)),
        (300, "W", Seasons(52)),
        (50, "B", Seasons(5)),
    ],
)
def test_a_frequency_brings_its_seasons(n: int, freq: str, expected: Seasons) -> None:
    assert find_seasons(np.random.default_rng(0).normal(size=n), freq=freq) == expected


def test_a_season_that_is_named_is_taken() -> None:
    series = seasonal(7, 10, 0.1)
    assert find_seasons(series, season=3) == Seasons(3)
    assert find_seasons(series, season=1, freq="D") == Seasons(1)


def test_what_is_read_grows_with_the_season_and_is_bounded() -> None:
    assert Seasons(1).points_read == 200
    assert Seasons(12).points_read == 96
    assert Seasons(7).points_read == 140
    assert Seasons(24, 168).points_read == 1344
    assert Seasons(48, 336).points_read == 2688
    assert Seasons(7, 364).points_read == 2912
    assert Seasons(600).points_read == 4096


@given(st.lists(st.tuples(st.sampled_from([9, 40, 120]), st.integers(0, 10_000)), min_size=1, max_size=8))
def test_a_season_does_not_depend_on_the_other_series(drawn: list[tuple[int, int]]) -> None:
    rows = [seasonal(int(np.random.default_rng(seed).integers(2, 15)), n, 0.6, seed)[:n] for n, seed in drawn]
    rows.append(np.full(40, 3.0))
    assert detect_all_seasons(rows) == [detect_seasons(row) for row in rows]
