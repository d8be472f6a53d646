import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.linear_baseline import LONGEST_WINDOW, fit_forecaster


def waves(n: int, length: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    time = np.arange(length)
    return [
        10 ** rng.uniform(-3, 3) * np.sin(2 * np.pi * time / period + rng.uniform(0, 6))
        for period in rng.choice([6.0, 12.0], n)
    ]


def test_series_of_any_magnitude_that_are_linear_in_their_past_are_forecast_exactly() -> None:
    series = waves(20, 60)
    forecaster = fit_forecaster([values[:48] for values in series], 24, 12)
    assert forecaster.window == 24
    for values, forecast in zip(series, forecaster.forecast([values[:48] for values in series]), strict=True):
        assert forecast == pytest.approx(values[48:], abs=1e-6 * np.abs(values).max())


def test_the_window_is_shorter_where_the_histories_hold_too_few_of_it() -> None:
    series = [np.cumsum(np.random.default_rng(0).standard_normal(30))]
    forecaster = fit_forecaster(series, 50, 4)
    # 30 - w - 4 + 1 windows, of which 2 (w + 1) are needed.
    assert forecaster.window == 8
    assert forecaster.forecast([series[0], series[0][:3]]).shape == (2, 4)


@pytest.mark.parametrize(
    ("series", "words"), [([np.arange(5.0)], "at least 6 are needed"), ([np.ones(100)], "not constant")]
)
def test_what_can_not_be_fitted_says_why(series: list[np.ndarray], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit_forecaster(series, 10, 2)


def test_many_long_series_are_fitted_to_a_bounded_share_of_their_windows() -> None:
    rng = np.random.default_rng(0)
    forecaster = fit_forecaster([np.cumsum(rng.standard_normal(20_000)) for _ in range(10)], 10_000, 10)
    assert forecaster.window == LONGEST_WINDOW
    assert np.isfinite(forecaster.coefficients).all()


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=10), st.sampled_from([1.0, 1e30, 1e-30]))
def test_any_history_gets_finite_forecasts(values: list[float], scale: float) -> None:
    forecaster = fit_forecaster(waves(5, 40), 12, 3)
    history = np.array(values) * scale
    if np.abs(history).max() < 1e38:
        assert np.isfinite(forecaster.forecast([history])).all()
