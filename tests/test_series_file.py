from typing import Any

import pytest

from service.errors import InvalidRequest
from service.series_file import read_series_file


@pytest.mark.parametrize(
    ("content", "series"),
    [
        ("1\n2.5\n\n-3\n", [1.0, 2.5, None, -3.0]),
        ("value\n1\n2\n", [1.0, 2.0]),
        ("y\n1\nnull\n3\n", [{"id": "0", "values": [1.0, None, 3.0]}]),
        ("unique_id,ds,y\na,2024-01-01,1\nb,2024-01-01,5\na,2024-01-02,\n",
         [{"id": "a", "values": [1.0, None]}, {"id": "b", "values": [5.0]}]),
        ("unique_id;y\nn;1.5\n", [{"id": "n", "values": [1.5]}]),
        ("[1, 2, null]", [1, 2, None]),
        ('{"a": [1], "b": [2]}', {"a": [1], "b": [2]}),
        ('{"series": [[1], [2]], "horizon": 3}', [[1], [2]]),
    ],
)  # fmt: skip
def test_files_of_users_become_series(content: str, series: Any) -> None:
    assert read_series_file(content) == series


def test_the_first_time_of_each_series_is_told_where_it_is_wanted() -> None:
    records = read_series_file("unique_id,ds,y\na,2024-01-05,1\na,2024-01-06,2\nb,,3\n", with_start=True)
    assert records == [{"id": "a", "values": [1.0, 2.0], "start": "2024-01-05"}, {"id": "b", "values": [3.0]}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1"),
        ("y\n1\nx\n", "line 3: expected a number, got 'x'"),
        ("a,b\n1,2\n", "expected the columns"),
        ("[1, 2", "line 1: this is no JSON"),
    ],
)
def test_a_file_that_is_no_series_is_refused_by_its_line(content: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_series_file(content)
