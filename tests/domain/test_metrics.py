import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from service.domain.metrics import (
    coverage,
    mean_absolute_scaled_error,
    score,
    seasonal_scale,
    symmetric_mean_absolute_percentage_error,
)

VALUES = arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6))


def test_scores_of_a_small_case_worked_by_hand() -> None:
    scores = score(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 4.0], [2.0, 4.0]]))
    assert scores["mse"] == pytest.approx((0 + 4 + 1 + 0) / 4)
    assert scores["rmse"] == pytest.approx(1.25**0.5)
    assert scores["mae"] == pytest.approx(3 / 4)
    assert scores["smape"] == pytest.approx((0 + 200 * 2 / 6 + 200 / 5 + 0) / 4)
    assert scores["by_step"] == {"mse": [0.5, 2.0], "mae": [0.5, 1.0]}
    assert "mase" not in scores


def test_shapes_that_differ_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        score(np.zeros((2, 3)), np.zeros((2, 1)))


def test_mase_is_one_where_the_error_is_that_of_the_seasonal_naive_in_the_history() -> None:
    history = np.array([0.0, 10.0, 1.0, 11.0, 2.0, 12.0])
    scale = np.array([seasonal_scale(history, 2)])
    assert mean_absolute_scaled_error(np.array([[5.0, 5.0]]), np.array([[6.0, 4.0]]), scale) == 1.0


@pytest.mark.parametrize("history", [np.zeros(12), np.tile([1.0, 2.0], 6), np.ones(2)])
def test_series_without_a_scale_do_not_count_in_mase(history: np.ndarray) -> None:
    scale = np.array([seasonal_scale(history, 2), 2.0])
    assert np.isnan(scale[0])
    assert mean_absolute_scaled_error(np.zeros((2, 1)), np.array([[9.0], [4.0]]), scale) == 2.0
    assert mean_absolute_scaled_error(np.zeros((1, 1)), np.ones((1, 1)), scale[:1]) is None


@given(VALUES, VALUES)
def test_smape_is_symmetric_and_within_its_bounds(actual: np.ndarray, forecast: np.ndarray) -> None:
    value = symmetric_mean_absolute_percentage_error(actual, forecast)
    assert 0 <= value <= 200 * (1 + 1e-12)
    assert value == pytest.approx(symmetric_mean_absolute_percentage_error(forecast, actual))
    assert symmetric_mean_absolute_percentage_error(actual, actual) == 0


def test_coverage_counts_the_values_within_their_intervals() -> None:
    actual = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert coverage(actual, np.full((2, 2), 1.0), np.full((2, 2), 2.0)) == 50.0


GAPS = arrays(np.bool_, (3, 4))


@given(VALUES, VALUES, GAPS)
def test_scores_are_those_of_the_measured_points_alone(
    actual: np.ndarray, forecast: np.ndarray, is_missing: np.ndarray
) -> None:
    is_missing[0, 0] = False
    gappy, known = np.where(is_missing, np.nan, actual), ~is_missing
    scores = score(gappy, forecast)
    alone = score(actual[known][:, None], forecast[known][:, None])
    for measure in ("mse", "rmse", "mae", "smape"):
        assert scores[measure] == pytest.approx(alone[measure])
    for step in range(4):
        own = known[:, step]
        by_step = scores["by_step"]["mae"][step]
        assert by_step == (pytest.approx(np.abs(actual - forecast)[own, step].mean()) if own.any() else None)
    assert coverage(gappy, forecast - 1, forecast + 1) == pytest.approx(
        coverage(actual[known][:, None], forecast[known][:, None] - 1, forecast[known][:, None] + 1)
    )


def test_a_forecast_of_which_nothing_was_measured_has_no_say_in_mase() -> None:
    actual = np.array([[np.nan, np.nan], [4.0, np.nan]])
    assert mean_absolute_scaled_error(actual, np.zeros((2, 2)), np.array([1.0, 2.0])) == 2.0


def test_nothing_measured_at_all_is_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="with values"):
        score(np.full((2, 3), np.nan), np.zeros((2, 3)))


@pytest.mark.parametrize("period", [4, 7, 12, 24])
@pytest.mark.parametrize(("amplitude", "level"), [(1, 0), (1e-9, 0), (1e9, 0), (1, 1e6), (0.05, 1e7), (1, -3)])
def test_what_repeats_itself_but_for_rounding_has_no_scale(period: int, amplitude: float, level: float) -> None:
    wave = level + amplitude * np.sin(2 * np.pi * np.arange(300) / period)
    assert np.isnan(seasonal_scale(wave, period))
    noisy = wave + 0.01 * amplitude * np.random.default_rng(0).standard_normal(300)
    assert seasonal_scale(noisy, period) == pytest.approx(0.0113 * amplitude, rel=0.2)


def test_what_is_written_with_fewer_digits_than_it_was_computed_with_still_repeats_itself() -> None:
    wave, noise = np.sin(2 * np.pi * np.arange(300) / 7), np.random.default_rng(0).standard_normal(300)
    assert np.isnan(seasonal_scale(wave + 1e-8 * noise, 7))
    assert seasonal_scale(wave + 1e-5 * noise, 7) > 0


@pytest.mark.parametrize(("level", "step"), [(3e11, 1.0), (1.7e12, 1.0), (1e7, 0.05), (-1e13, 0.5), (0, 1e-30)])
def test_small_steps_on_a_high_level_are_no_rounding(level: float, step: float) -> None:
    assert seasonal_scale(level + step * np.arange(60.0), 1) == pytest.approx(step, rel=0.05)


@given(st.integers(1, 12), st.integers(30, 60), st.integers(0, 100))
def test_the_scale_is_that_of_pairs_of_which_both_were_measured(season: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    history = rng.standard_normal(length)
    history[rng.random(length) < 0.3] = np.nan
    pairs = [
        abs(history[i] - history[i - season])
        for i in range(season, length)
        if not np.isnan(history[[i, i - season]]).any()
    ]
    found = seasonal_scale(history, season)
    assert found == pytest.approx(np.mean(pairs)) if pairs else np.isnan(found)
