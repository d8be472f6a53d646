import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.domain.recipes.presets import PRESETS
from service.domain.windows import make_targets, output_steps, split_window


def test_a_window_is_what_came_just_before_its_future() -> None:
    series = np.arange(20.0).reshape(2, 10)
    inputs, futures = split_window(series, window=5, horizon=2)
    assert inputs.tolist() == [[3, 4, 5, 6, 7], [13, 14, 15, 16, 17]]
    assert futures.tolist() == [[8, 9], [18, 19]]


@given(st.integers(4, 60), st.integers(1, 12))
def test_a_sequence_target_at_each_step_is_the_values_after_it(window: int, horizon: int) -> None:
    values = np.arange(float(window + horizon))[None]
    targets = make_targets(values, window, horizon, "sequence", PRESETS["lstm"])
    assert targets.shape == (1, window, horizon)
    for step in range(window):
        assert targets[0, step].tolist() == list(range(step + 1, step + 1 + horizon))


@given(st.integers(4, 60), st.integers(1, 12))
def test_strided_targets_are_every_second_and_end_at_the_last_point(window: int, horizon: int) -> None:
    values = np.arange(float(window + horizon))[None]
    every = make_targets(values, window, horizon, "sequence", PRESETS["lstm"])
    strided = make_targets(values, window, horizon, "sequence", PRESETS["conv_gru"])
    assert strided.shape[1] == (window - 4) // 2 + 1
    assert np.array_equal(strided[:, -1], every[:, -1])
    assert np.array_equal(strided, every[:, output_steps(window, PRESETS["conv_gru"])])


def test_the_chapters_fifty_points_give_24_strided_targets_from_the_fourth_on() -> None:
    assert list(range(50))[output_steps(50, PRESETS["conv_gru"])] == list(range(3, 50, 2))


def test_other_heads_learn_the_future_alone() -> None:
    values = np.arange(12.0)[None]
    assert make_targets(values, 9, 3, "vector", PRESETS["lstm"]).tolist() == [[9, 10, 11]]
    assert make_targets(values[:, :10], 9, 1, "one_step", PRESETS["lstm"]).tolist() == [[9]]
