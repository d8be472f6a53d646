import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.intervals import half_widths, needed, spread

LEVELS = st.floats(1, 99.5)


@given(st.lists(st.floats(0, 1e6), min_size=200, max_size=300), LEVELS, LEVELS)
def test_levels_nest_and_never_cross(residuals: list[float], first: float, second: float) -> None:
    low, high = sorted((first, second))
    steps = [sorted(residuals)] * 3
    assert (half_widths(steps, low, 3) <= half_widths(steps, high, 3)).all()


@given(LEVELS)
def test_as_many_residuals_as_are_needed_are_enough_and_one_less_is_not(level: float) -> None:
    n = needed(level)
    half_widths([np.arange(n)], level, 1)
    with pytest.raises(ValueError, match=f"needs {n} residuals"):
        half_widths([np.arange(n - 1)], level, 1)


@pytest.mark.parametrize(("level", "n"), [(80, 4), (90, 9), (95, 19), (99, 99)])
def test_how_many_residuals_the_usual_levels_need(level: float, n: int) -> None:
    assert needed(level) == n


def test_the_rank_has_the_finite_sample_correction() -> None:
    assert half_widths([np.arange(1, 101)], 80, 1)[0] == math.ceil(101 * 0.8)


def test_coverage_of_exchangeable_residuals_is_at_least_the_level() -> None:
    rng = np.random.default_rng(0)
    for level in (50, 80, 95):
        inside = [
            abs(rng.standard_normal()) <= half_widths([np.sort(np.abs(rng.standard_normal(40)))], level, 1)[0]
            for _ in range(4000)
        ]
        assert 100 * np.mean(inside) == pytest.approx(level + 100 / 82, abs=2.5)


def test_more_steps_than_were_calibrated_are_refused() -> None:
    with pytest.raises(ValueError, match="2 steps"):
        half_widths([np.arange(50)], 80, 2)


@given(st.floats(0.01, 1e6), st.integers(1, 12), st.integers(1, 40))
def test_the_spread_follows_the_scale_of_the_series_and_is_never_zero(factor: float, season: int, length: int) -> None:
    history = np.random.default_rng(length).standard_normal(length)
    assert spread(history * factor, season) == pytest.approx(spread(history, season) * factor)
    assert spread(np.full(length, factor), season) > 0
    assert spread(np.zeros(length), season) > 0


def test_a_trend_and_a_season_are_no_spread_and_noise_is() -> None:
    time = np.arange(60)
    regular = 100 + 2.0 * time + 10 * np.sin(2 * np.pi * time / 12)
    noisy = regular + 5 * np.random.default_rng(0).standard_normal(60)
    assert spread(regular, 12) == pytest.approx(0.1 * 24)
    assert 4 < spread(noisy, 12) < 9


def test_what_was_longer_ago_than_three_seasons_does_not_count() -> None:
    calm = np.random.default_rng(0).standard_normal(36)
    wild = np.concatenate([1000 * np.random.default_rng(1).standard_normal(50), calm])
    assert spread(wild, 12) == spread(calm, 12)
