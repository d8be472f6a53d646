"""Series that are taken out of a large body must be what the whole body says."""

import json
import math
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api import json_numbers, json_series
from service.api.json_numbers import BodyLimits, parse_large
from service.api.json_series import find_series, stands_here
from service.api.strict_json import parse_json
from service.errors import InvalidRequest, MalformedJson

NUMBERS = st.one_of(
    st.none(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False, width=32)
)


@given(
    st.lists(st.lists(NUMBERS, max_size=20), min_size=1, max_size=30),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([(", ", ": "), (",", ":"), (" ,\n ", " : ")]),
    st.integers(1, 200),
)
def test_taken_out_or_read_whole_the_series_are_the_same(
    series: list[list[float | None]], indent: int | None, separators: tuple[str, str], piece: int
) -> None:
    text = json.dumps({"model": "m", "series": series, "level": [80]}, indent=indent, separators=separators).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_series, "PIECE_BYTES", piece)
        found = find_series(text)
        assert found is not None
        rest, parts = found
        taken = [one for part in parts for one in part]
    value = orjson.loads(rest)
    assert stands_here(value.pop("series"))
    assert value == {"model": "m", "level": [80]}
    assert [[None if math.isnan(x) else x for x in one.values] for one in taken] == series
    assert [(one.id, one.pointer) for one in taken] == [(str(i), f"/series/{i}") for i in range(len(series))]


@pytest.mark.parametrize(
    "text",
    [
        b'{"series": [1, 2, 3]}',
        b'{"series": {"a": [1]}}',
        b'{"series": [{"id": "a", "values": [1]}]}',
        b'{"series": [[1, "2"]]}',
        b'{"series": [[1, true]]}',
        b'{"series": [[1], null]}',
        b'{"series": [[1], [2],]}',
        b'{"series": [[1, NaN]]}',
        b'{"series": [[1], [2]',
        b'{"series": [[1], [2',
        b'{"model": "m"}',
    ],
)
@pytest.mark.parametrize("piece", [1, 1000])
def test_what_is_not_lists_of_numbers_is_left_to_the_whole_body(
    text: bytes, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_series, "PIECE_BYTES", piece)
    assert find_series(text) is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'{"series": [[1], 2, [3]]}', InvalidRequest),
        (b'{"series": [[1], [[2]]]}', InvalidRequest),
        (b'{"series": [[1], [1e999]]}', MalformedJson),
        (b'{"series": [[1] [2]]}', MalformedJson),
        (b'{"series": [[1],, [2]]}', MalformedJson),
        (b'{"series": [[1], [2-]]}', MalformedJson),
        (b'{"series": [[1], [nul]]}', MalformedJson),
    ],
)
@pytest.mark.parametrize("piece", [1, 1000])
def test_what_is_found_wrong_while_reading_is_refused_as_the_whole_body_would_be(
    text: bytes, error: type[Exception], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_series, "PIECE_BYTES", piece)
    found = find_series(text)
    assert found is not None
    with pytest.raises(error):
        list(found[1])


def test_large_bodies_get_the_answers_and_the_errors_of_small_ones(http: httpx.Client) -> None:
    rng = np.random.default_rng(0)
    series = [rng.normal(size=rng.integers(1, 60)).round(6).tolist() for _ in range(1000)]
    series[3][0] = None
    series[5] = []
    whole = http.post("/forecast", json={"model": "lstm", "series": series}).json()["forecasts"]
    parts = [
        one
        for first in range(0, 1000, 100)
        for one in http.post("/forecast", json={"model": "lstm", "series": series[first : first + 100]}).json()[
            "forecasts"
        ]
    ]
    assert len(whole) == len(parts)
    for one, other in zip(whole, parts, strict=True):
        # Sums over padded rows are rounded otherwise.
        assert one.get("values") == pytest.approx(other.get("values"), abs=1e-5)
    assert whole[5]["error"]["code"] == "empty"
    assert whole[5]["error"]["pointer"] == "/series/5"
    for wrong in ("1", True, [1]):
        series[999] = [1.0, wrong]
        problem = http.post("/forecast", json={"model": "lstm", "series": series})
        assert problem.status_code == 422
        assert problem.json()["errors"][0]["pointer"] == "/series/999/1"
    nested = {"model": "lstm", "series": {"series": series[:900]}}
    assert http.post("/forecast", json=nested).status_code == 422
    twice = json.dumps({"model": "lstm", "series": series[:900]})[:-1] + ', "series": [[1]]}'
    problem = http.post("/forecast", content=twice, headers={"content-type": "application/json"})
    assert problem.json()["errors"][0]["code"] == "malformed_json"


