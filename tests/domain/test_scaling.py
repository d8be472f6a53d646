import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.domain.scaling import measure

windows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 30)),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


@given(windows)
def test_inverse_undoes_transform(values: np.ndarray) -> None:
    statistics = measure(values, "standard")
    back = statistics.inverse(statistics.transform(values))
    unit = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-25)
    assert np.all(np.abs(back - values) <= 1e-5 * unit)


@given(windows)
def test_scaled_windows_are_finite_and_of_unit_size(values: np.ndarray) -> None:
    scaled = measure(values, "standard").transform(values)
    assert np.all(np.isfinite(scaled))
    assert np.all(scaled.std(axis=1) <= 1.01)


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(2, 30)), elements=st.integers(-1000, 1000)),
    st.floats(1e-6, 1e6),
    st.floats(-100.0, 100.0),
)
def test_level_and_magnitude_do_not_change_what_a_model_sees(values: np.ndarray, factor: float, level: float) -> None:
    moved = (values + level) * factor
    one, other = measure(values.astype(float), "standard"), measure(moved, "standard")
    assert np.allclose(one.transform(values.astype(float)), other.transform(moved), atol=1e-3)


def test_constant_windows_scale_to_zeros_and_come_back() -> None:
    values = np.array([[5.0] * 4, [0.0] * 4, [-1e30] * 4], dtype=np.float32)
    statistics = measure(values, "standard")
    assert np.array_equal(statistics.transform(values), np.zeros((3, 4), np.float32))
    assert np.allclose(statistics.inverse(np.zeros((3, 2))), values[:, :2])


def test_none_changes_nothing() -> None:
    values = np.array([[1.5, -2.0, 3e20]], dtype=np.float32)
    assert np.array_equal(measure(values, "none").transform(values), values)
