"""TensorFlow Serving's REST API: its documented calls, its forms of request and answer, its errors."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.api.protocols.native import AIR_PASSENGERS, RAGGED, SERIES, assert_refused, native, native_values

LENGTHS = [len(row) for row in RAGGED]
PADDED = [[*row, *([9e9] * (6 - len(row)))] for row in RAGGED]
MODELS = ["lstm", "whole", "stepwise", "vector", "gru", "zero-shot"]


def predict(http: httpx.Client, path: str = "lstm", **body: Any) -> dict[str, Any]:
    response = http.post(f"/v1/models/{path}:predict", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def column(rows: list[list[float]]) -> list[list[list[float]]]:
    """As the signature has it: [batch, time, 1]."""
    return [[[value] for value in row] for row in rows]


@pytest.mark.parametrize("model", MODELS)
def test_rows_and_columns_give_the_numbers_of_a_forecast(http: httpx.Client, model: str) -> None:
    expected = native_values(http, model=model, series=SERIES)
    answers = [
        predict(http, model, instances=SERIES)["predictions"],
        predict(http, model, instances=column(SERIES))["predictions"],
        predict(http, model, instances=[{"series": row} for row in SERIES])["predictions"],
        predict(http, model, inputs=SERIES)["outputs"],
        predict(http, model, inputs=column(SERIES))["outputs"],
        predict(http, model, inputs={"series": column(SERIES)}, signature_name="serving_default")["outputs"],
    ]
    for answer in answers:
        np.testing.assert_allclose(answer, expected, rtol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_padding_behind_a_series_own_length_is_not_read(http: httpx.Client, model: str) -> None:
    expected = native_values(http, model=model, series=RAGGED)
    answer = predict(
        http, model, signature_name="forecast_ragged", inputs={"series": column(PADDED), "lengths": LENGTHS}
    )
    np.testing.assert_allclose(answer["outputs"], expected, rtol=1e-6)
    instances = [{"series": row, "lengths": length} for row, length in zip(PADDED, LENGTHS, strict=True)]
    answer = predict(http, model, signature_name="forecast_ragged", instances=instances)
    np.testing.assert_allclose(answer["predictions"], expected, rtol=1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("horizon", [1, 2, 25])
def test_a_rollout_goes_as_far_as_it_is_told(http: httpx.Client, model: str, horizon: int) -> None:
    expected = native_values(http, model=model, series=RAGGED, horizon=horizon)
    inputs = {"series": PADDED, "lengths": LENGTHS, "horizon": horizon}
    answer = predict(http, model, signature_name="rollout", inputs=inputs)["outputs"]
    np.testing.assert_allclose(answer, expected, rtol=1e-6)
    instances = [
        {"series": row, "lengths": length, "horizon": horizon} for row, length in zip(PADDED, LENGTHS, strict=True)
    ]
    answer = predict(http, model, signature_name="rollout", instances=instances)["predictions"]
    np.testing.assert_allclose(answer, expected, rtol=1e-6)


def test_forecasts_at_all_steps_are_padded_with_zeros(http: httpx.Client) -> None:
    records = native(http, model="lstm", series=RAGGED, mode="sequence", all_steps=True)
    answer = predict(http, signature_name="all_steps", inputs={"series": PADDED, "lengths": LENGTHS})["outputs"]
    assert answer["steps"] == LENGTHS
    forecast = np.array(answer["forecast"])
    assert forecast.shape == (2, 6, 10)
    np.testing.assert_allclose(forecast[0], records[0]["sequence"], rtol=1e-6)
    np.testing.assert_allclose(forecast[1, :4], records[1]["sequence"], rtol=1e-6)
    assert not forecast[1, 4:].any()
    [first, _] = predict(
        http,
        signature_name="all_steps",
        instances=[{"series": row, "lengths": n} for row, n in zip(PADDED, LENGTHS, strict=True)],
    )["predictions"]
    assert first.keys() == {"forecast", "steps"}
    np.testing.assert_allclose(first["forecast"], records[0]["sequence"], rtol=1e-6)


def test_the_zero_shot_models_own_signatures_take_seasons(http: httpx.Client) -> None:
    inputs = {"series": [AIR_PASSENGERS], "lengths": [len(AIR_PASSENGERS)], "season": 12, "horizon": 6}
    outputs = predict(http, "zero-shot", signature_name="zero_shot", inputs=inputs)["outputs"]
    assert outputs.keys() == {"forecast", "unit", "weights", "errors"}
    expected = native_values(http, model="zero-shot", series=AIR_PASSENGERS, season=12, horizon=6)
    np.testing.assert_allclose(outputs["forecast"], expected, rtol=1e-6)
    assert sum(outputs["weights"][0]) == pytest.approx(1.0, abs=1e-4)
    longer = predict(http, "zero-shot", signature_name="zero_shot_two_seasons", inputs={**inputs, "long_season": 24})[
        "outputs"
    ]
    assert np.shape(longer["forecast"]) == (1, 6)
    bad = {**inputs, "long_season": 25}
    response = http.post(
        "/v1/models/zero-shot:predict", json={"signature_name": "zero_shot_two_seasons", "inputs": bad}
    )
    assert_refused(response, 400, "/inputs/long_season", "multiple of the season, 12")


def test_null_is_a_missing_value_as_in_a_forecast(http: httpx.Client) -> None:
    series = [[1.0, None, 3.0, 4.0, 6.0, None], [4.0, None, None, 2.0, 3.0, 1.0]]
    expected = native_values(http, model="lstm", series=series)
    np.testing.assert_allclose(predict(http, instances=series)["predictions"], expected, rtol=1e-6)
    tensor = [[[value] for value in row] for row in series]
    np.testing.assert_allclose(predict(http, inputs=tensor)["outputs"], expected, rtol=1e-6)


def test_documented_curl_calls_send_a_form(http: httpx.Client) -> None:
    # curl -d '{"instances": [..]}' -X POST http://host:8501/v1/models/half_plus_three:predict
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = http.post("/v1/models/lstm:predict", content='{"instances": [[1.0, 2.0, 5.0]]}', headers=form)
    assert response.status_code == 200, response.text
    assert len(response.json()["predictions"][0]) == 10
    bare = http.post("/v1/models/lstm:predict", content=b'{"instances": [[1.0, 2.0, 5.0]]}')
    assert bare.json() == response.json()


def test_versions_and_labels_are_called_by_their_paths(http: httpx.Client) -> None:
    http.put("/models/vector/aliases/stable", json={"version": 1}).raise_for_status()
    expected = predict(http, "vector", instances=SERIES)
    assert predict(http, "vector/versions/1", instances=SERIES) == expected
    assert predict(http, "vector/labels/stable", instances=SERIES) == expected
    for path in ("/v1/models/vector/versions/1", "/v1/models/vector/labels/stable"):
        status = http.get(path).json()["model_version_status"]
        assert [entry["version"] for entry in status] == ["1"]
        assert http.get(f"{path}/metadata").json()["model_spec"]["version"] == "1"


def test_status_names_each_version_and_that_it_is_available(http: httpx.Client) -> None:
    document = http.get("/v1/models/lstm").json()
    assert document["model_version_status"] == [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
    # What KServe answers on the same path.
    assert document["ready"] is True
    assert "zero-shot" in http.get("/v1/models").json()["models"]


@pytest.mark.parametrize("model", ["lstm", "stepwise", "gru", "zero-shot"])
def test_metadata_are_those_of_the_stored_graph(http: httpx.Client, model: str, store: Any) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    stored = SavedModel.FromString((store / model / "1" / "saved_model.pb").read_bytes())
    graph = {
        name: signature
        for name, signature in stored.meta_graphs[0].signature_def.items()
        if name != "__saved_model_init_op"
    }
    document = http.get(f"/v1/models/{model}/metadata").json()
    described = document["metadata"]["signature_def"]["signature_def"]
    assert described.keys() == graph.keys()
    for name, signature in graph.items():
        assert described[name]["method_name"] == signature.method_name
        for side in ("inputs", "outputs"):
            tensors = getattr(signature, side)
            assert described[name][side].keys() == tensors.keys(), name
            for key, tensor in tensors.items():
                shown = described[name][side][key]
                assert {"DT_FLOAT": 1, "DT_INT32": 3}[shown["dtype"]] == tensor.dtype
                if not tensor.tensor_shape.unknown_rank:
                    assert len(shown["tensor_shape"]["dim"]) == len(tensor.tensor_shape.dim)


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["`instances`", "`inputs`", "neither"]),
    ({"instances": SERIES, "inputs": SERIES}, ["both"]),
    ({"instance": SERIES}, ["'instances'"]),
    ({"instances": [1.0, 2.0, 5.0]}, ["/instances/0", "[[1, 2, 3]] is one series"]),
    ({"instances": []}, ["/instances", "at least one"]),
    ({"instances": [[1.0, "2"]]}, ["/instances/0/1", 'a string ("2")']),
    ({"instances": [[1.0, True]]}, ["/instances/0/1", "a boolean"]),
    ({"instances": [[[1.0, 2.0], [3.0, 4.0]]]}, ["/instances/0/0", "univariate"]),
    ({"instances": [[[1.0], 2.0]]}, ["/instances/0/1"]),
    ({"instances": [{"serie": [1.0]}]}, ["/instances/0/serie", "'series'"]),
    ({"instances": [{"series": [1.0], "horizon": 3}]}, ["/instances/0/horizon"]),
    ({"instances": [[1.0], {"series": [1.0]}]}, ["/instances/1"]),
    ({"inputs": [1.0, 2.0]}, ["/inputs", "batch of one"]),
    ({"inputs": {"series": "1"}}, ["/inputs/series"]),
    ({"inputs": {}}, ["/inputs/series", "missing"]),
    ({"inputs": [[]]}, ["/inputs/0", "empty"]),
    ({"inputs": [[None, None]]}, ["/inputs/0", "null"]),
    ({"inputs": [[1e39]]}, ["/inputs/0", "32-bit"]),
    ({"signature_name": "predict", "inputs": [[1.0]]}, ["serving_default", "rollout", "all_steps"]),
    ({"signature_name": 3, "inputs": [[1.0]]}, ["/signature_name"]),
    ({"signature_name": "rollout", "inputs": [[1.0]]}, ["'series', 'lengths', 'horizon'"]),
    ({"signature_name": "forecast_ragged", "inputs": {"series": [[1.0]]}}, ["/inputs/lengths", "missing"]),
    ({"signature_name": "forecast_ragged", "inputs": {"series": [[1.0]], "lengths": [2]}}, ["/inputs/lengths/0"]),
    ({"signature_name": "forecast_ragged", "inputs": {"series": [[1.0]], "lengths": [-1]}}, ["/inputs/lengths/0"]),
    ({"signature_name": "forecast_ragged", "inputs": {"series": [[1.0]], "lengths": [1, 1]}}, ["/inputs/lengths"]),
    ({"signature_name": "forecast_ragged", "inputs": {"series": [[1.0]], "lengths": [0.5]}}, ["/inputs/lengths/0"]),
    (
        {"signature_name": "rollout", "inputs": {"series": [[1.0]], "lengths": [1], "horizon": 1001}},
        ["1 to 1000", "1001"],
    ),
    (
        {
            "signature_name": "rollout",
            "instances": [
                {"series": [1.0], "lengths": 1, "horizon": 2},
                {"series": [1.0], "lengths": 1, "horizon": 3},
            ],
        },
        ["share one horizon", "2 and 3"],
    ),
]


@pytest.mark.parametrize(("body", "words"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_what_is_wrong_is_said_in_the_protocols_form(
    http: httpx.Client, body: dict[str, Any], words: list[str]
) -> None:
    assert_refused(http.post("/v1/models/lstm:predict", json=body), 400, *words)


def test_one_bad_series_refuses_all_and_is_named(http: httpx.Client) -> None:
    response = http.post("/v1/models/whole:predict", json={"instances": [[1.0, 2.0, 3.0, 4.0], [1.0]]})
    assert_refused(response, 400, "/instances/1", "at least 4 points")


@pytest.mark.parametrize("text", ['{"instances": [[1.0, NaN]]}', '{"instances": [[1.0, Infinity]]}', "{", "[1]", ""])
def test_what_is_no_json_object_is_refused(http: httpx.Client, text: str) -> None:
    assert_refused(http.post("/v1/models/lstm:predict", content=text), 400)


def test_what_is_not_there_is_a_404(http: httpx.Client) -> None:
    for path in ("nobody", "nobody/versions/1", "lstm/versions/9", "lstm/labels/nothing"):
        assert_refused(http.get(f"/v1/models/{path}"), 404, "no")
        assert_refused(http.get(f"/v1/models/{path}/metadata"), 404)
        assert_refused(http.post(f"/v1/models/{path}:predict", json={"instances": SERIES}), 404)
    assert_refused(http.post("/v1/models/lstm:regress", json={}), 400, ":predict")
    assert_refused(http.get("/v1/models/lstm/nowhere"), 404, "no route")
    assert_refused(http.delete("/v1/models/lstm"), 405)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("field", ["instances", "inputs"])
def test_large_bodies_give_the_numbers_of_small_ones(http: httpx.Client, axes: int, field: str) -> None:
    rows: Any = np.random.default_rng(1).normal(100, 10, (2500, 40)).round(4).tolist()
    rows[7][3] = None
    expected = native_values(http, model="gru", series=rows[:50])
    given = [[[value] for value in row] for row in rows] if axes == 3 else rows
    answer = predict(http, "gru", **{field: given})[{"instances": "predictions", "inputs": "outputs"}[field]]
    assert len(answer) == 2500
    np.testing.assert_allclose(answer[:50], expected, rtol=1e-5, atol=1e-5)
    last = predict(http, "gru", instances=rows[-1:])["predictions"]
    np.testing.assert_allclose(answer[-1:], last, rtol=1e-5, atol=1e-5)
