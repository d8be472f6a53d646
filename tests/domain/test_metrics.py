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
