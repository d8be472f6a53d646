import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.intervals import half_widths, measure_spread, needed, scale_residuals, surround

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


def unit(history: np.ndarray, season: int) -> float:
    return measure_spread(history, season, len(history)).unit


@given(st.floats(0.01, 1e6), st.integers(1, 12), st.integers(2, 40), st.booleans())
def test_the_spread_follows_the_scale_of_the_series(factor: float, season: int, length: int, is_steady: bool) -> None:
    history = np.random.default_rng(length).standard_normal(length)
    plain, moved = (
        measure_spread(values, season, length, is_steady=is_steady).unit for values in (history, history * factor)
    )
    assert moved == pytest.approx(plain * factor)


def test_a_steady_spread_is_between_that_of_the_last_seasons_and_that_of_all() -> None:
    rng = np.random.default_rng(1)
    history = np.concatenate([rng.standard_normal(500), 4 * rng.standard_normal(30)])
    recent, steady, whole = (
        measure_spread(history, 10, 30).unit,
        measure_spread(history, 10, 30, is_steady=True).unit,
        float(np.abs(np.diff(history.reshape(-1, 10), axis=0)).mean()),
    )
    assert steady == pytest.approx((recent * whole) ** 0.5, rel=0.05)
    assert whole < steady < recent


def test_a_trend_and_a_season_are_no_spread_and_noise_is() -> None:
    time = np.arange(60)
    regular = 100 + 2.0 * time + 10 * np.sin(2 * np.pi * time / 12)
    noisy = regular + 5 * np.random.default_rng(0).standard_normal(60)
    assert unit(regular, 12) == pytest.approx(0.1 * 24)
    assert 4 < unit(noisy, 12) < 9


def test_what_was_longer_ago_than_three_seasons_does_not_count() -> None:
    calm = np.random.default_rng(0).standard_normal(36)
    wild = np.concatenate([3 * np.random.default_rng(1).standard_normal(50), calm])
    assert unit(wild, 12) == unit(calm, 12)


def regular(n: int) -> np.ndarray:
    return 20 + 3.0 * (np.arange(n) % 7) + np.random.default_rng(n).random(n)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (np.concatenate([regular(60), np.zeros(40)]), unit(regular(60), 7)),
        (np.concatenate([regular(60), 5 + 1e-9 * regular(40)]), unit(regular(60), 7)),
        (np.tile(regular(7), 10), np.abs(np.diff(np.tile(regular(7), 10))).mean()),
        (np.full(50, 126.5), 126.5),
        (np.zeros(50), 0.0),
    ],
    ids=["stopped", "stopped, with a trace of noise", "repeats itself", "constant", "zero"],
)
def test_a_series_that_is_still_has_the_unit_of_what_it_did_before(history: np.ndarray, expected: float) -> None:
    found = measure_spread(history, 7, 56)
    assert found.is_still
    # What it did on the way to where it stands counts as well.
    assert expected == 0 or 0.1 * expected <= found.unit <= 20 * expected
    assert found.unit > 1e-3 or expected == 0


def test_a_moving_series_is_not_still_because_of_one_wrong_value_long_ago() -> None:
    history = regular(200)
    history[20] = -9999
    assert measure_spread(history, 7, 56) == measure_spread(regular(200), 7, 56)


def test_residuals_without_a_unit_are_no_numbers_and_those_of_nothing_are_nothing() -> None:
    scaled = scale_residuals(np.array([[1.0, np.nan], [0.0, 2.0]]), np.array([2.0, 0.0]))
    assert np.array_equal(scaled, [[0.5, np.nan], [0.0, np.nan]], equal_nan=True)


def test_bounds_do_not_leave_the_range_of_a_series_that_was_never_negative() -> None:
    forecast, width = np.array([1.0, -3.0]), np.array([2.0, 1.0])
    assert [list(bound) for bound in surround(forecast, width, is_non_negative=False)] == [[-1, -4], [3, -2]]
    assert [list(bound) for bound in surround(forecast, width, is_non_negative=True)] == [[0, 0], [3, 0]]


@pytest.mark.parametrize(("level", "step"), [(3e11, 1.0), (1.7e12, 20.0), (1e7, 0.05), (1e12, 0.05), (0, 1e-30)])
def test_a_series_that_moves_little_on_a_high_level_is_not_still(level: float, step: float) -> None:
    history = level + step * regular(100)
    found = measure_spread(history, 7, 56)
    assert not found.is_still
    assert found.unit == pytest.approx(step * unit(regular(100)[-56:], 7), rel=0.2)


HISTORIES = st.lists(st.floats(-3.4e38, 3.4e38, allow_subnormal=False), min_size=1, max_size=60)


@given(HISTORIES, st.integers(1, 12), st.integers(1, 60))
def test_a_spread_is_a_number_and_nothing_only_where_all_values_are(
    values: list[float], season: int, window: int
) -> None:
    found = measure_spread(np.array(values), season, window)
    assert np.isfinite(found.unit)
    assert (found.unit == 0) == (not any(values))


@given(st.lists(st.floats(0, 1e6), min_size=3, max_size=3), st.floats(1e-38, 1e3))
def test_no_residual_of_a_series_without_a_unit_reaches_the_others(residuals: list[float], own: float) -> None:
    scaled = scale_residuals(np.array([residuals, residuals]), np.array([own, 0.0]))
    known = scaled[~np.isnan(scaled)]
    assert np.isfinite(known).all()
    assert known.max(initial=0) <= (max(residuals) / own) * (1 + 1e-12)
