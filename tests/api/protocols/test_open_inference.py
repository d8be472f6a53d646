"""The open inference protocol: health, metadata, and `infer` by tensors in JSON and in bytes."""

import gzip
import json
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.api.protocols.native import AIR_PASSENGERS, RAGGED, SERIES, assert_refused, native, native_values

NUMPY = {"FP64": np.float64, "FP32": np.float32, "FP16": np.float16, "INT64": np.int64, "INT32": np.int32}
LENGTH = "Inference-Header-Content-Length"
MODELS = ["lstm", "whole", "stepwise", "vector", "gru", "zero-shot"]


def tensor(values: Any, datatype: str = "FP64", name: str = "series") -> dict[str, Any]:
    array = np.array(values)
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.ravel().tolist()}


def infer(http: httpx.Client, path: str = "lstm", **body: Any) -> dict[str, Any]:
    response = http.post(f"/v2/models/{path}/infer", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def read(answer: dict[str, Any], name: str = "forecast") -> NDArray[np.float64]:
    [output] = [output for output in answer["outputs"] if output["name"] == name]
    assert output["datatype"] == "FP64"
    return np.array(output["data"]).reshape(output["shape"])


def pack(arrays: dict[str, tuple[str, Any]], **body: Any) -> tuple[bytes, dict[str, str]]:
    """A body with tensors in bytes, as Triton's client writes it, and its header."""
    inputs, rest = [], b""
    for name, (datatype, values) in arrays.items():
        if datatype == "BYTES":
            texts = [text.encode() for text in values]
            data = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
            shape = [len(values)]
        else:
            array = np.array(values, NUMPY[datatype])
            data, shape = array.tobytes(), list(array.shape)
        inputs.append(
            {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(data)}}
        )
        rest += data
    header = json.dumps({"inputs": inputs, **body}).encode()
    return header + rest, {LENGTH: str(len(header))}


