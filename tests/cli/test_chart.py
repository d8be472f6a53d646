"""Charts as text: every number in its place, whatever the series, the width and the height."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.cli.chart import ASCII, UNICODE, Band, Glyphs, Picture, choose_ticks, connect, draw

Array = NDArray[np.float64]
VALUES = st.floats(-1e12, 1e12, allow_subnormal=False)


def make_picture(history: list[float], forecast: list[float], width: float | None = None) -> Picture:
    values = np.array(forecast, np.float64)
    bands = [] if width is None else [Band("80 %", values - width, values + width)]
    labels = [f"t{i}" for i in range(len(history) + len(forecast))]
    return Picture("sales", np.array(history, np.float64), values, bands, labels)


def rows_of(picture: Picture, width: int = 40, height: int = 10, glyphs: Glyphs = ASCII) -> list[str]:
    return draw(picture, width, height, glyphs).plain.split("\n")


def test_a_rising_series_rises_and_its_forecast_goes_on_to_the_right_within_its_band() -> None:
    title, *frame, floor, labels, legend = rows_of(make_picture([0, 1, 2, 3], [4, 5], width=1.0), 24, 7)
    assert title == "sales"
    assert frame == [
        "  |               |  ...",
        "5 +               |...oo",
        "  |               |ooo..",
        "  |           **  |..   ",
        "  |      *****    |     ",
        "  |   ***         |     ",
        "0 +***            |     ",
    ]
    assert floor == "  +----------------+----"
    assert labels == "   t0              t4 t5"
    assert legend == "   * history   o forecast   . 80 %"


def test_missing_values_are_gaps_and_not_zeros() -> None:
    frame = rows_of(make_picture([5, 5, np.nan, np.nan, np.nan, 5, 5], [5]), 40, 5)[1:-3]
    assert sum("*" in row for row in frame) == 1
    (line,) = (row for row in frame if "*" in row)
    assert "*    " in line.rstrip(" |o")


def test_a_constant_series_is_a_level_line() -> None:
    for level in (0.0, 7.0, -3e11):
        frame = rows_of(make_picture([level] * 5, [level] * 5))[1:-3]
        assert sum("*" in row or "o" in row for row in frame) == 1


def test_a_large_counter_is_not_drawn_as_if_it_stood_still() -> None:
    frame = rows_of(make_picture([3e11 + i for i in range(8)], [3e11 + 8]))
    assert sum("*" in row for row in frame) > 4
    assert any(row.startswith("300,000,000,005 +") for row in frame)


def test_the_forecasts_first_point_is_marked_below_the_frame() -> None:
    rows = rows_of(make_picture([1, 2] * 40, [3] * 8), 40, 6)
    frame, floor = rows[1:-3], rows[-3]
    start = floor.index("+", floor.index("-"))
    assert not any("o" in row[:start] for row in frame)
    assert any(row[start] == "o" for row in frame)


@pytest.mark.parametrize(
    ("n", "horizon", "labels"),
    [(60, 14, "t0 t60 t73"), (60, 2, "t0 t60"), (2, 60, "t2 t61"), (0, 9, "t0 t8"), (9, 1, "t0 t9"), (0, 1, "t0")],
)
def test_the_forecasts_first_point_is_labelled_before_all_others(n: int, horizon: int, labels: str) -> None:
    picture = make_picture([1.0] * n, [2.0] * horizon)
    assert rows_of(picture)[-2].split() == labels.split()


def test_dots_of_braille_show_more_points_than_there_are_columns() -> None:
    rows = rows_of(make_picture([0, 1] * 30, [0.5] * 4, width=0.4), 40, 8, UNICODE)
    assert any("\u2801" <= letter <= "\u28ff" for row in rows for letter in row)
    assert any("░" in row for row in rows)
    assert not any(
        ord(letter) > 127 for row in rows_of(make_picture([0, 1] * 30, [0.5] * 4, width=0.4)) for letter in row
    )


@given(
    st.lists(VALUES | st.just(np.nan), max_size=30),
    st.lists(VALUES, min_size=1, max_size=12),
    st.integers(10, 120),
    st.integers(1, 30),
    st.sampled_from([ASCII, UNICODE]),
)
def test_any_series_is_drawn_within_its_frame(
    history: list[float], forecast: list[float], width: int, height: int, glyphs: Glyphs
) -> None:
    picture = make_picture(history, forecast, width=1.0)
    _, *frame, floor, labels, _ = rows_of(picture, width, height, glyphs)
    assert {len(row) for row in frame} == {len(floor)}
    assert len(labels) <= len(floor)
    assert len(frame) == max(height, 5)
    places = ["".join(row) for row in frame]
    assert any(glyphs.forecast in row for row in places) if glyphs.forecast else True
    assert any(row.split(glyphs.tick)[0].strip() for row in frame)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=12))
def test_a_line_has_no_holes(points: list[tuple[int, int]]) -> None:
    ordered = sorted(points)
    x, y = (np.array(axis, np.intp) for axis in zip(*ordered, strict=True))
    along, across = connect(x, y, np.ones(len(x) - 1, np.bool_))
    seen = set(zip(along.tolist(), across.tolist(), strict=True))
    assert set(ordered) <= seen
    for (x0, y0), (x1, y1) in pairwise(ordered):
        inside = sorted((a, b) for a, b in seen if x0 <= a <= x1 and min(y0, y1) <= b <= max(y0, y1))
        columns = {a for a, _ in inside}
        assert columns == set(range(x0, x1 + 1))
        assert x0 != x1 or {b for a, b in inside if a == x0} >= set(range(min(y0, y1), max(y0, y1) + 1))


def test_points_beside_a_gap_are_not_joined() -> None:
    along, across = connect(np.array([0, 10]), np.array([0, 5]), np.array([False]))
    assert sorted(zip(along.tolist(), across.tolist(), strict=True)) == [(0, 0), (10, 5)]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e9), st.integers(2, 8))
def test_ticks_are_round_numbers_within_the_range(low: float, size: float, most: int) -> None:
    high = low + size
    ticks = choose_ticks(low, high, most)
    assert 1 <= len(ticks) <= most + 2
    slack = 1e-6 * (high - low) + 1e-12 * abs(low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    if len(ticks) > 2:
        assert np.allclose(np.diff(ticks), ticks[1] - ticks[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 1000], "1,000"),
        ([0, 0.001], "0.00025"),
        ([0, 3e-9], "3e-09"),
        ([-2e16, 0], "-2e+16"),
        ([2e16, 2e16 + 4000], "2.0000000000002e+16"),
        ([0, 10], "2.5"),
        ([-1, 1], "-1.0"),
    ],
)
def test_ticks_are_written_so_that_they_differ(values: list[float], shown: str) -> None:
    rows = rows_of(make_picture([], values), 60, 14)[1:-3]
    marked = [
        row.rsplit(" ┤", 1)[0].strip() for row in rows_of(make_picture([], values), 60, 14, UNICODE) if " ┤" in row
    ]
    assert len(rows) == 14
    assert len(set(marked)) == len(marked)
    assert shown in marked
