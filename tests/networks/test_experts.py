"""The experts of the zero-shot model against their formulas written out for one series, and what must hold of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.networks.experts import EXPERTS, LEVELS, LONG, TRENDS, run_experts
from service.networks.exponential_smoothing import MOST_POINTS, Smoothing, SmoothingBank
from service.networks.operations import NumPyOperations
from service.networks.seasonal_decomposition import decompose

Array = NDArray[np.float64]
XP = NumPyOperations()


def align(*series: Array, season: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Series that end at the last column, and where they have values."""
    width = -(-max(map(len, series)) // season) * season
    values, own = np.zeros((len(series), width), np.float32), np.zeros((len(series), width), np.float32)
    for i, one in enumerate(series):
        values[i, width - len(one) :], own[i, width - len(one) :] = one, 1
    return values, own


def ask(series: Any, season: int, horizon: int, long_season: int | None = None) -> dict[str, Array]:
    """Each expert's forecast of one series, by its name."""
    values, own = align(series, season=long_season or season)
    long = None if long_season is None else np.int64(long_season)
    expert_forecasts = run_experts(XP, values, own, np.int64(season), long, np.arange(horizon))
    return dict(zip(EXPERTS, np.asarray(expert_forecasts.forecasts[0], np.float64), strict=True))


def smooth_by_hand(values: Array, setting: Smoothing) -> tuple[float, float, float]:
    """Level, trend and mean squared error of the recursion, step by step."""
    level, trend, errors = values[0], 0.0, [0.0]
    for value in values[1:]:
        expected = level + setting.damping * trend
        error = value - expected
        level = expected + setting.rate * error
        trend = setting.damping * trend + setting.rate * setting.trend_rate * error
        errors.append(error)
    return level, trend, float(np.mean(np.square(errors)))


@given(st.integers(1, MOST_POINTS), st.sampled_from(LEVELS + TRENDS), st.integers(0, 2**32 - 1))
def test_smoothing_is_the_recursion(n: int, setting: Smoothing, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n).cumsum()
    smoothed = SmoothingBank((setting,)).smooth(XP, *align(values, np.zeros(n + 7)))
    level, trend, squared_error = smooth_by_hand(values, setting)
    assert smoothed.level[0, 0] == pytest.approx(level, abs=1e-3)
    assert smoothed.trend[0, 0] == pytest.approx(trend, abs=1e-3)
    assert smoothed.squared_error[0, 0] == pytest.approx(squared_error, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("season", [4, 7, 12])
def test_a_season_of_ratios_or_of_differences_is_taken_off_and_put_back(season: int) -> None:
    time = np.arange(6 * season)
    pattern = np.random.default_rng(season).normal(size=season)
    pattern -= pattern.mean()
    for series, is_ratio in (
        ((50 + time) * (1 + 0.2 * pattern / np.abs(pattern).max())[time % season], 1),
        ((50 + time) + 10 * pattern[time % season], 0),
    ):
        values, own = align(series)
        found = decompose(XP, values, own, np.int64(season))
        assert found.is_ratio[0, 0] == is_ratio
        assert found.kept[0, 0] > 0.95
        # What is left is the straight line.
        assert np.abs(np.diff(found.adjusted[0], 2)).max() < 0.5
        back = found.apply(XP, found.adjusted[:, None, -season:], np.arange(season))
        np.testing.assert_allclose(back[0, 0], series[-season:], rtol=1e-4)


def test_noise_keeps_little_of_a_season() -> None:
    values = np.random.default_rng(0).normal(size=(200, 60)).astype(np.float32)
    found = decompose(XP, values, np.ones_like(values), np.int64(12))
    assert np.median(found.kept) < 0.2


@given(st.integers(1, 60), st.integers(1, 13), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_experts_forecast_finite_numbers_whatever_the_length_and_the_season(
    n: int, season: int, horizon: int, seed: int
) -> None:
    series = np.random.default_rng(seed).normal(size=n) * 10
    for name, forecast in ask(series, season, horizon).items():
        assert forecast.shape == (horizon,), name
        assert np.isfinite(forecast).all(), name


def test_seasonal_naive_repeats_the_last_season_and_a_series_without_one_its_last_value() -> None:
    series = np.arange(10.0)
    np.testing.assert_array_equal(ask(series, 4, 6)["seasonal_naive"], [6, 7, 8, 9, 6, 7])
    np.testing.assert_array_equal(ask(series, 1, 3)["seasonal_naive"], [9, 9, 9])
    # Less than a season.
    np.testing.assert_array_equal(ask(series, 12, 3)["seasonal_naive"], [9, 9, 9])


def test_the_trend_goes_on_along_a_straight_line() -> None:
    series = 3 + 2.0 * np.arange(200)
    np.testing.assert_allclose(ask(series, 1, 5)["trend"], [403.0, 405.0, 407.0, 409.0, 411.0], rtol=1e-3)


def test_a_reverting_series_goes_back_to_its_mean() -> None:
    rng = np.random.default_rng(3)
    series = np.zeros(400)
    for i in range(1, 400):
        series[i] = 0.8 * series[i - 1] + rng.normal()
    series += 50
    forecasts = ask(series, 1, 60)
    assert abs(forecasts["reverting"][-1] - forecasts["mean"][-1]) < 0.01
    away = series[-1] - series.mean()
    assert forecasts["reverting"][0] - series.mean() == pytest.approx(0.8 * away, rel=0.15)


def test_the_long_season_is_known_to_its_own_experts_alone() -> None:
    time = np.arange(24 * 7 * 4)
    series = 100 + 10 * np.sin(2 * np.pi * time / 24) + 20 * (time // 24 % 7 >= 5)
    forecasts = ask(series, 24, 168, 168)
    week = series[-168:]
    for name in LONG:
        np.testing.assert_allclose(forecasts[name], week, atol=2.0)
    assert np.abs(forecasts["seasonal_naive"] - week).mean() > 3


def decompose_by_hand(values: Array, season: int) -> tuple[Array, Array, bool]:
    """What is left of one series, the factors of each phase, and whether they are ratios: point by point."""
    n, phases = len(values), (np.arange(len(values)) - len(values)) % season
    far, near = season // 2, season - 1 - season // 2
    whole = np.arange(far, n - season + near + 1)
    if n < 2 * season or season == 1 or len(set(phases[whole])) < season:
        return values, np.zeros(season), False
    level = np.array([(values[p - far :][:season].mean() + values[p - near :][:season].mean()) / 2 for p in whole])

    def shrink(around: Array) -> tuple[Array, float]:
        factors = np.array([around[phases[whole] == phase].mean() for phase in range(season)])
        factors -= factors.mean()
        noise = ((around - factors[phases[whole]]) ** 2).sum() / max(len(whole) - season, 1)
        noise *= np.mean([1 / (phases[whole] == phase).sum() for phase in range(season)])
        kept = max(0.0, 1 - noise / ((factors**2).sum() / (season - 1)))
        return factors * kept, kept

    differences, _ = shrink(values[whole] - level)
    ratios, kept = shrink(values[whole] / level - 1)
    left = [
        ((values[whole] - level - moved) ** 2).sum()
        for moved in (differences[phases[whole]], level * ratios[phases[whole]])
    ]
    if left[1] <= left[0] and kept > 0:
        return values / (1 + ratios[phases]), ratios, True
    return values - differences[phases], differences, False


@given(st.integers(1, 70), st.sampled_from([1, 4, 5, 12]), st.integers(0, 2**32 - 1))
def test_a_decomposition_is_its_formula_point_by_point(n: int, season: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    trend = (20 + 0.5 * np.arange(n)) * (1 + 0.3 * rng.uniform(-1, 1, season)[np.arange(n) % season])
    values = trend + rng.normal(size=n)
    adjusted, factors, is_ratio = decompose_by_hand(values, season)
    # A longer neighbour puts zeros before the series, as in a batch.
    found = decompose(XP, *align(values, np.ones(n + 9), season=season), np.int64(season))
    assert bool(found.is_ratio[0, 0]) == is_ratio
    np.testing.assert_allclose(found.adjusted[0, -n:], adjusted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.factors[:, 0], factors, rtol=1e-3, atol=1e-4)
    assert not found.adjusted[0, :-n].any()


def test_what_is_noticed_is_of_the_first_row_of_each_series() -> None:
    rows = [np.random.default_rng(seed).normal(size=24 + seed) + 5 for seed in range(6)]
    values, own = align(*rows, season=4)
    steps = np.arange(5)
    alone = run_experts(XP, values, own, np.int64(4), None, steps)
    of_three = run_experts(XP, values, own, np.int64(4), None, steps, rows_per_series=3)
    np.testing.assert_allclose(of_three.facts, alone.facts[::3], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(of_three.forecasts, alone.forecasts)