LIMITS = BodyLimits(values=100_000, series=1000)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS, st.lists(NUMBERS, max_size=40)),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(TEXTS, inner, max_size=5)),
    max_leaves=20,
)


def without_arrays(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [None if math.isnan(x) else x for x in value.tolist()]
    if isinstance(value, list):
        return [without_arrays(one) for one in value]
    return {name: without_arrays(one) for name, one in value.items()} if isinstance(value, dict) else value


@given(
    JSON_VALUES,
    st.sampled_from([None, 0, 1]),
    st.sampled_from([(", ", ": "), (",", ":"), (" ,\n ", " : ")]),
    st.booleans(),
    st.integers(1, 200),
)
def test_a_text_with_its_numbers_taken_out_says_what_the_whole_says(
    value: Any, indent: int | None, separators: tuple[str, str], is_ascii: bool, piece: int
) -> None:
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=is_ascii).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_numbers, "PIECE_BYTES", piece)
        patch.setattr(json_numbers, "LOOK_BYTES", piece)
        assert without_arrays(parse_large(bytearray(text), LIMITS)) == json.loads(text)


@given(JSON_VALUES, st.data())
def test_a_damaged_text_is_refused_or_says_what_a_strict_reader_says(value: Any, data: st.DataObject) -> None:
    text = bytearray(json.dumps(value).encode())
    place = data.draw(st.integers(0, max(0, len(text) - 1)))
    text[place : place + data.draw(st.integers(0, 2))] = data.draw(
        st.sampled_from([b"", b",", b"[", b"]", b'"', b"NaN", b"1e999", b":", b"-", b"\\"])
    )
    try:
        read = without_arrays(parse_large(text, LIMITS))
    except MalformedJson:
        with pytest.raises(MalformedJson):
            parse_json(text)
    else:
        assert read == parse_json(text)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (b'{"series": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],\n "horizon": oops}', 2, 13),
        (b'{"series":\n[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,, 12]}', 2, 36),
        (b'{"series": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],\n "horizon": NaN}', 2, 13),
        (b'{"series": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],\n "model": "no end', 2, 11),
    ],
)
def test_what_is_no_json_is_found_where_it_stands(text: bytes, line: int, column: int) -> None:
    with pytest.raises(MalformedJson, match=f"at line {line}, column {column}:"):
        parse_large(text, LIMITS)


