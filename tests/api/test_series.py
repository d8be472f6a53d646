"""GET /datasets/{id}/series on a real server."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.schemas.datasets import SeriesPageAnswer
from service.datasets.store import DatasetStore
from service.domain.panel import Panel
from tests.api.server import assert_problem, client

LIMIT = 5000


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def http(stored_kinds: Path, state: Path) -> Iterator[httpx.Client]:
    with client(stored_kinds, state, max_answer_values=LIMIT) as http:
        yield http


@pytest.fixture(scope="module")
def uploads(http: httpx.Client, state: Path) -> DatasetStore:
    return DatasetStore(state / "datasets")


def post(http: httpx.Client, **body: Any) -> str:
    response = http.post("/datasets", json=body)
    assert response.status_code == 201, response.text
    name: str = response.json()["id"]
    return name


def read(http: httpx.Client, dataset: str, **params: Any) -> dict[str, Any]:
    response = http.get(f"/datasets/{dataset}/series", params=params)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    SeriesPageAnswer.model_validate(answer, strict=True)
    assert int(response.headers["content-length"]) == len(response.content)
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [one["id"] for one in answer["series"]]


def read_all(http: httpx.Client, dataset: str, **params: Any) -> list[list[str]]:
    """The ids of all pages."""
    pages = []
    while True:
        answer = read(http, dataset, **params)
        pages.append(ids(answer))
        if answer["next_cursor"] is None:
            return pages
        params["cursor"] = answer["next_cursor"]


def test_series_come_back_with_their_values_and_times(http: httpx.Client) -> None:
    rows = "north,2020-01-01,1\nnorth,2020-03-01,3\nsouth,2020-02-01,5\nsouth,2020-03-01,6.5\nsouth,2020-04-01,7\n"
    response = http.post("/datasets", content=f"unique_id,ds,y\n{rows}", headers={"Content-Type": "text/csv"})
    assert response.json()["freq"] == "MS", response.text
    assert read(http, response.json()["id"]) == {
        "series": [
            {
                "id": "north",
                "values": [1.0, None, 3.0],
                "freq": "MS",
                "start": "2020-01-01",
                "timestamps": ["2020-01-01", "2020-02-01", "2020-03-01"],
            },
            {
                "id": "south",
                "values": [5.0, 6.5, 7.0],
                "freq": "MS",
                "start": "2020-02-01",
                "timestamps": ["2020-02-01", "2020-03-01", "2020-04-01"],
            },
        ],
        "next_cursor": None,
    }


def test_the_stamps_of_a_series_go_on_in_those_of_its_forecast(http: httpx.Client) -> None:
    body = {"series": [3, 5, 4, 6, 5, 7], "freq": "h", "start": "2024-03-31T00:00:00+01:00[Europe/Berlin]"}
    [whole] = read(http, post(http, **{**body, "series": [*body["series"], 1, 1]}))["series"]
    [forecast] = http.post("/forecast", json={"model": "lstm", "horizon": 2, **body}).json()["forecasts"]
    assert whole["timestamps"][6:] == forecast["timestamps"]
    assert whole["timestamps"][1:3] == [
        "2024-03-31T01:00:00+01:00[Europe/Berlin]",
        "2024-03-31T03:00:00+02:00[Europe/Berlin]",
    ]


def test_pages_hold_all_series_once_in_their_order(http: httpx.Client) -> None:
    names = [f"s{i:02}" for i in range(23)]
    dataset = post(http, series={name: [1, 2] for name in reversed(names)})
    assert [len(page) for page in read_all(http, dataset)] == [10, 10, 3]
    for limit in (1, 7, 23, 100):
        assert list(chain(*read_all(http, dataset, limit=limit))) == names[::-1]


def test_ids_pick_series_in_the_order_of_the_upload(http: httpx.Client) -> None:
    dataset = post(http, series={"a": [1], "b & c": [2], "ü": [3], "d": [4]})
    assert read_all(http, dataset, id=["ü", "b & c", "ü"]) == [["b & c", "ü"]]
    assert read_all(http, dataset, id=["d", "a"], limit=1) == [["a"], ["d"]]
    problem = assert_problem(
        http.get(f"/datasets/{dataset}/series", params={"id": ["a", "e"]}), 404, "series_not_found"
    )
    assert "'e'" in problem["detail"]


def test_what_is_not_known_of_a_series_is_null(http: httpx.Client, uploads: DatasetStore) -> None:
    [plain] = read(http, post(http, series=[1, None, 2]))["series"]
    assert plain == {"id": "0", "values": [1.0, None, 2.0], "freq": None, "start": None, "timestamps": None}
    [timeless] = read(http, post(http, series=[1, 2], freq="D"))["series"]
    assert (timeless["freq"], timeless["timestamps"]) == ("D", None)
    [late] = read(http, post(http, series=3 * [1], freq="YS", start="9998-01-01"))["series"]
    assert (late["freq"], late["start"], late["timestamps"]) == ("YS", "9998-01-01", None)
    values = (np.array([1.0, np.nan]), np.array([np.nan, np.nan]))
    mixed = uploads.add(Panel(("regular", "odd"), values, ("2024-01-01", None), "D")).id
    regular, odd = read(http, mixed)["series"]
    assert regular["timestamps"] == ["2024-01-01", "2024-01-02"]
    # Beside others with times it is of another frequency, or of none.
    assert odd == {"id": "odd", "values": [None, None], "freq": None, "start": None, "timestamps": None}


def test_a_page_of_long_series_is_shorter_and_one_that_is_too_long_is_named(http: httpx.Client) -> None:
    lengths = [2000, 2000, 2000, 10, LIMIT, 5]
    dataset = post(http, series={str(i): n * [0.5] for i, n in enumerate(lengths)})
    assert read_all(http, dataset) == [["0", "1"], ["2", "3"], ["4"], ["5"]]
    stamped = post(http, series=[(LIMIT // 5 + 1) * [1], [2], (LIMIT // 5) * [3]], freq="D", start="2000-01-01")
    problem = assert_problem(http.get(f"/datasets/{stamped}/series"), 422, "answer_too_large", "/limit")
    assert "cursor=1" in problem["detail"]
    assert read_all(http, stamped, cursor=1) == [["1"], ["2"]]


def test_values_come_back_to_their_last_digit_and_pieces_join(
    http: httpx.Client, stored_kinds: Path, tmp_path: Path
) -> None:
    values = np.random.default_rng(1).normal(size=120_001)
    values[::7] = np.nan
    with client(stored_kinds, tmp_path) as plain:
        dataset = DatasetStore(tmp_path / "datasets").add(
            Panel(("a", "b"), (values, values[:5]), ("2020-01-01T00:00", None), "min")
        )
        first, second = read(plain, dataset.id)["series"]
    np.testing.assert_array_equal(np.array(first["values"], float), values)
    np.testing.assert_array_equal(np.array(second["values"], float), values[:5])
    expected = np.datetime64("2020-01-01T00:00:00") + 60 * np.arange(len(values))
    assert first["timestamps"] == np.datetime_as_string(expected).tolist()


@pytest.mark.parametrize(
    ("params", "pointer", "code"),
    [
        ({"limit": 0}, "/limit", "out_of_bounds"),
        ({"limit": 101}, "/limit", "out_of_bounds"),
        ({"limit": "ten"}, "/limit", "wrong_type"),
        ({"cursor": "1"}, "/cursor", "bad_cursor"),
        ({"cursor": "-1"}, "/cursor", "bad_cursor"),
        ({"cursor": "²"}, "/cursor", "bad_cursor"),
        ({"cursor": ""}, "/cursor", "bad_cursor"),
    ],
)
def test_wrong_parameters_are_refused(http: httpx.Client, params: dict[str, Any], pointer: str, code: str) -> None:
    dataset = post(http, series=[1])
    assert_problem(http.get(f"/datasets/{dataset}/series", params=params), 422, code, pointer)


def test_series_of_missing_and_damaged_uploads_are_refused_as_the_uploads_are(
    http: httpx.Client, uploads: DatasetStore
) -> None:
    assert_problem(http.get(f"/datasets/{32 * '0'}/series"), 404, "dataset_not_found")
    assert_problem(http.get("/datasets/nothing/series"), 404, "dataset_not_found")
    dataset = post(http, series=[1, 2, 3])
    assert http.head(f"/datasets/{dataset}/series").status_code == 200
    assert http.post(f"/datasets/{dataset}/series").headers["allow"] == "GET, HEAD"
    path = uploads.root / dataset / "values.npz"
    path.write_bytes(path.read_bytes()[:-30])
    assert_problem(http.get(f"/datasets/{dataset}/series"), 404, "dataset_damaged")
    assert http.delete(f"/datasets/{dataset}").status_code == 204
    assert_problem(http.get(f"/datasets/{dataset}/series"), 404, "dataset_not_found")


def test_the_memory_of_all_pages_together_is_bounded(stored_kinds: Path, tmp_path: Path) -> None:
    limits = {"max_in_flight_bytes": 2**20, "max_body_bytes": 2**19}
    with client(stored_kinds, tmp_path, **limits) as http:
        series = {str(i): 3000 * [1] for i in range(10)}
        dataset = post(http, series=series)
        # A quarter of the memory each.
        pages = read_all(http, dataset)
        assert list(chain(*pages)) == list(series)
        assert max(map(len, pages)) == 3
        long = DatasetStore(tmp_path / "datasets").add(Panel(("a",), (np.zeros(40_000),), (None,), None)).id
        assert_problem(http.get(f"/datasets/{long}/series"), 422, "answer_too_large")


def test_the_answer_is_the_json_that_its_members_make(http: httpx.Client) -> None:
    dataset = post(http, series={'quoted "id"': [1, None, -0.0, 1e300 / 1e270]}, freq="D", start="2024-01-01")
    text = http.get(f"/datasets/{dataset}/series").text
    assert json.loads(text)["series"][0]["values"] == [1.0, None, 0.0, 1e30]
