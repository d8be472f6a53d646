"""Many series are several requests, and one answer."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outfielder_client import Client, InvalidRequest, Partition
from outfielder_client.series import Series
from tests.api.server import running
from tests.client.conftest import PATIENT, Make
from tests.client.proxy import proxying
from tests.serving.models import Kind, add_version

SMALL = Partition(max_points=10, concurrency=3)
MANY = [[float(number)] * 4 for number in range(23)]
FORMS: dict[str, Any] = {
    "many": MANY,
    "by_id": {f"s{number}": values for number, values in enumerate(MANY)},
    "records": [{"id": f"s{number}", "values": values} for number, values in enumerate(MANY)],
}


@pytest.mark.parametrize("form", FORMS)
def test_the_answer_is_that_to_one_request(make: Make, url: str, form: str) -> None:
    with make(url, retry=PATIENT) as whole, make(url, retry=PATIENT, partition=SMALL) as cut:
        for arguments in ({"model": "lstm"}, {"model": "zero-shot", "level": [80]}):
            expected, answer = (client.forecast(FORMS[form], **arguments) for client in (whole, cut))
            assert {**answer, "timing_ms": 0} == {**expected, "timing_ms": 0}
    assert [each["id"] for each in answer["forecasts"]] == [
        str(number) if form == "many" else f"s{number}" for number in range(23)
    ]


def test_requests_are_as_large_as_they_may_be_and_no_larger(make: Make, url: str) -> None:
    with proxying(int(url.rpartition(":")[2])) as proxy, make(proxy.url, retry=PATIENT, partition=SMALL) as client:
        client.forecast(MANY, model="lstm", horizon=2)
        # Two series of four points each.
        assert proxy.passed["POST /forecast"] == 12
    answers = Partition(max_answer_values=25)
    with proxying(int(url.rpartition(":")[2])) as proxy, make(proxy.url, retry=PATIENT, partition=answers) as client:
        client.forecast(MANY, model="zero-shot", horizon=2, level=[80, 90])
        # Two series of two steps, with five numbers each.
        assert proxy.passed["POST /forecast"] == 12


def test_all_parts_are_of_one_model_version_and_horizon(make: Make, tmp_path: Path) -> None:
    """The default model changes between the first request and the others."""
    root = tmp_path / "store"
    add_version(root, "short", Kind(horizon=2, bias=100.0))
    add_version(root, "long", Kind(horizon=5))
    with (
        running(root, tmp_path / "state") as url,
        proxying(int(url.rpartition(":")[2])) as proxy,
        make(proxy.url, retry=PATIENT, partition=SMALL) as client,
        Client(url) as other,
    ):
        other.set_default("short")
        proxy.answered = lambda path: other.set_default("long") if path == "POST /forecast" else None
        answer = client.forecast(MANY)
    assert (answer["model"], answer["horizon"]) == ("short", 2)
    for number, forecast in enumerate(answer["forecasts"]):
        assert forecast["values"] == pytest.approx([number + 100.1, number + 100.2], rel=1e-5)


def test_a_part_of_bad_series_alone_does_not_fail_the_others(make: Make, url: str) -> None:
    given = [list(values) for values in MANY]
    bad = [0, 1, 2, 7, 22]
    for number in bad:
        given[number] = [1.0]
    with make(url, retry=PATIENT) as whole, make(url, retry=PATIENT, partition=SMALL) as cut:
        expected = whole.forecast(given, model="whole")["forecasts"]
        answer = cut.forecast(given, model="whole")["forecasts"]
    for number in range(23):
        assert ("error" in answer[number]) is (number in bad)
        if number in bad:
            assert answer[number]["error"] == expected[number]["error"]
        else:
            assert answer[number]["values"] == pytest.approx(expected[number]["values"], rel=1e-5)


def test_more_bad_series_than_an_answer_lists_are_all_told(url: str) -> None:
    given = [[1.0, 2.0, 3.0, 4.0]] + [[1.0]] * 150
    with Client(url, retry=PATIENT, partition=Partition(max_points=4)) as cut:
        cut._open(replace(cut._api.connection, partition=Partition(max_points=153)))
        answer = cut.forecast([*[[5.0]] * 150, [1.0] * 200], model="whole")["forecasts"]
    assert len(answer) == 151
    assert [each["error"]["code"] for each in answer[:150]] == ["too_short"] * 100 + ["not_told"] * 50
    with Client(url, retry=PATIENT) as client:
        assert len(client.forecast(given, model="whole")["forecasts"]) == 151


def test_where_all_series_are_bad_the_request_is(make: Make, url: str) -> None:
    with make(url, retry=PATIENT, partition=SMALL) as client:
        with pytest.raises(InvalidRequest) as caught:
            client.forecast([[1.0]] * 30, model="whole")
        assert caught.value.code == "too_short"
        with pytest.raises(InvalidRequest) as wrong:
            client.forecast([*MANY, ["x"]], model="lstm")
        assert wrong.value.code == "wrong_type"
        with pytest.raises(InvalidRequest) as far:
            client.forecast(MANY, model="lstm", horizon=1001)
        assert far.value.code == "horizon_out_of_bounds"


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    max_points=st.integers(1, 20),
    max_series=st.integers(1, 8),
    form=st.sampled_from(sorted(FORMS)),
)
def test_parts_are_the_series_in_order(sizes: list[int], max_points: int, max_series: int, form: str) -> None:
    values = [[float(place)] * size for place, size in enumerate(sizes)]
    given: dict[str, Any] = {
        "many": values,
        "by_id": {str(place): each for place, each in enumerate(values)},
        "records": [{"id": str(place), "values": each} for place, each in enumerate(values)],
    }
    series = Series.read(given[form])
    parts = series.split(max_points, max_series)
    assert [item for part in parts for item in part.items] == list(series.items)
    for part in parts:
        points = sum(part.count_points(index) for index in range(len(part.items)))
        assert 1 <= len(part.items) <= max_series
        assert points <= max_points or len(part.items) == 1
    # Greedy: no two neighbours would have fitted one request.
    for left, right in pairwise(parts):
        together = sum(part.count_points(index) for part in (left, right) for index in range(len(part.items)))
        first = sum(left.count_points(index) for index in range(len(left.items))) + right.count_points(0)
        assert first > max_points or len(left.items) == max_series or together > max_points