@pytest.mark.parametrize("read", [parse_json, lambda text: parse_large(text, LIMITS)])
def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_a_character(read: Callable[[bytes], Any]) -> None:
    assert read(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    with pytest.raises(MalformedJson, match="line 1, column"):
        read(b'{"a": "\\ud83d", "b": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}')


@pytest.mark.parametrize("read", [parse_json, lambda text: parse_large(text, LIMITS)])
@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": ":", "b": {"c": "::", "c": 1}}',
        '[{"a\\u0061": 1, "aa": 2}]',
        '{"a:": 1, "a:": 1}',
    ],
)
def test_a_member_twice_is_refused_by_its_name(read: Callable[[bytes], Any], text: str) -> None:
    with pytest.raises(MalformedJson, match="two members with the same name"):
        read(text.encode())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"series": [' + b"0," * 100_001 + b"0]}", "too_many_points"),
        (b'{"series": [' + b"[1]," * 3000 + b"[1]]}", "too_many_series"),
        (b"[" * 5000, "too_many_series"),
        (b'{"series": [' + b'{"id": 1},' * 3000 + b"1]}", "too_many_series"),
        (b'{"model": "' + b":" * 20_000 + b'"}', "out_of_bounds"),
        (b'{"model": "' + b'\\"' * 20_000 + b'"}', "out_of_bounds"),
        (b'{"model": "' + b"a" * 9_999 + b'\\n"}', "out_of_bounds"),
        (b'{"series": [' + b'"a",' * 30_000 + b"1]}", "too_many_series"),
        (json.dumps({f"a{i}": 1 for i in range(2020)}).encode(), "out_of_bounds"),
        (json.dumps({f"a{i}": 1 for i in range(2020)}, separators=(",", "\n:\t")).encode(), "out_of_bounds"),
        (b'{"series": [' + b"1" * 2_000_000 + b"]}", "out_of_bounds"),
        (b'{"series": [1, ' + b" " * 2_000_000 + b"2]}", "out_of_bounds"),
        (b'{"series": [[1], [' + b" " * 2_000_000, "out_of_bounds"),
    ],
)
def test_a_text_beyond_the_limits_is_refused(text: bytes, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_large(text, LIMITS)
    assert [flaw.code for flaw in refused.value.flaws] == [code]


@pytest.mark.parametrize("name", ["a", "a:b", 'a": ', '":":":', "{", "\\"])
@pytest.mark.parametrize("form", ["by id", "records"])
def test_as_many_series_as_may_be_are_read_whatever_their_ids_hold(name: str, form: str) -> None:
    values = [1.0] * 20
    ids = [f"{name}{i}" for i in range(1000)]
    posted: Any = [{"id": one, "values": values, "start": "2026-01-05T00:00:00+01:00"} for one in ids]
    if form == "by id":
        posted = dict.fromkeys(ids, values)
    body = {"model": "lstm", "series": posted}
    assert without_arrays(parse_large(json.dumps(body).encode(), LIMITS)) == body


@pytest.mark.parametrize("escape", [b"", b"\\n", b'\\"' * 50, b'\\"' * 150, b"\\\\"])
@pytest.mark.parametrize("n_letters", [0, 1, 999, 1000, 1001, 9000])
def test_a_string_ends_where_it_ends_whatever_it_holds(escape: bytes, n_letters: int) -> None:
    string = b'"' + (escape + b"[1]" + b"a" * n_letters + escape) + b'"'
    text = b'{"a": ' + string + b', "b": [' + b"1, " * 20 + string + b', 2], "c": [' + b"3, " * 20 + b"4]}"
    assert without_arrays(parse_large(text, LIMITS)) == json.loads(text)


@pytest.mark.parametrize(
    "repeated",
    [b'{"a": 1}', b'"a"', b'"\\n"', b'{"a": {"b": "c"}}', b'{"id": "a", "values": null}', b'"' + b'\\"' * 50 + b'"'],
)
def test_what_is_too_much_is_refused_without_a_look_at_each(repeated: bytes) -> None:
    text = b'{"series": [' + (repeated + b", ") * 50_000 + b"1]}"
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        with pytest.raises(InvalidRequest):
            parse_large(text, LIMITS)
    finally:
        sys.setprofile(None)
    assert calls < len(text) / 100


def test_lists_beyond_the_limits_are_refused_before_the_first_is_read() -> None:
    text = b'{"series": [{"values": [' + (b"0.125, " * 999 + b"1]}, {" + b'"values": [') * 101 + b"1]}]}"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="100000 values"):
            parse_large(text, LIMITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The numbers alone would take 800 kB.
    assert peak < 100_000


def test_series_beyond_the_limits_are_refused_before_they_are_read() -> None:
    with pytest.raises(InvalidRequest):
        find_series(b'{"series": [' + b"[1]," * 3000 + b"[1]]}", LIMITS)
    with pytest.raises(InvalidRequest):
        find_series(b'{"series": [' + (b"[" + b"1," * 999 + b"1],") * 200 + b"[1]]}", LIMITS)


@pytest.mark.parametrize("form", ["one", "many", "by id", "records"])
def test_every_form_of_a_large_body_is_forecast_as_a_small_one_is(http: httpx.Client, form: str) -> None:
    rows: list[list[float | None]] = [[float(i + j) / 7 for j in range(40 + i % 7)] for i in range(400)]
    rows[3][5] = None
    posted: Any = {
        "one": rows[3] * 400,
        "many": rows,
        "by id": {f"s:{i}": row for i, row in enumerate(rows)},
        "records": [{"id": f"s{i}", "values": row} for i, row in enumerate(rows)],
    }[form]
    text = json.dumps({"model": "lstm", "series": posted}).encode()
    assert len(text) > 2**17 or form == "one"
    large = http.post("/forecast", content=text, headers={"Content-Type": "application/json"})
    assert large.status_code == 200, large.text
    alone = http.post("/forecast", json={"model": "lstm", "series": rows[3] * 400 if form == "one" else rows[3]})
    place = 0 if form == "one" else 3
    # In a batch of others the engine may add up in another order.
    expected = pytest.approx(alone.json()["forecasts"][0]["values"], rel=1e-6)
    assert large.json()["forecasts"][place]["values"] == expected