def unpack(response: httpx.Response) -> dict[str, Any]:
    """The outputs of an answer with bytes behind its JSON."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[LENGTH])
    rest = response.content[length:]
    outputs: dict[str, Any] = {}
    for output in json.loads(response.content[:length])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            outputs[output["name"]] = np.array(output["data"]).reshape(output["shape"])
            continue
        data, rest = rest[:size], rest[size:]
        if output["datatype"] == "BYTES":
            texts = []
            while data:
                end = 4 + int.from_bytes(data[:4], "little")
                texts.append(data[4:end].decode())
                data = data[end:]
            outputs[output["name"]] = texts
        else:
            outputs[output["name"]] = np.frombuffer(data, NUMPY[output["datatype"]]).reshape(output["shape"])
    assert not rest
    return outputs


def test_health_needs_no_key_and_says_more_than_a_status(http: httpx.Client) -> None:
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}


def test_the_server_and_its_models_describe_themselves(http: httpx.Client) -> None:
    server = http.get("/v2").json()
    assert server["name"] == "outfielder"
    assert "binary_tensor_data" in server["extensions"]
    model = http.get("/v2/models/gru").json()
    assert (model["name"], model["versions"], model["platform"]) == ("gru", ["1"], "onnxruntime_onnx")
    assert model["inputs"][0] == {"name": "series", "datatype": "FP64", "shape": [-1, -1]}
    assert model["outputs"] == [{"name": "forecast", "datatype": "FP64", "shape": [-1, -1]}]
    assert http.get("/v2/models/lstm/versions/1").json()["platform"] == "tensorflow_savedmodel"
    assert http.get("/v2/models/gru/config").json()["input"][0]["data_type"] == "TYPE_FP64"
    assert http.get("/v2/models/gru/ready").json() == {"name": "gru", "ready": True}
    assert http.get("/v2/models/gru/versions/1/ready").status_code == 200
    assert "zero-shot" in http.get("/v2/models").json()["models"]
    for response in (http.post("/v2/repository/index"), http.get("/v2/repository/index")):
        assert {"name": "gru", "version": "1", "state": "READY", "reason": ""} in response.json()


@pytest.mark.parametrize("model", MODELS)
def test_every_form_of_a_tensor_gives_the_numbers_of_a_forecast(http: httpx.Client, model: str) -> None:
    expected = native_values(http, model=model, series=SERIES)
    flat = tensor(SERIES)
    for given_tensor in (
        flat,
        {**flat, "data": SERIES},
        {**flat, "shape": [2, 6, 1]},
        {**flat, "shape": [2, 6, 1], "data": [[[value] for value in row] for row in SERIES]},
    ):
        np.testing.assert_allclose(read(infer(http, model, inputs=[given_tensor])), expected, rtol=1e-6)
    for datatype in ("FP64", "FP32", "FP16"):
        body, headers = pack({"series": (datatype, SERIES)}, parameters={"binary_data_output": True})
        response = http.post(f"/v2/models/{model}/infer", content=body, headers=headers)
        np.testing.assert_allclose(unpack(response)["forecast"], expected, rtol=1e-6)


def test_whole_numbers_are_numbers(http: httpx.Client) -> None:
    rows = [[1, 2, 4, 3], [5, 3, 2, 8]]
    expected = native_values(http, model="lstm", series=rows)
    np.testing.assert_allclose(read(infer(http, inputs=[tensor(rows, "INT64")])), expected, rtol=1e-6)
    body, headers = pack({"series": ("INT32", rows)})
    response = http.post("/v2/models/lstm/infer", content=body, headers=headers)
    np.testing.assert_allclose(read(response.json()), expected, rtol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_lengths_and_horizon_may_be_tensors_too(http: httpx.Client, model: str) -> None:
    padded = [[*row, *([9e9] * (6 - len(row)))] for row in RAGGED]
    expected = native_values(http, model=model, series=RAGGED, horizon=7)
    lengths, horizon = tensor([6, 4], "INT32", "lengths"), tensor([7], "INT32", "horizon")
    np.testing.assert_allclose(read(infer(http, model, inputs=[tensor(padded), lengths, horizon])), expected, rtol=1e-6)
    answer = infer(http, model, inputs=[lengths, tensor(padded)], parameters={"horizon": 7})
    np.testing.assert_allclose(read(answer), expected, rtol=1e-6)
    arrays = {"lengths": ("INT64", [6, 4]), "series": ("FP32", padded), "horizon": ("INT32", [7])}
    body, headers = pack(arrays, parameters={"binary_data_output": True})
    response = http.post(f"/v2/models/{model}/infer", content=body, headers=headers)
    np.testing.assert_allclose(unpack(response)["forecast"], expected, rtol=1e-6)


def test_nan_in_bytes_and_null_in_json_are_missing_values(http: httpx.Client) -> None:
    series = [[1.0, None, 3.0, 4.0, 6.0, None], [4.0, None, None, 2.0, 3.0, 1.0]]
    expected = native_values(http, model="lstm", series=series)
    posted = {"name": "series", "shape": [2, 6], "datatype": "FP64", "data": series}
    np.testing.assert_allclose(read(infer(http, inputs=[posted])), expected, rtol=1e-6)
    rows = [[np.nan if value is None else value for value in row] for row in series]
    body, headers = pack({"series": ("FP32", rows)})
    response = http.post("/v2/models/lstm/infer", content=body, headers=headers)
    np.testing.assert_allclose(read(response.json()), expected, rtol=1e-6)
    body, headers = pack({"series": ("FP32", [[1.0, np.inf]])})
    assert_refused(http.post("/v2/models/lstm/infer", content=body, headers=headers), 400, "/inputs/0/data/0")


def test_counters_keep_their_last_digits(http: httpx.Client) -> None:
    series = [[3e11 + i % 7 for i in range(60)]]
    expected = native_values(http, model="zero-shot", series=series)
    body, headers = pack({"series": ("FP64", series)}, parameters={"binary_data_output": True})
    response = http.post("/v2/models/zero-shot/infer", content=body, headers=headers)
    np.testing.assert_allclose(unpack(response)["forecast"], expected, rtol=0, atol=1e-6)


def test_an_answer_may_be_of_32_bits(http: httpx.Client) -> None:
    body, headers = pack(
        {"series": ("FP32", SERIES)}, parameters={"binary_data_output": True, "output_datatype": "FP32"}
    )
    forecast = unpack(http.post("/v2/models/lstm/infer", content=body, headers=headers))["forecast"]
    assert forecast.dtype == np.float32
    np.testing.assert_allclose(forecast, native_values(http, model="lstm", series=SERIES), rtol=1e-6)


def test_intervals_and_quantiles_are_outputs(http: httpx.Client) -> None:
    [record] = native(
        http, model="zero-shot", series=[AIR_PASSENGERS], horizon=5, level=[80, 97.5], quantiles=[0.1, 0.9]
    )
    posted = tensor([AIR_PASSENGERS])
    answer = infer(
        http,
        "zero-shot",
        inputs=[posted],
        parameters={"horizon": 5, "level": "80, 97.5", "quantiles": [0.1, 0.9]},
    )
    names = ["forecast", "lower_80", "upper_80", "lower_97.5", "upper_97.5", "quantile_0.1", "quantile_0.9"]
    assert [output["name"] for output in answer["outputs"]] == names
    np.testing.assert_allclose(read(answer, "upper_97.5")[0], record["intervals"]["97.5"]["upper"], rtol=1e-6)
    np.testing.assert_allclose(read(answer, "quantile_0.1")[0], record["quantiles"]["0.1"], rtol=1e-6)
    # A name says the level as well.
    wanted = [{"name": "lower_80"}, {"name": "quantile_0.9"}]
    answer = infer(http, "zero-shot", inputs=[posted], parameters={"horizon": 5}, outputs=wanted)
    assert [output["name"] for output in answer["outputs"]] == ["lower_80", "quantile_0.9"]
    np.testing.assert_allclose(read(answer, "lower_80")[0], record["intervals"]["80"]["lower"], rtol=1e-6)


def test_ids_and_time_stamps_come_back_as_strings(http: httpx.Client) -> None:
    ids = {"name": "ids", "shape": [2], "datatype": "BYTES", "data": ["north", "süd"]}
    answer = infer(
        http, inputs=[tensor(SERIES), ids], parameters={"freq": "D", "start": "2026-01-01", "horizon": 2}, id="é1"
    )
    assert answer["id"] == "é1"
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["ids"] == {"name": "ids", "datatype": "BYTES", "shape": [2], "data": ["north", "süd"]}
    assert outputs["timestamps"]["data"] == ["2026-01-07", "2026-01-08"] * 2
    body, headers = pack(
        {"series": ("FP64", SERIES), "ids": ("BYTES", ["north", "süd"])}, parameters={"binary_data_output": True}
    )
    found = unpack(http.post("/v2/models/lstm/infer", content=body, headers=headers))
    assert found["ids"] == ["north", "süd"]


def test_each_output_is_in_the_form_that_it_is_asked_for(http: httpx.Client) -> None:
    outputs = [
        {"name": "forecast", "parameters": {"binary_data": True}},
        {"name": "ids", "parameters": {"binary_data": False}},
    ]
    found = unpack(http.post("/v2/models/lstm/infer", json={"inputs": [tensor(SERIES)], "outputs": outputs}))
    np.testing.assert_allclose(found["forecast"], native_values(http, model="lstm", series=SERIES), rtol=1e-6)
    assert found["ids"].tolist() == ["0", "1"]


def test_forecasts_at_all_steps_are_an_output(http: httpx.Client) -> None:
    records = native(http, model="lstm", series=SERIES, mode="sequence", all_steps=True)
    answer = infer(http, inputs=[tensor(SERIES)], outputs=[{"name": "all_steps"}])
    expected = [record["sequence"] for record in records]
    np.testing.assert_allclose(read(answer, "all_steps"), expected, rtol=1e-6)
    ragged = {"inputs": [tensor(SERIES), tensor([6, 4], "INT32", "lengths")], "outputs": [{"name": "all_steps"}]}
    assert_refused(http.post("/v2/models/lstm/infer", json=ragged), 400, "one length", "4 to 6")


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bodies_may_be_compressed(http: httpx.Client, encoding: str, compress: Any) -> None:
    body, headers = pack({"series": ("FP64", SERIES)})
    plain = http.post("/v2/models/lstm/infer", content=body, headers=headers)
    packed = http.post(
        "/v2/models/lstm/infer", content=compress(body), headers={**headers, "Content-Encoding": encoding}
    )
    assert packed.json()["outputs"] == plain.json()["outputs"]
    broken = http.post("/v2/models/lstm/infer", content=body, headers={**headers, "Content-Encoding": encoding})
    assert_refused(broken, 400, encoding)


FIRST = tensor([[1.0, 2.0, 5.0]])
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["/inputs"]),
    ({"inputs": []}, ["/inputs"]),
    ({"inputs": [{**FIRST, "name": "input-0"}]}, ["/inputs/0/name", "series"]),
    ({"inputs": [FIRST, FIRST]}, ["/inputs/1/name", "Two inputs"]),
    ({"inputs": [{**FIRST, "shape": [3]}]}, ["/inputs/0/data", "/inputs/0/shape", "[batch, time]"]),
    ({"inputs": [{**FIRST, "shape": [1, 4]}]}, ["/inputs/0/data", "Expected 4 numbers", "got 3"]),
    ({"inputs": [{**FIRST, "shape": [3, 1, 1, 1]}]}, ["/inputs/0/shape"]),
    ({"inputs": [{**FIRST, "shape": [1, -3]}]}, ["/inputs/0/shape"]),
    ({"inputs": [{**FIRST, "shape": [1, 1, 3]}]}, ["/inputs/0/shape", "univariate"]),
    ({"inputs": [{**FIRST, "datatype": "float"}]}, ["/inputs/0/datatype", "FP64"]),
    ({"inputs": [{**FIRST, "datatype": "BF16"}]}, ["/inputs/0/datatype"]),
    ({"inputs": [{**FIRST, "datatype": "INT32", "data": [1, 2, 2.5]}]}, ["whole numbers"]),
    ({"inputs": [{**FIRST, "data": [1, "2", 3]}]}, ["/inputs/0/data/1", 'a string ("2")']),
    ({"inputs": [{**FIRST, "data": [1, True, 3]}]}, ["/inputs/0/data/1", "a boolean"]),
    ({"inputs": [{**FIRST, "shape": [2, 3], "data": [[1, 2, 3], [1, 2]]}]}, ["/inputs/0/data/1", "got 2"]),
    ({"inputs": [{**FIRST, "data": [[1, 2], [3]]}]}, ["/inputs/0/data"]),
    ({"inputs": [{"name": "series", "shape": [1, 3], "datatype": "FP64"}]}, ["/inputs/0/data", "missing"[:4]]),
    ({"inputs": [{**FIRST, "parameters": {"binary_data_size": 24}}]}, ["binary_data_size", "0 that follow"]),
    ({"inputs": [{**FIRST, "parameters": {"shared_memory_region": "x"}}]}, ["no memory"]),
    ({"inputs": [FIRST, tensor([4], "INT32", "lengths")]}, ["/inputs/1/0", "0 to 3"]),
    ({"inputs": [FIRST, tensor([1, 2], "INT32", "horizon")]}, ["one horizon"]),
    ({"inputs": [FIRST, tensor([2], "INT32", "horizon")], "parameters": {"horizon": 3}}, ["another one"]),
    ({"inputs": [FIRST, {**FIRST, "name": "ids"}]}, ["/inputs/1", "BYTES"]),
    ({"inputs": [FIRST], "parameters": {"horizn": 3}}, ["/parameters/horizn", "'horizon'"]),
    ({"inputs": [FIRST], "parameters": {"horizon": 1001}}, ["1 to 1000"]),
    ({"inputs": [FIRST], "parameters": {"horizon": "3"}}, ["/parameters/horizon"]),
    ({"inputs": [FIRST], "parameters": {"level": "high"}}, ["/parameters/level"]),
    ({"inputs": [FIRST], "parameters": {"level": 0.8}}, ["percent", "80"]),
    ({"inputs": [FIRST], "parameters": {"mode": "autoregressive"}}, ["mode"]),
    ({"inputs": [FIRST], "parameters": {"sequence_id": 7}}, ["/parameters/sequence_id", "whole past"]),
    ({"inputs": [FIRST], "parameters": {"output_datatype": "FP16"}}, ["FP32"]),
    ({"inputs": [FIRST], "parameters": {"output_datatype": ["FP64"]}}, ["FP32"]),
    ({"inputs": [FIRST, tensor([2], "INT32", "horizon")], "parameters": {"horizon": [5]}}, ["another one"]),
    ({"inputs": [FIRST], "model_name": [1, 2]}, ["/model_name"]),
    ({"inputs": [FIRST], "outputs": [{"name": "predict"}]}, ["/outputs/0/name", "forecast"]),
    ({"inputs": [FIRST], "outputs": [{"name": "timestamps"}]}, ["`freq` and `start`"]),
    ({"inputs": [FIRST], "outputs": [{"name": "lower_80"}]}, ["calibration"]),
    ({"inputs": [FIRST], "outputs": [{"name": "forecast", "parameters": {"classification": 3}}]}, ["no classes"]),
    ({"inputs": [FIRST], "outputs": [{"name": "forecast"}] * 2}, ["/outputs/1/name", "named twice"]),
    ({"inputs": [FIRST], "id": 3}, ["/id"]),
    ({"inputs": [FIRST], "model_name": "gru"}, ["/model_name", "'lstm'"]),
]


@pytest.mark.parametrize(("body", "words"), REFUSED, ids=lambda value: json.dumps(value)[:80])
def test_what_is_wrong_is_said_in_the_protocols_form(
    http: httpx.Client, body: dict[str, Any], words: list[str]
) -> None:
    message = assert_refused(http.post("/v2/models/lstm/infer", json=body), 400)
    assert any(word in message for word in words), message
    assert message


def test_bytes_that_do_not_fit_their_tensor_are_refused(http: httpx.Client) -> None:
    body, headers = pack({"series": ("FP32", SERIES)})
    path = "/v2/models/lstm/infer"
    assert_refused(http.post(path, content=body + b"\0", headers=headers), 400, "1 bytes stand behind")
    assert_refused(http.post(path, content=body[:-1], headers=headers), 400, "binary_data_size")
    for length in ("0", "-1", "x", str(len(body) + 1), "9" * 30, ""):
        assert_refused(http.post(path, content=body, headers={LENGTH: length}), 400)
    short = body.replace(b'"shape": [2, 6]', b'"shape": [2, 5]')
    assert_refused(http.post(path, content=short, headers=headers), 400, "Expected 40 bytes", "got 48")
    texts, headers = pack({"series": ("FP32", [[1.0]]), "ids": ("BYTES", ["abc"])})
    cut = texts[:-7] + (99).to_bytes(4, "little") + texts[-3:]
    assert_refused(http.post(path, content=cut, headers=headers), 400, "beyond their end")


def test_what_is_not_there_is_a_404(http: httpx.Client) -> None:
    for path in ("nobody", "nobody/versions/1", "lstm/versions/9", "lstm/versions/nothing"):
        for response in (
            http.get(f"/v2/models/{path}"),
            http.get(f"/v2/models/{path}/ready"),
            http.post(f"/v2/models/{path}/infer", json={"inputs": [FIRST]}),
        ):
            assert_refused(response, 404)
    assert_refused(http.post("/v2/repository/models/lstm/load"), 404)
    assert_refused(http.get("/v2/models/lstm/infer"), 405)


def test_many_series_in_bytes_get_the_numbers_of_a_few(http: httpx.Client) -> None:
    rows = np.random.default_rng(2).normal(100, 10, (3000, 40))
    expected = native_values(http, model="gru", series=rows[:50].tolist())
    body, headers = pack({"series": ("FP64", rows)}, parameters={"binary_data_output": True})
    response = http.post("/v2/models/gru/infer", content=body, headers=headers)
    forecast = unpack(response)["forecast"]
    assert forecast.shape == (3000, 10)
    np.testing.assert_allclose(forecast[:50], expected, rtol=1e-5, atol=1e-5)
    answer = infer(
        http, "gru", inputs=[{"name": "series", "shape": [3000, 40], "datatype": "FP64", "data": rows.tolist()}]
    )
    np.testing.assert_allclose(read(answer), forecast, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("indent", [None, 1])
def test_large_nested_tensors_of_three_axes_keep_the_shapes_beside_them(http: httpx.Client, indent: int | None) -> None:
    row = np.random.default_rng(3).normal(100, 10, 20_000).round(4).tolist()
    expected = native_values(http, model="lstm", series=[row[:-5]], horizon=3)
    column = [[[value] for value in row]]
    inputs = [
        {"name": "series", "shape": [1, 20_000, 1], "datatype": "FP64", "data": column},
        tensor([19_995], "INT32", "lengths"),
        tensor([3], "INT32", "horizon"),
    ]
    response = http.post("/v2/models/lstm/infer", content=json.dumps({"inputs": inputs}, indent=indent))
    assert response.status_code == 200, response.text
    np.testing.assert_allclose(read(response.json()), expected, rtol=1e-6)
    body = {"signature_name": "rollout", "inputs": {"series": column, "lengths": [19_995], "horizon": [3]}}
    predicted = http.post("/v1/models/lstm:predict", content=json.dumps(body, indent=indent))
    np.testing.assert_allclose(predicted.json()["outputs"], expected, rtol=1e-6)


FLOATS = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(FLOATS, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_any_tensor_of_32_bits_is_read_as_its_numbers(http: httpx.Client, rows: list[list[float]]) -> None:
    response = http.post("/forecast", json={"model": "lstm", "series": rows})
    body, headers = pack({"series": ("FP32", rows)}, parameters={"binary_data_output": True})
    answer = http.post("/v2/models/lstm/infer", content=body, headers=headers)
    if response.status_code == 422 or any("error" in record for record in response.json()["forecasts"]):
        assert_refused(answer, 400)
        return
    expected = [record["values"] for record in response.json()["forecasts"]]
    np.testing.assert_allclose(unpack(answer)["forecast"], expected, rtol=1e-6, atol=1e-6)
