"""kserve's InferenceRESTClient, unmodified, and the types of its time-series route."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import httpx
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from kserve.protocol.rest.timeseries import ForecastOptions, ForecastRequest, ForecastResponse, TimeSeriesInput
from native import MODELS, SERIES, URL, assert_same, native, native_values, raised, run


def ask(protocol: str, call: Any) -> Any:
    """What a call of a client gives, each in a loop of its own."""

    async def answer() -> Any:
        async with InferenceRESTClient(RESTConfig(protocol=protocol)) as client:
            work: Coroutine[Any, Any, Any] = call(client)
            return await work

    return asyncio.run(answer())


def request(model: str, *, binary: bool, **fields: Any) -> InferRequest:
    given = InferInput("series", list(SERIES.shape), "FP64")
    given.set_data_from_numpy(SERIES, binary_data=binary)
    return InferRequest(model, [given], **fields)


def it_says_that_the_server_and_its_models_are_ready() -> None:
    assert ask("v2", lambda client: client.is_server_live(URL)) is True
    assert ask("v2", lambda client: client.is_server_ready(URL)) is True
    for protocol in ("v1", "v2"):
        assert ask(protocol, lambda client: client.is_model_ready(URL, "lstm")) is True
    assert ask("v2", lambda client: client.is_model_ready(URL, "nobody")) is False


def it_gets_the_numbers_of_a_forecast_in_json_and_bytes() -> None:
    for model in MODELS:
        expected = native_values(model=model, series=SERIES.tolist())
        for binary in (False, True):
            given = request(
                model,
                binary=binary,
                request_id="q",
                request_outputs=[RequestedOutput("forecast", {"binary_data": binary})],
            )
            answer = ask("v2", lambda client, given=given, model=model: client.infer(URL, given, model_name=model))
            assert answer.id == "q"
            assert_same(answer.outputs[0].as_numpy(), expected)


def it_predicts_by_the_older_protocol() -> None:
    answer = ask("v1", lambda client: client.infer(URL, {"instances": SERIES.tolist()}, model_name="lstm"))
    assert_same(answer["predictions"], native_values(model="lstm", series=SERIES.tolist()))


def it_raises_its_own_exception_with_our_message() -> None:
    given = request("nobody", binary=False)
    unknown = raised(
        lambda: ask("v2", lambda client: client.infer(URL, given, model_name="nobody")), httpx.HTTPStatusError
    )
    assert "There is no model named 'nobody'" in str(unknown)
    wrong = raised(
        lambda: ask("v1", lambda client: client.infer(URL, {"instances": [1.0]}, model_name="lstm")),
        httpx.HTTPStatusError,
    )
    assert "is one series of three points" in str(wrong)
    assert wrong.response.status_code == 400


def its_types_of_time_series_are_ours() -> None:
    series = [[1.0, 2.0, 5.0, 3.0] * 6, [3.0, 1.0, 2.0] * 8]
    asked = ForecastRequest(
        model="zero-shot",
        inputs=[
            TimeSeriesInput(
                type="univariate_time_series",
                name=f"s{i}",
                series=row,
                frequency=frequency,
                start_timestamp="2026-01-31",
            )
            for i, (row, frequency) in enumerate(zip(series, ("M", "day"), strict=True))
        ],
        options=ForecastOptions(horizon=3, quantiles=[0.1, 0.9]),
    )
    headers = {"Content-Type": "application/json"}
    response = httpx.post(f"{URL}/v1/timeseries/forecast", content=asked.model_dump_json(), headers=headers)
    answer = ForecastResponse.model_validate_json(response.content)
    assert answer.status == "completed"
    for i, (content, freq) in enumerate(zip(answer.outputs[0].content, ("MS", "D"), strict=True)):
        [record] = native(model="zero-shot", series=series[i], horizon=3, quantiles=[0.1, 0.9], freq=freq)
        assert content.name == f"s{i}"
        assert_same(content.mean_forecast, record["values"])
        assert_same(content.quantiles["0.9"], record["quantiles"]["0.9"])
    assert "lstm" in httpx.get(f"{URL}/v1/timeseries/models").json()


run(
    it_says_that_the_server_and_its_models_are_ready,
    it_gets_the_numbers_of_a_forecast_in_json_and_bytes,
    it_predicts_by_the_older_protocol,
    it_raises_its_own_exception_with_our_message,
    its_types_of_time_series_are_ours,
)
