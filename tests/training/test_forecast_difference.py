"""How exports are held to the trained model: in units of what the series move, never of nothing."""

import numpy as np
import pytest

from service.training.forecast_difference import least_unit, measure_difference

SOLD = np.array([0.0, 0.0, 3.0, 0.0])


def test_rounding_of_a_forecast_near_zero_is_no_difference() -> None:
    zeros = np.zeros(20, np.float32)
    least = least_unit([zeros, SOLD])
    assert measure_difference(np.array([1e-9]), np.array([3e-9]), zeros, least) < 1e-2
    # In a unit of its own it was any number.
    assert measure_difference(np.array([1e-9]), np.array([3e-9]), zeros, 1e-30) > 0.5


def test_a_wrong_number_is_a_difference_beside_any_series() -> None:
    least = least_unit([np.zeros(20), SOLD])
    assert measure_difference(np.array([0.1]), np.array([0.2]), np.zeros(20), least) > 0.4
    assert measure_difference(np.array([1.0]), np.array([1.01]), SOLD, least) > 1e-3


@pytest.mark.parametrize("served", [[np.nan, 1.0], [np.inf, 1.0], [1.0]])
def test_a_number_for_none_is_as_far_apart_as_can_be(served: list[float]) -> None:
    assert measure_difference(np.array(served), np.array([1.0, 1.0]), SOLD, 1e-6) == float("inf")


def test_series_of_nothing_have_a_unit_all_the_same() -> None:
    assert least_unit([np.zeros(5)]) > 0
    assert least_unit([]) > 0
