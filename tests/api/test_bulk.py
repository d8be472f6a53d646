"""Series that are taken out of a large body must be what the whole body says."""

import json
import math

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api import bulk
from service.api.bulk import find_series, stands_here
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
        patch.setattr(bulk, "PIECE_BYTES", piece)
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
    monkeypatch.setattr(bulk, "PIECE_BYTES", piece)
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
    monkeypatch.setattr(bulk, "PIECE_BYTES", piece)
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
