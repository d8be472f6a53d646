"""Posted series: their forms, strict types, missing values."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.series import FLOAT32_MAX, Missing, PostedSeries, ReadSeries, read_all, read_numbers, split
from service.errors import Flaw, InvalidRequest

# Without those that float32 can't tell from zero: a series of them alone is out of range.
NUMBERS = st.one_of(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-30), st.integers(-(10**6), 10**6))
GAPPY = st.lists(st.one_of(st.none(), NUMBERS), min_size=1, max_size=40)


def read(values: list[Any], missing: Missing = "interpolate") -> ReadSeries | Flaw:
    return read_all([PostedSeries("0", "/series", values)], missing)[0]


def array(values: list[Any], missing: Missing = "interpolate") -> list[float]:
    result = read(values, missing)
    assert not isinstance(result, Flaw), result
    return [float(value) for value in result.values]


def flaws(posted: Any, missing: Missing = "interpolate") -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        read_all(split(posted), missing)
    return [(flaw.pointer, flaw.code) for flaw in caught.value.flaws]


@pytest.mark.parametrize(
    ("posted", "ids", "pointers"),
    [
        ([1, 2.5], ["0"], ["/series"]),
        ([None, 1], ["0"], ["/series"]),
        ([None, None], ["0"], ["/series"]),
        ([[1], [2, 3]], ["0", "1"], ["/series/0", "/series/1"]),
        ([[]], ["0"], ["/series/0"]),
        ({"a/b": [1], "~": [2]}, ["a/b", "~"], ["/series/a~1b", "/series/~0"]),
        ([{"id": "x", "values": [1]}], ["x"], ["/series/0/values"]),
    ],
)
def test_every_form_of_series_is_told_apart(posted: Any, ids: list[str], pointers: list[str]) -> None:
    series = split(posted)
    assert [one.id for one in series] == ids
    assert [one.pointer for one in series] == pointers


@pytest.mark.parametrize(
    ("posted", "expected"),
    [
        ([], [("/series", "empty")]),
        ({}, [("/series", "empty")]),
        (None, [("/series", "wrong_type")]),
        (5, [("/series", "wrong_type")]),
        ("1,2", [("/series", "wrong_type")]),
        (True, [("/series", "wrong_type")]),
        ([1, "2"], [("/series/1", "wrong_type")]),
        ([1, True], [("/series/1", "wrong_type")]),
        ([1, [2]], [("/series/1", "wrong_type")]),
        ([[1, 2], [3, {}]], [("/series/1/1", "wrong_type")]),
        ([[1, False], [3], ["x"]], [("/series/0/1", "wrong_type"), ("/series/2/0", "wrong_type")]),
        ([[1], 2], [("/series/1", "wrong_type")]),
        ([[1], None], [("/series/1", "wrong_type")]),
        ({"a": 1}, [("/series/a", "wrong_type")]),
        ({"a": [1, "b"]}, [("/series/a/1", "wrong_type")]),
        ([{"id": "a", "values": [1]}, [1]], [("/series/1", "wrong_type")]),
        ([{"id": "a"}], [("/series/0/values", "missing_field")]),
        ([{"values": [1]}], [("/series/0/id", "missing_field")]),
        ([{"id": 7, "values": [1]}], [("/series/0/id", "wrong_type")]),
        ([{"id": "a", "values": [1], "start": 7}], [("/series/0/start", "wrong_type")]),
        ([{"id": "a", "value": [1]}], [("/series/0/value", "unknown_field")]),
        ([{"id": "a", "values": [1]}, {"id": "a", "values": [1]}], [("/series/1/id", "duplicate_id")]),
        ([{"id": "a", "values": [1, None, "x"]}], [("/series/0/values/2", "wrong_type")]),
    ],
)
def test_wrong_shapes_and_types_are_pointed_at(posted: Any, expected: list[tuple[str, str]]) -> None:
    assert flaws(posted) == expected


def test_an_unknown_field_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'values'"):
        split([{"id": "a", "value": [1]}])


@pytest.mark.parametrize(
    ("values", "missing", "expected"),
    [
        ([None, 1, None, 3, None], "interpolate", [1, 2, 3]),
        ([1, None, None, 4], "interpolate", [1, 2, 3, 4]),
        ([None, 1, None, 3, None], "ffill", [1, 1, 3]),
        ([None, None, 5], "ffill", [5]),
        ([1, 2], "error", [1, 2]),
    ],
)
def test_gaps_are_filled_as_asked(values: list[Any], missing: Missing, expected: list[float]) -> None:
    assert array(values, missing) == expected


@pytest.mark.parametrize(
    ("values", "missing", "pointer", "code"),
    [
        ([], "interpolate", "/series", "empty"),
        ([None, None], "ffill", "/series", "all_null"),
        ([None, None], "error", "/series", "all_null"),
        ([1, None, 3], "error", "/series/1", "missing_value"),
        ([1, 1e39], "interpolate", "/series/1", "out_of_range"),
        ([1, None, -1e308, 1e308], "interpolate", "/series/2", "out_of_range"),
        ([1e-300, 0], "interpolate", "/series", "out_of_range"),
    ],
)
def test_what_can_not_be_forecast_is_said_of_the_series(
    values: list[Any], missing: Missing, pointer: str, code: str
) -> None:
    result = read(values, missing)
    assert isinstance(result, Flaw)
    assert (result.pointer, result.code) == (pointer, code)


@given(GAPPY, st.sampled_from(["interpolate", "ffill"]))
def test_filling_keeps_what_is_known_and_leaves_no_gap(values: list[Any], missing: Missing) -> None:
    result = read(values, missing)
    known = [value for value in values if value is not None]
    if not known:
        assert isinstance(result, Flaw)
        return
    first = next(i for i, value in enumerate(values) if value is not None)
    end = len(values) - next(i for i, value in enumerate(reversed(values)) if value is not None)
    filled = array(values, missing)
    assert len(filled) == end - first
    for value, number in zip(values[first:end], filled, strict=True):
        assert value is None or number == value
        assert min(known) <= number <= max(known)
    assert not isinstance(result, Flaw)
    assert result.end == end


@given(st.lists(st.lists(NUMBERS, min_size=1, max_size=20), min_size=1, max_size=8))
def test_json_numbers_come_out_as_they_were_written(rows: list[list[float]]) -> None:
    posted = orjson.loads(json.dumps(rows))
    for row, result in zip(rows, read_all(split(posted), "interpolate"), strict=True):
        assert not isinstance(result, Flaw)
        assert result.values.tolist() == row


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_passes_is_finite_as_float32(value: float) -> None:
    result = read([1.0, value])
    if isinstance(result, Flaw):
        assert abs(value) > FLOAT32_MAX
    else:
        assert np.isfinite(result.values.astype(np.float32)).all()


def test_numbers_are_read_with_nan_for_null_whatever_else_is_wrong() -> None:
    pieces = read_numbers(split([[1, None, 2.5], [], [None]]))
    assert [list(np.nan_to_num(piece, nan=-1)) for piece in pieces] == [[1, -1, 2.5], [], [-1]]
    with pytest.raises(InvalidRequest) as caught:
        read_numbers(split([[1, "2"]]))
    assert caught.value.flaws[0].code == "wrong_type"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *((text, "Send null") for text in ("NA", "null", "NaN", "", " ", "n/a", "None", "-", "missing")),
        *((text, "without quotes") for text in ("12", "1,5", "-1.5e3", "1.234,5", "1 234", "50%")),
    ],
)
def test_text_among_numbers_is_told_what_to_send_in_its_place(value: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_numbers(split({"a": [1.0, value, 2.0]}))
    [flaw] = caught.value.flaws
    assert (flaw.pointer, flaw.code) == ("/series/a/1", "wrong_type")
    assert words in flaw.message


def test_other_text_among_numbers_is_shown_as_it_is() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_numbers(split([1.0, "twelve"]))
    assert caught.value.flaws[0].message == 'Expected a number or null, got a string ("twelve").'
