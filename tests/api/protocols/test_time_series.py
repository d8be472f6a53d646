"""KServe's time-series routes."""

from typing import Any

import httpx
import numpy as np
import pytest

from tests.api.protocols.native import AIR_PASSENGERS, native

UNIVARIATE = "univariate_time_series"


def series(values: Any, name: str = "a", frequency: str = "month", **fields: Any) -> dict[str, Any]:
    return {"type": UNIVARIATE, "name": name, "series": values, "frequency": frequency, **fields}


def post(http: httpx.Client, model: str, inputs: list[Any], **options: Any) -> dict[str, Any]:
    response = http.post("/v1/timeseries/forecast", json={"model": model, "inputs": inputs, "options": options})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_series_gets_the_numbers_of_a_forecast_of_its_frequency(http: httpx.Client) -> None:
    [record] = native(http, model="zero-shot", series=AIR_PASSENGERS, horizon=6, quantiles=[0.1, 0.5], freq="MS")
    given = series(AIR_PASSENGERS, start_timestamp="1949-01-01")
    answer = post(http, "zero-shot", [given], horizon=6, quantiles=[0.1, 0.5])
    assert (answer["status"], answer["model"], answer["error"]) == ("completed", "zero-shot", None)
    [output] = answer["outputs"]
    [content] = output["content"]
    assert (content["type"], content["name"], content["frequency"]) == (UNIVARIATE, "a", "month")
    assert content["start_timestamp"] == "1960-01-01"
    np.testing.assert_allclose(content["mean_forecast"], record["values"], rtol=1e-6)
    assert content["quantiles"].keys() == {"0.1", "0.5"}
    np.testing.assert_allclose(content["quantiles"]["0.1"], record["quantiles"]["0.1"], rtol=1e-6)


def test_series_of_several_frequencies_keep_their_order(http: httpx.Client) -> None:
    inputs = [series([1, 2, 3] * 8, str(i), frequency) for i, frequency in enumerate("DMDH")]
    [output] = post(http, "zero-shot", inputs, horizon=2)["outputs"]
    assert [content["name"] for content in output["content"]] == ["0", "1", "2", "3"]
    for content, freq in zip(output["content"], ["D", "MS", "D", "h"], strict=True):
        [record] = native(http, model="zero-shot", series=[1, 2, 3] * 8, horizon=2, freq=freq)
        np.testing.assert_allclose(content["mean_forecast"], record["values"], rtol=1e-6)


@pytest.mark.parametrize(
    ("frequency", "start", "expected"),
    [
        ("S", "2026-01-01T00:00:00Z", "2026-01-01T00:00:03Z"),
        ("minute", "2026-01-01T00:00:00", "2026-01-01T00:03:00"),
        ("H", "2026-01-01T00:00:00+01:00", "2026-01-01T03:00:00+01:00"),
        ("day", "2026-02-27", "2026-03-02"),
        ("W", "2026-01-07", "2026-01-28"),
        ("M", "2026-01-31", "2026-04-30"),
        ("Q", "2026-02-15", "2026-11-15"),
        ("Y", "2024-02-29", "2027-02-28"),
    ],
)
def test_the_forecast_starts_a_step_after_the_series(
    http: httpx.Client, frequency: str, start: str, expected: str
) -> None:
    given = series([1.0, 2.0, 3.0], frequency=frequency, start_timestamp=start)
    [output] = post(http, "lstm", [given], horizon=1)["outputs"]
    assert output["content"][0]["start_timestamp"] == expected


def test_it_starts_after_the_last_number(http: httpx.Client) -> None:
    given = series([1.0, 2.0, 3.0, None], frequency="D", start_timestamp="2026-01-01")
    [output] = post(http, "lstm", [given], horizon=1)["outputs"]
    assert output["content"][0]["start_timestamp"] == "2026-01-04"


def test_a_series_that_can_not_be_forecast_has_an_output_of_its_own(http: httpx.Client) -> None:
    answer = post(http, "whole", [series([1, 2, 3, 4], "good"), series([1], "bad")], horizon=2)
    assert answer["status"] == "partial"
    good, bad = answer["outputs"]
    assert [content["name"] for content in good["content"]] == ["good"]
    assert (bad["status"], bad["id"], bad["content"]) == ("error", "bad", [])
    assert "at least 4 points" in bad["error"]["message"]


def body(*inputs: Any, **options: Any) -> dict[str, Any]:
    return {"model": "lstm", "inputs": list(inputs), "options": options}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({}, "/model", "name"),
    (body(horizon=1), "/inputs", "at least one"),
    (body(series([1])), "/options/horizon", "missing"),
    (body(series([1]), horizon=0), "/horizon", "1 to 1000"),
    (body(series([1]), horizon=1, level=[80]), "/options/level", "field"),
    (body(series([1]), horizon="1"), "/options/horizon", "integer"),
    (body(series([1, "2"]), horizon=1), "/inputs/0/series/1", "string"),
    (body(series([[1, 2]]), horizon=1), "/inputs/0/series/0", "array"),
    (body(series([1], frequency="fortnight"), horizon=1), "/inputs/0/frequency", "week"),
    (body({**series([1]), "type": "multivariate_time_series"}, horizon=1), "/inputs/0/type", "univariate"),
    (body(series([1], start_timestamp="soon"), horizon=1), "/inputs/0/start_timestamp", "soon"),
    (body({"name": "a"}, horizon=1), "/inputs/0/type", "add it"),
]


@pytest.mark.parametrize(("request_body", "param", "word"), REFUSED)
def test_what_is_wrong_is_said_in_the_protocols_form(
    http: httpx.Client, request_body: dict[str, Any], param: str, word: str
) -> None:
    response = http.post("/v1/timeseries/forecast", json=request_body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("400", param)
    assert word in error["message"]


def test_models_are_listed_and_others_unknown(http: httpx.Client) -> None:
    assert "lstm" in http.get("/v1/timeseries/models").json()
    unknown = {**body(series([1]), horizon=1), "model": "nobody"}
    response = http.post("/v1/timeseries/forecast", json=unknown)
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "model_not_found"
