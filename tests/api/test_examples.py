"""The /examples routes on a real server."""

import httpx
import pytest

from service.api.schemas.examples import ExampleAnswer, ExamplesAnswer
from tests.api.server import assert_problem

NAMES = ["air-passengers", "half-hourly-demand", "road-casualties", "m3-monthly", "waves"]


def test_examples_are_listed(http: httpx.Client) -> None:
    answer = http.get("/examples").json()
    ExamplesAnswer.model_validate(answer, strict=True)
    assert [one["name"] for one in answer["examples"]] == NAMES
    assert answer["next_cursor"] is None
    assert all(one["title"] and one["description"] and one["source"] for one in answer["examples"])


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_forecast_as_it_comes(http: httpx.Client, name: str) -> None:
    response = http.get(f"/examples/{name}")
    answer = response.json()
    ExampleAnswer.model_validate(answer, strict=True)
    assert int(response.headers["content-length"]) == len(response.content)
    listed = next(one for one in http.get("/examples").json()["examples"] if one["name"] == name)
    assert {key: value for key, value in answer.items() if key != "series"} == listed
    for series in answer["series"]:
        if series["start"] is None:
            assert series["timestamps"] is None
            continue
        assert len(series["timestamps"]) == len(series["values"])
        record = {key: series[key] for key in ("id", "values", "start")}
        body = {"model": "lstm", "series": [record], "freq": series["freq"], "horizon": 1}
        forecast = http.post("/forecast", json=body)
        assert forecast.status_code == 200, forecast.text
        assert forecast.json()["forecasts"][0]["timestamps"][0] > series["timestamps"][-1]


def test_the_first_example_has_the_months_of_its_years(http: httpx.Client) -> None:
    [series] = http.get("/examples/air-passengers").json()["series"]
    assert (series["id"], series["freq"], series["start"]) == ("passengers", "MS", "1949-01-01")
    assert series["values"][:3] == [112.0, 118.0, 132.0]
    assert series["timestamps"][::143] == ["1949-01-01", "1960-12-01"]


def test_an_unknown_example_is_a_404_that_lists_those_there_are(http: httpx.Client) -> None:
    problem = assert_problem(http.get("/examples/nothing"), 404, "example_not_found")
    assert all(name in problem["detail"] for name in NAMES)
