"""Least squares that a few wrong values can't decide, and that differs in nothing where there are none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.linear_baseline import fit_forecaster
from service.domain.robust_regression import TOLERATED, fit_linear_robustly, fit_robustly

WRONG = st.one_of(st.sampled_from((-9999.0, 1e12, -1e30, 1e38)), st.floats(-1e38, 1e38, allow_subnormal=False))
SEEDS = st.integers(0, 1000)


def windows(seed: int, n: int = 80, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs [n, 4], futures [n, 3] and the coefficients [5, 3] that they were made with."""
    rng = np.random.default_rng(seed)
    inputs, coefficients = rng.standard_normal((n, 4)), rng.standard_normal((5, 3))
    futures = inputs @ coefficients[:-1] + coefficients[-1] + noise * rng.standard_normal((n, 3))
    return inputs, futures, coefficients


def plain(inputs: np.ndarray, futures: np.ndarray) -> np.ndarray:
    extended = np.hstack([inputs, np.ones((len(inputs), 1))])
    solution, *_ = np.linalg.lstsq(extended, futures)
    return np.asarray(solution)


@given(SEEDS, WRONG, st.integers(0, 79), st.integers(0, 2))
def test_one_value_anywhere_leaves_the_coefficients_as_they_are(seed: int, value: float, row: int, step: int) -> None:
    inputs, futures, coefficients = windows(seed)
    futures[row, step] = value
    assert np.allclose(fit_linear_robustly(inputs, futures), coefficients, atol=1e-6)


@given(SEEDS, WRONG, st.integers(0, 70))
def test_five_wrong_values_in_a_row_leave_the_coefficients_as_they_are(seed: int, value: float, row: int) -> None:
    inputs, futures, coefficients = windows(seed)
    futures[row : row + 5] = value
    assert np.allclose(fit_linear_robustly(inputs, futures), coefficients, atol=1e-6)


@pytest.mark.parametrize("value", [1e12, -1e30, 1e38])
def test_not_even_a_third_of_the_windows_decide_where_they_are_far_off(value: float) -> None:
    inputs, futures, coefficients = windows(0, noise=0.1)
    futures[5:35] = value
    assert np.abs(fit_linear_robustly(inputs, futures) - coefficients).max() < 0.3


@given(SEEDS, st.floats(1e-3, 10))
def test_without_outliers_it_is_plain_least_squares(seed: int, noise: float) -> None:
    inputs, futures, _ = windows(seed, noise=noise)
    assert np.allclose(fit_linear_robustly(inputs, futures), plain(inputs, futures), rtol=1e-9, atol=1e-9)
    fit = fit_robustly(inputs, futures)
    assert np.array_equal(fit.reweight(inputs, futures, np.ones(80)), np.ones(80))


@given(SEEDS, st.floats(0.01, 0.3))
def test_what_is_missing_is_left_out_of_the_fit(seed: int, share: float) -> None:
    inputs, futures, coefficients = windows(seed)
    hidden = np.random.default_rng(seed).random(futures.shape) < share
    found = fit_linear_robustly(inputs, np.where(hidden, np.nan, futures))
    assert np.isfinite(found).all()
    # Expectation maximisation comes closer with every filling; what is exact stays so where nothing is missing.
    assert np.abs(found - coefficients).max() < 0.05 + 2 * share
    assert np.allclose(fit_linear_robustly(inputs, futures), coefficients, atol=1e-9)


def test_windows_of_which_nothing_is_known_count_for_nothing() -> None:
    inputs, futures, coefficients = windows(0)
    futures[:20] = np.nan
    assert np.allclose(fit_linear_robustly(inputs, futures), coefficients, atol=1e-3)


@pytest.mark.parametrize("error", [1.0, TOLERATED / 2, 1e3, 1e60])
def test_weights_fall_with_the_error_and_never_below_nothing(error: float) -> None:
    inputs, futures, _ = windows(1, noise=0.1)
    fit = fit_robustly(inputs, futures)
    moved = futures.copy()
    moved[0] += error * fit.deviation
    weight = fit.reweight(inputs, moved, np.ones(80))[0]
    assert 0 <= weight <= 1
    assert (weight == 0) == (error > 2 * TOLERATED)
    assert weight == 1 or error > TOLERATED / 2


@pytest.mark.parametrize("weights", [np.zeros(80), np.full(80, 1e-300), np.full(80, 1e30)])
def test_weights_of_any_size_are_no_reason_to_fail(weights: np.ndarray) -> None:
    inputs, futures, _ = windows(2, noise=0.1)
    assert np.isfinite(fit_robustly(inputs, futures, weights).coefficients).all()


@given(st.sampled_from((-9999.0, 175.0, 9e9, 1e30)), st.integers(0, 149))
def test_a_wrong_value_in_one_series_moves_no_forecast_of_its_neighbours(value: float, at: int) -> None:
    time = np.arange(150)
    noise = np.random.default_rng(3).standard_normal((9, 150))
    nine = [75 + 5 * np.sin(2 * np.pi * time / 7 + i) + 0.5 * noise[i] for i in range(9)]
    spoilt = [one.copy() for one in nine]
    spoilt[0][at] = value
    forecasts = [fit_forecaster(series, 14, 7).forecast(nine[1:]) for series in (nine, spoilt)]
    assert np.abs(forecasts[0] - forecasts[1]).max() < 0.25


def test_a_spike_leaves_the_error_of_the_linear_baseline_where_it_was() -> None:
    """Of exact waves the baseline errs by nothing; by one spike of 100 it once erred by 2.7."""
    time = np.arange(150)
    nine = [75 + 5 * np.sin(2 * np.pi * time / 7 + i) for i in range(9)]
    spoilt = [one.copy() for one in nine]
    spoilt[0][70] += 100
    forecasts = fit_forecaster([one[:-7] for one in spoilt], 14, 7).forecast([one[:-7] for one in nine])
    assert np.abs(forecasts - [one[-7:] for one in nine]).max() < 1e-3
