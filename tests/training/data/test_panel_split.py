import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.domain.panel import Panel
from service.training.data.panel_split import fill_parts, read_panel

NAN = np.nan


@given(st.lists(st.one_of(st.none(), st.floats(-100, 100)), min_size=2, max_size=40), st.data())
def test_what_is_before_a_cut_is_filled_without_a_look_behind_it(
    posted: list[float | None], data: st.DataObject
) -> None:
    values = np.array([1.0, *(NAN if value is None else value for value in posted)])
    first = data.draw(st.integers(1, len(values) - 1))
    second = data.draw(st.integers(first, len(values) - 1))
    filled = fill_parts(values, (first, second), "interpolate")
    assert not np.isnan(filled).any()
    known = ~np.isnan(values)
    assert np.array_equal(filled[known], values[known])
    for cut in (first, second):
        changed = values.copy()
        changed[cut:] = np.where(known[cut:], 1e6, NAN)
        assert np.array_equal(fill_parts(changed, (first, second), "interpolate")[:cut], filled[:cut])


def test_nulls_at_either_end_are_trimmed_and_series_without_numbers_left_out() -> None:
    series = (np.array([NAN, NAN, 3.0, NAN, 4.0, NAN]), np.full(5, NAN), np.array([1e300]))
    panel = Panel(("a", "b", "c"), series, (None, None, None), None)
    (one,) = read_panel(panel)
    assert np.array_equal(one, np.array([3.0, NAN, 4.0]), equal_nan=True)
