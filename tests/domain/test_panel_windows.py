import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.differencing import base
from service.domain.panel_windows import Slices, flatten_panel, make_training_windows
from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.resolve import resolve

LENGTHS = np.full(40, 200, dtype=np.int64)
DATA = PanelData("series", "x", "d", 40, 8000, "QS")


def recipe(architecture: str, **fields: object) -> Recipe:
    return resolve({"architecture": architecture, "horizon": 3, "window": 12, **fields}, DATA, LENGTHS)


def test_windows_are_cut_left_aligned_with_nan_behind() -> None:
    rows = flatten_panel([np.arange(5.0), np.arange(10.0, 16.0)])
    inputs = rows.inputs(np.array([0, 1, 1]), np.array([3, 6, 1]), 4)
    nan = np.nan
    assert np.array_equal(inputs, np.array([[0, 1, 2, nan], [12, 13, 14, 15], [10, nan, nan, nan]]), equal_nan=True)
    assert rows.futures(np.array([0, 1]), np.array([3, 2]), 2).tolist() == [[3, 4], [12, 13]]
    assert rows.history(1, 3).tolist() == [10, 11, 12]


@given(st.sampled_from(("none", "first", "seasonal")), st.integers(5, 12), st.integers(0, 100))
def test_targets_are_the_future_from_the_last_known_values_of_its_phase(difference: str, known: int, seed: int) -> None:
    made = recipe("vector_rnn", difference=difference, scaling="none", season=4)
    values = np.random.default_rng(seed).random(known + 3)
    inputs = np.full((1, 12), np.nan)
    inputs[0, :known] = values[:known]
    examples = make_training_windows(made, inputs, values[None, known:], np.ones(1))
    expected = values[None, known:] - base(values[None, :known], 3, made.lag)
    assert np.allclose(examples.targets, expected, atol=1e-6)
    assert int(np.isfinite(examples.x).sum()) == known - made.lag


