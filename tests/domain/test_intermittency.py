import numpy as np
import pytest

from service.domain.intermittency import is_intermittent


def sold(share: float, seed: int = 0, n: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < share, rng.integers(1, 5, n), 0).astype(float)


@pytest.mark.parametrize(("share", "expected"), [(1 / 20, True), (1 / 2, True), (0.7, True), (0.8, False), (1, False)])
def test_demand_is_intermittent_from_an_interval_of_a_third_more_than_a_point_on(share: float, expected: bool) -> None:
    assert is_intermittent([sold(share, seed) for seed in range(9)]) is expected


def test_most_series_decide() -> None:
    sparse, dense = [sold(0.1, seed) for seed in range(5)], [sold(1, seed) for seed in range(5)]
    assert is_intermittent(sparse + dense[:4])
    assert not is_intermittent(sparse[:4] + dense)


def test_missing_values_are_no_zeros() -> None:
    gappy = sold(1)
    gappy[::2] = np.nan
    assert not is_intermittent([gappy])
    assert is_intermittent([np.where(np.arange(200) % 5 == 0, np.nan, sold(0.1))])


def test_what_is_ever_negative_is_no_demand() -> None:
    assert not is_intermittent([sold(0.1), np.append(sold(0.1), -1.0)])


@pytest.mark.parametrize("series", [[], [np.full(9, np.nan)]])
def test_nothing_is_not_intermittent(series: list[np.ndarray]) -> None:
    assert not is_intermittent(series)


def test_series_of_zeros_alone_are() -> None:
    assert is_intermittent([np.zeros(50)])
