import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.domain.array_operations import NUMPY
from service.domain.baselines import seasonal_naive
from service.domain.differencing import base, difference, feed_back, integrate


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 20))
def test_the_base_is_the_seasonal_naive_forecast(lag: int, horizon: int, extra: int) -> None:
    values = np.random.default_rng(lag).random((3, lag + extra))
    assert np.array_equal(base(values, horizon, lag), seasonal_naive(values, horizon, lag))


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 20))
def test_answers_that_are_fed_back_are_the_differences_of_the_longer_series(lag: int, horizon: int, extra: int) -> None:
    series = np.random.default_rng(horizon).random((2, lag + extra + horizon))
    known = series[:, : lag + extra]
    answers = series[:, lag + extra :] - base(known, horizon, lag)
    assert np.allclose(feed_back(NUMPY, answers, horizon, lag), difference(series, lag)[:, extra:])


@given(st.integers(0, 12), st.integers(1, 30), st.integers(0, 20))
def test_differences_that_were_fed_back_sum_up_to_the_values_again(lag: int, time: int, extra: int) -> None:
    series = np.random.default_rng(time).random((2, lag + extra + time))
    fed = difference(series, lag)[:, extra:]
    before = series[:, extra : extra + lag]
    assert np.allclose(integrate(NUMPY, fed, before, lag), series[:, lag + extra :])


def test_without_a_lag_nothing_changes() -> None:
    values = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(difference(values, 0), values)
    assert np.array_equal(feed_back(NUMPY, values, 3, 0), values)
    assert not base(values, 5, 0).any()