@pytest.mark.parametrize("architecture", ["lstm", "conv_gru"])
@given(known=st.integers(8, 12), seed=st.integers(0, 100))
def test_a_sequence_has_targets_at_its_own_steps_alone(architecture: str, known: int, seed: int) -> None:
    made = recipe(architecture, difference="seasonal", scaling="none", season=4)
    values = np.random.default_rng(seed).random(known + 3)
    inputs = np.full((1, 12), np.nan)
    inputs[0, :known] = values[:known]
    examples = make_training_windows(made, inputs, values[None, known:], np.ones(1))
    steps = np.flatnonzero(examples.weights[0])
    ends = known - (1 if architecture == "lstm" else 2) * np.arange(len(steps))[::-1]
    assert len(steps) == (known - 4 if architecture == "lstm" else (known - 4 - 4) // 2 + 1)
    for step, end in zip(steps, ends, strict=True):
        expected = values[None, end : end + 3] - base(values[None, :end], 3, 4)
        assert np.allclose(examples.targets[0, step], expected[0], atol=1e-6)
    last = make_training_windows(made, inputs, values[None, known:], np.ones(1), last_only=True)
    assert np.flatnonzero(last.weights[0]).tolist() == [steps[-1]]
    assert last.weights.mean() == pytest.approx(1)


def test_errors_count_in_the_users_units_whatever_the_scaling() -> None:
    inputs = 50 + 10 * np.random.default_rng(0).random((4, 12))
    futures = inputs[:, :3]
    for scaling in ("none", "standard", "mean", "robust"):
        made = recipe("vector_rnn", scaling=scaling)
        one = make_training_windows(made, inputs, futures, np.full(4, 0.5))
        other = make_training_windows(made, inputs, futures + 7, np.full(4, 0.5))
        moved = np.abs(other.targets - one.targets).mean(axis=1)
        assert np.allclose(moved * one.weights, 3.5, rtol=1e-4)


@given(st.sampled_from(("none", "first", "seasonal")), st.integers(0, 2), st.integers(0, 100))
def test_what_was_not_measured_is_no_target(difference: str, missing: int, seed: int) -> None:
    made = recipe("vector_rnn", difference=difference, scaling="standard", season=4)
    inputs = np.random.default_rng(seed).random((1, 12))
    futures = inputs[:, :3] + 1
    gappy = futures.copy()
    gappy[0, missing] = np.nan
    targets = make_training_windows(made, inputs, gappy, np.ones(1)).targets[0]
    assert np.flatnonzero(np.isnan(targets)).tolist() == [missing]
    whole = make_training_windows(made, inputs, futures, np.ones(1)).targets[0]
    others = np.arange(3) != missing
    assert np.array_equal(targets[others], whole[others])


@pytest.mark.parametrize("architecture", ["lstm", "conv_gru"])
@pytest.mark.parametrize("difference", ["none", "seasonal"])
@given(first=st.integers(5, 9), length=st.integers(1, 2), seed=st.integers(0, 100))
def test_a_sequence_learns_nothing_within_a_gap_nor_of_it(
    architecture: str, difference: str, first: int, length: int, seed: int
) -> None:
    made = recipe(architecture, difference=difference, scaling="none", season=4)
    values = np.random.default_rng(seed).random(15)
    gap = slice(first, first + length)
    measured = values[None, :12].copy()
    measured[0, gap] = np.nan
    filled = values[None, :12].copy()
    filled[0, gap] = 0.5
    found = make_training_windows(made, filled, values[None, 12:], np.ones(1), measured=measured)
    whole = make_training_windows(made, filled, values[None, 12:], np.ones(1))
    stride = 1 if architecture == "lstm" else 2
    n_steps = int((whole.weights[0] > 0).sum())
    ends = 12 - stride * np.arange(n_steps)[::-1]  # points known at each step
    joined = np.append(measured[0], values[12:])
    for step, end in enumerate(ends):
        # It would have read a value that was made of what comes after it.
        assert (found.weights[0, step] > 0) == (not np.isnan(joined[end - 1]))
        if found.weights[0, step] > 0:
            future = joined[end : end + 3]
            assert np.array_equal(np.isnan(found.targets[0, step]), np.isnan(future))
            known = ~np.isnan(future)
            assert np.array_equal(found.targets[0, step][known], whole.targets[0, step][known])


@pytest.mark.parametrize("scaling", ["standard", "mean", "robust"])
@pytest.mark.parametrize("after", [1e12, 1e38])
def test_what_follows_a_constant_window_is_not_learnt_in_units_of_rounding(scaling: str, after: float) -> None:
    made = recipe("vector_rnn", scaling=scaling)
    examples = make_training_windows(made, np.full((1, 12), 5.0), np.array([[5.0, after, 5.0]]), np.ones(1))
    assert np.isnan(examples.targets[0]).tolist() == [False, True, False]
    assert np.isfinite(examples.weights).all()


def test_origins_in_a_gap_go_back_to_where_it_begins_if_enough_is_left() -> None:
    nan = np.nan
    measured = np.array([1.0, nan, nan, 4.0, nan, nan, nan, 8.0])
    rows = flatten_panel([measured], lambda _: np.arange(8.0))
    ends = np.arange(1, 9)
    assert rows.last_measured(np.zeros(8, int), ends, 1).tolist() == [1, 1, 1, 4, 4, 4, 4, 8]
    assert rows.last_measured(np.zeros(8, int), ends, 3).tolist() == [1, 2, 3, 4, 4, 4, 4, 8]


def test_slices_of_one_array_are_not_copied_and_give_the_same_windows() -> None:
    values = np.arange(30.0)
    values[[0, 11, 12]] = np.nan
    # As after trimming: something lies between the series.
    parts = [values[1:10], values[13:20], values[20:30]]
    rows, copied = flatten_panel(Slices(parts, values)), flatten_panel([part.copy() for part in parts])
    assert rows.flat is values
    series, ends = np.array([0, 1, 1, 2]), np.array([9, 3, 7, 5])
    for window in (2, 5):
        np.testing.assert_array_equal(rows.inputs(series, ends, window), copied.inputs(series, ends, window))
    np.testing.assert_array_equal(rows.futures(series[1:2], ends[1:2], 4), copied.futures(series[1:2], ends[1:2], 4))
    assert [rows.history(i, 3).tolist() for i in range(3)] == [copied.history(i, 3).tolist() for i in range(3)]


def test_slices_with_gaps_are_filled_apart_and_know_what_was_measured() -> None:
    values = np.array([np.nan, 1, np.nan, np.nan, 4, 5, 6, np.nan, 8])
    parts = [values[1:5], values[5:9]]
    filled = [np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 6, 8])]
    for series in (Slices(parts, values), [part.copy() for part in parts]):
        rows = flatten_panel(series, filled.__getitem__)
        assert not rows.is_complete
        assert [rows.history(i, 4).tolist() for i in range(2)] == [part.tolist() for part in filled]
        np.testing.assert_array_equal(rows.measured_history(0, 4), parts[0])
        # An end in a gap moves back to where it begins.
        assert rows.last_measured(np.array([0, 0, 1, 1]), np.array([3, 4, 3, 4]), 1).tolist() == [1, 4, 2, 4]
