import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.baselines import apply_linear, fit_linear, naive, seasonal_naive


def test_naive_repeats_the_last_value() -> None:
    assert naive(np.array([[1.0, 2.0], [3.0, 4.0]]), 3).tolist() == [[2, 2, 2], [4, 4, 4]]


def test_seasonal_naive_repeats_the_last_season_past_its_end() -> None:
    assert seasonal_naive(np.array([[9.0, 1.0, 2.0, 3.0]]), 5, season=3).tolist() == [[1, 2, 3, 1, 2]]


def test_seasonal_naive_of_less_than_a_season_is_refused() -> None:
    with pytest.raises(ValueError, match="at least a season"):
        seasonal_naive(np.ones((1, 3)), 2, season=4)


@given(st.integers(0, 2**32 - 1))
def test_linear_finds_an_exact_linear_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rule = rng.normal(size=(6, 2))
    inputs = rng.normal(size=(50, 5))
    futures = inputs @ rule[:5] + rule[5]
    assert np.allclose(fit_linear(inputs, futures), rule, atol=1e-8)
    assert np.allclose(apply_linear(fit_linear(inputs, futures), inputs), futures)
