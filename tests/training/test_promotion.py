"""The gate's comparison: ties, series that can't decide alone, and what has no say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from service.training.promotion import beats, compare

ERRORS = arrays(np.float64, 41, elements=st.floats(0, 10))
SERIES = np.arange(41)


@given(ERRORS)
def test_a_tie_is_a_tie(errors: np.ndarray) -> None:
    found = compare(errors, errors.copy(), SERIES, "mase")
    assert found.candidate == found.rival
    assert found.n_left_out == 0


@given(ERRORS, st.integers(0, 40), st.sampled_from((1e3, 1e12, 1e30)))
def test_one_series_of_41_decides_nothing_alone(errors: np.ndarray, at: int, huge: float) -> None:
    better = 0.9 * errors + 0.01
    rival = errors + 0.1
    spoilt = better.copy()
    spoilt[at] = huge
    assert compare(better, rival, SERIES, "mase").candidate < compare(better, rival, SERIES, "mase").rival
    found = compare(spoilt, rival, SERIES, "mase")
    assert found.candidate < found.rival
    assert found.n_left_out > 0
    # Nor does it save a candidate that is worse elsewhere.
    saved = compare(rival, np.where(at == SERIES, huge, better), SERIES, "mase")
    assert saved.candidate > saved.rival


@given(ERRORS, ERRORS)
def test_where_all_series_and_most_of_them_agree_the_scores_are_those_of_all(
    own: np.ndarray, rival: np.ndarray
) -> None:
    found = compare(own, rival, SERIES, "mase")
    if not found.n_left_out:
        assert found.candidate == pytest.approx(own.mean())
        assert found.rival == pytest.approx(rival.mean())


def test_of_few_series_each_has_its_say() -> None:
    own, rival = np.ones(9), np.full(9, 1.1)
    own[0] = 100
    found = compare(own, rival, np.arange(9), "mase")
    assert found.candidate > found.rival
    assert found.n_left_out == 0


def test_windows_that_one_of_both_has_not_are_not_compared() -> None:
    own, rival = np.array([1.0, np.nan, 3.0]), np.array([2.0, 1.0, np.nan])
    assert compare(own, rival, np.arange(3), "mase")[:2] == (1.0, 2.0)


def test_intermittent_demand_is_compared_by_the_root_of_squares() -> None:
    assert compare(np.array([4.0, 4.0]), np.array([9.0, 9.0]), np.arange(2), "rmsse")[:2] == (2.0, 3.0)


@given(st.floats(1e-6, 1e6), st.floats(-1e-5, 1e-5))
def test_who_differs_by_rounding_beats_nobody(champion: float, rounding: float) -> None:
    assert not beats(champion * (1 + rounding), champion)
    assert beats(champion * 0.999, champion)


def test_who_errs_by_nothing_joins_a_champion_that_does_too() -> None:
    assert beats(0.0, 0.0)
    assert not beats(1e-9, 0.0)
