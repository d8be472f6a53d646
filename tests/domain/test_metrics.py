import numpy as np
import pytest

from service.domain.metrics import mean_absolute_scaled_error, score


def test_scores_of_a_small_case_worked_by_hand() -> None:
    scores = score(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 4.0], [2.0, 4.0]]))
    assert scores["mse"] == pytest.approx((0 + 4 + 1 + 0) / 4)
    assert scores["rmse"] == pytest.approx(1.25**0.5)
    assert scores["mae"] == pytest.approx(3 / 4)
    assert scores["by_step"] == {"mse": [0.5, 2.0], "mae": [0.5, 1.0]}


def test_shapes_that_differ_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        score(np.zeros((2, 3)), np.zeros((2, 1)))


def test_mase_is_one_where_the_error_is_that_of_the_seasonal_naive_in_the_history() -> None:
    history = np.array([0.0, 10.0, 1.0, 11.0, 2.0, 12.0])
    assert mean_absolute_scaled_error(np.array([5.0, 5.0]), np.array([6.0, 4.0]), history, season=2) == 1.0


@pytest.mark.parametrize("history", [np.zeros(12), np.tile([1.0, 2.0], 6)])
def test_mase_has_no_scale_where_history_repeats_itself(history: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no scale"):
        mean_absolute_scaled_error(np.ones(2), np.ones(2), history, season=2)
