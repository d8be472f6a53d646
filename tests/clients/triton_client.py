"""tritonclient[http], unmodified, as its documentation uses it."""

import asyncio
from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from native import HOST, MODELS, SERIES, assert_same, native, native_values, raised, run

client = triton.InferenceServerClient(HOST)
DATATYPES = {"FP32": np.float32, "FP64": np.float64, "FP16": np.float16}


def tensor(name: str, values: Any, datatype: str, *, binary: bool = True, module: Any = triton) -> Any:
    array = np.asarray(values)
    found = module.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, binary_data=binary)
    return found


def series(datatype: str = "FP64", *, binary: bool = True) -> Any:
    return tensor("series", SERIES.astype(DATATYPES[datatype]), datatype, binary=binary)


def it_says_that_the_server_and_its_models_are_ready() -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("lstm")
    assert client.is_model_ready("lstm", "1")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("lstm", "9")


def it_reads_metadata_configuration_and_index() -> None:
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    model = client.get_model_metadata("gru")
    assert model["inputs"][0]["name"] == "series"
    assert model["versions"] == ["1"]
    assert client.get_model_metadata("gru", "1")["outputs"][0]["name"] == "forecast"
    assert client.get_model_config("gru")["platform"] == "onnxruntime_onnx"
    assert {entry["name"] for entry in client.get_model_repository_index()} == set(MODELS)


def it_gets_the_numbers_of_a_forecast_in_json_and_bytes() -> None:
    for model in MODELS:
        expected = native_values(model=model, series=SERIES.tolist())
        for datatype, binary in (("FP32", True), ("FP64", True), ("FP64", False), ("FP16", True)):
            result = client.infer(model, [series(datatype, binary=binary)], request_id="q")
            assert result.get_response()["id"] == "q"
            assert_same(result.as_numpy("forecast"), expected)
            wanted = [triton.InferRequestedOutput("forecast", binary_data=not binary)]
            assert_same(client.infer(model, [series(datatype)], "1", wanted).as_numpy("forecast"), expected)


def it_compresses_either_way() -> None:
    expected = native_values(model="lstm", series=SERIES.tolist())
    for algorithm in ("gzip", "deflate"):
        result = client.infer(
            "lstm",
            [series()],
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        assert_same(result.as_numpy("forecast"), expected)


def it_sends_lengths_horizon_ids_and_levels() -> None:
    ragged = [SERIES[0].tolist(), SERIES[1, :4].tolist()]
    inputs = [
        series(),
        tensor("lengths", np.array([6, 4], np.int32), "INT32"),
        tensor("horizon", np.array([3], np.int64), "INT64"),
        tensor("ids", np.array(["north", "süd"], np.object_), "BYTES"),
    ]
    result = client.infer("zero-shot", inputs, parameters={"level": "80,95"})
    records = native(model="zero-shot", series=ragged, horizon=3, level=[80, 95])
    assert_same(result.as_numpy("forecast"), [record["values"] for record in records])
    assert_same(result.as_numpy("upper_95"), [record["intervals"]["95"]["upper"] for record in records])
    assert [name.decode() for name in result.as_numpy("ids")] == ["north", "süd"]
    text = [tensor("ids", np.array(["a", "b"], np.object_), "BYTES", binary=False), series()]
    assert client.infer("lstm", text, outputs=[triton.InferRequestedOutput("ids")]).as_numpy("ids").tolist() == [
        b"a",
        b"b",
    ]


def it_waits_for_answers_at_once() -> None:
    expected = native_values(model="lstm", series=SERIES.tolist())
    pending = [client.async_infer("lstm", [series()]) for _ in range(4)]
    for request in pending:
        assert_same(request.get_result().as_numpy("forecast"), expected)


def it_raises_its_own_exception_with_our_message() -> None:
    unknown = raised(lambda: client.infer("nobody", [series()]), triton.InferenceServerException)
    assert unknown.status() == "404"
    assert "There is no model named 'nobody'" in unknown.message()
    misspelt = raised(
        lambda: client.infer("lstm", [series()], parameters={"horizn": 3}), triton.InferenceServerException
    )
    assert misspelt.status() == "400"
    assert "Did you mean 'horizon'?" in misspelt.message()
    wrong = tensor("series", SERIES[0], "FP64")
    assert "[batch, time]" in raised(lambda: client.infer("lstm", [wrong]), triton.InferenceServerException).message()
    assert raised(lambda: client.load_model("lstm"), triton.InferenceServerException).status() == "404"


def its_asynchronous_client_works_too() -> None:
    async def ask() -> Any:
        async with triton_aio.InferenceServerClient(HOST) as asynchronous:
            assert await asynchronous.is_server_ready()
            given = tensor("series", SERIES, "FP64", module=triton_aio)
            return (await asynchronous.infer("lstm", [given])).as_numpy("forecast")

    assert_same(asyncio.run(ask()), native_values(model="lstm", series=SERIES.tolist()))


run(
    it_says_that_the_server_and_its_models_are_ready,
    it_reads_metadata_configuration_and_index,
    it_gets_the_numbers_of_a_forecast_in_json_and_bytes,
    it_compresses_either_way,
    it_sends_lengths_horizon_ids_and_levels,
    it_waits_for_answers_at_once,
    it_raises_its_own_exception_with_our_message,
    its_asynchronous_client_works_too,
)
