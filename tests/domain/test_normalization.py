"""Level and unit are taken off in 64 bits and put back: nothing is lost that the values were written with."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.normalization import MOST_DEVIATIONS, Equivariance, dominant_level, find_equivariance, normalize

EVERY: tuple[Equivariance, ...] = ("affine", "scale", "none")
FOLLOWING: tuple[Equivariance, ...] = ("affine", "scale")
# Any number that float32 could hold, as people write it or not.
NUMBERS = st.floats(-3.4e38, 3.4e38, allow_subnormal=False)
SERIES = st.lists(NUMBERS, min_size=1, max_size=20)
MOVEMENTS = st.lists(st.integers(-1000, 1000), min_size=3, max_size=20).filter(lambda values: len(set(values)) > 1)


def row(values: list[float]) -> np.ndarray:
    return np.array([values], np.float64)


def whole(series: np.ndarray) -> np.ndarray:
    return np.full(len(series), series.shape[1])


@given(SERIES)
def test_a_model_that_repeats_the_last_value_gives_it_back_as_it_was_written(values: list[float]) -> None:
    normalized, reference = normalize(row(values), np.array([len(values)]), "affine")
    assert reference is not None
    assert np.isfinite(normalized).all()
    repeated = np.repeat(normalized[:, -1:], 3, axis=1)
    assert reference.restore(repeated).tolist() == [[values[-1]] * 3]
    _, beside = normalize(row([*values, *values]).reshape(2, -1), np.full(2, len(values)), "affine")
    assert beside is not None
    assert beside.restore(np.repeat(repeated, 2, axis=0)).tolist() == [[values[-1]] * 3] * 2


@pytest.mark.parametrize("last", [126.5, 0.1, 0.3, 123456818.5, 1e-9, 12345.678901, 3e11 + 0.25, -7.7, 1e38, 1e-37])
def test_short_decimals_come_back_exactly(last: float) -> None:
    normalized, reference = normalize(row([0.7 * last, 1.1 * last, last]), np.array([3]), "affine")
    assert reference is not None
    assert reference.restore(normalized[:, -1:]).item() == last


@pytest.mark.parametrize("equivariance", FOLLOWING)
@example(values=[0.0, 3.0374227460169365e-259])
@given(values=SERIES)
def test_what_is_put_back_is_what_was_taken_off(equivariance: Equivariance, values: list[float]) -> None:
    series = row(values)
    normalized, reference = normalize(series, whole(series), equivariance)
    assert reference is not None
    assert np.abs(normalized).max() <= 1.01 * len(values) ** 0.5
    error = np.abs(reference.restore(normalized) - series)
    unit = np.abs(series - (series[0, -1] if equivariance == "affine" else 0)).max() or 1.0
    assert error.max() <= 1.1e-6 * unit


@given(MOVEMENTS, st.integers(-(10**9), 10**9), st.integers(-30, 30))
def test_a_series_that_is_moved_and_scaled_is_read_as_the_same(values: list[int], level: int, exponent: int) -> None:
    series = row([float(value) for value in values])
    moved = (series + level) * 2.0**exponent
    assert np.array_equal(normalize(series, whole(series), "affine")[0], normalize(moved, whole(moved), "affine")[0])
    scaled = series * 2.0**exponent
    assert np.array_equal(normalize(series, whole(series), "scale")[0], normalize(scaled, whole(scaled), "scale")[0])


@given(MOVEMENTS, st.integers(-(10**9), 10**9), st.sampled_from((1e-9, 1e-3, 1e6, 1e12)))
def test_answers_follow_the_level_and_the_unit(values: list[int], level: int, factor: float) -> None:
    """Within a millionth of the movement, in decimal units as in binary ones."""
    answers = np.array([[0.25, -0.5, 1.5]], np.float32)

    def restore(series: np.ndarray) -> np.ndarray:
        _, reference = normalize(series, whole(series), "affine")
        assert reference is not None
        return reference.restore(answers)

    series = row([float(value) for value in values])
    movement = np.ptp(series)
    assert np.abs(restore(series + level) - level - restore(series)).max() <= 1e-6 * movement
    assert np.abs(restore(series * factor) / factor - restore(series)).max() <= 1e-6 * movement


@pytest.mark.parametrize("equivariance", EVERY)
@given(rows=st.lists(SERIES, min_size=1, max_size=6), padding=NUMBERS)
def test_a_series_is_read_and_answered_alone_as_in_any_batch(
    equivariance: Equivariance, rows: list[list[float]], padding: float
) -> None:
    lengths = np.array([len(one) for one in rows])
    batch = np.full((len(rows), lengths.max() + 2), padding)
    for target, one in zip(batch, rows, strict=True):
        target[: len(one)] = one
    answers = np.linspace(-2, 2, 3 * len(rows)).reshape(len(rows), 3).astype(np.float32)
    normalized, reference = normalize(batch, lengths, equivariance)
    restored = None if reference is None else reference.restore(answers)
    for i, one in enumerate(rows):
        alone, own = normalize(row(one), lengths[i : i + 1], equivariance)
        assert np.allclose(normalized[i, : len(one)], alone[0], rtol=1e-6, atol=1e-6)
        assert equivariance == "none" or not normalized[i, len(one) :].any()
        if own is not None and restored is not None:
            largest = max(np.abs(one).max(), np.abs(restored[i]).max())
            # One step of what answers are rounded to.
            assert np.allclose(restored[i], own.restore(answers[i : i + 1])[0], rtol=0, atol=1.1e-6 * largest)


@pytest.mark.parametrize("equivariance", FOLLOWING)
@pytest.mark.parametrize(
    "values",
    [[0.0] * 5, [5.0] * 5, [3e38] * 5, [-1e-37] * 5, [7.25], [0.0], [1e15 + 0.5 * i for i in range(9)]],
    ids=["zeros", "constant", "constant and huge", "constant and tiny", "one point", "one zero", "a high level"],
)
def test_series_without_a_movement_of_their_own_are_finite_and_come_back(
    equivariance: Equivariance, values: list[float]
) -> None:
    series = row(values)
    normalized, reference = normalize(series, whole(series), equivariance)
    assert reference is not None
    assert np.isfinite(normalized).all()
    assert np.allclose(reference.restore(normalized), series, rtol=1e-15, atol=1e-6 * np.ptp(series))


def test_nothing_of_a_counter_is_lost_before_its_steps_are_read() -> None:
    counter = row([3e11 + step for step in range(10)])
    for equivariance in FOLLOWING:
        normalized, _ = normalize(counter, whole(counter), equivariance)
        steps = np.diff(normalized[0].astype(np.float64))
        assert np.allclose(steps, steps[0], rtol=1e-4)
        assert steps[0] > 1e-3


@given(st.floats(-90, 90), st.integers(3, 50))
def test_no_level_is_taken_off_series_that_move_by_a_hundredth_of_it(level: float, length: int) -> None:
    noise = np.random.default_rng(length).standard_normal((1, length))
    series = noise / noise.std() + level
    assert dominant_level(series).item() == pytest.approx(0, abs=1e-9) or abs(series.mean()) > MOST_DEVIATIONS


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"readout": "repeat"}, "affine"),
        ({"readout": "base"}, "scale"),
        ({"readout": "dense"}, "none"),
        ({"readout": "dense", "scaling": "standard"}, "affine"),
        ({"readout": "dense", "scaling": "robust"}, "affine"),
        ({"readout": "dense", "scaling": "mean"}, "scale"),
        ({"readout": "dense", "scaling": "standard", "log": True}, "scale"),
        ({"members": [{"scaling": "standard"}, {"scaling": "mean"}]}, "scale"),
        ({"members": [{"scaling": "standard"}, {"scaling": "none"}]}, "none"),
    ],
)
def test_no_more_is_taken_off_than_a_forecast_follows(fields: dict[str, Any], expected: str) -> None:
    assert find_equivariance(fields) == expected
