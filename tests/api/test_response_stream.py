"""A long answer that is written in pieces is the text of the whole."""

import asyncio
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.response_stream import StreamedAnswer, write_pieces
from service.api.schemas.forecast import to_json
from service.errors import Flaw
from service.serving.forecast_plan import ForecastPlan
from service.serving.forecasting import Forecast
from service.serving.postprocess import SeriesForecast


def make_series(i: int, horizon: int, steps: int) -> SeriesForecast:
    if i % 7 == 3:
        return SeriesForecast(str(i), flaw=Flaw(f"/series/{i}", "empty", "The series is empty."))
    values: Any = np.linspace(i, i + 1, horizon) if i % 2 else np.linspace(i, i + 1, horizon, dtype=np.float32)
    stamps = [f"2024-01-{day + 1:02}" for day in range(horizon)] if i % 3 else None
    sequence = np.arange(steps * horizon, dtype=np.float32).reshape(steps, horizon) if steps else None
    return SeriesForecast(
        str(i), values, stamps, sequence, {"80": (values - 1, values + 1)}, None, 5 if i % 5 else None
    )


@pytest.mark.parametrize("steps", [0, 1, 30, 2500])
@given(n=st.integers(1, 60), horizon=st.integers(1, 30))
def test_pieces_are_the_text_of_the_whole(steps: int, n: int, horizon: int) -> None:
    n = min(n, 2) if steps > 100 else 40 * n
    series = [make_series(i, horizon, steps if i % 2 else min(steps, 3)) for i in range(n)]
    answer = Forecast("m", 1, ForecastPlan("vector", horizon, False), series, n, True, 0.25, 1.5)
    pieces = list(write_pieces(answer))
    assert b"".join(pieces) == orjson.dumps(to_json(answer), option=orjson.OPT_SERIALIZE_NUMPY)
    assert max(map(len, pieces)) < 2_000_000


def test_each_piece_is_sent_by_itself() -> None:
    sent: list[Any] = []

    async def no_message() -> Any:
        raise AssertionError("the request has been read")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(StreamedAnswer([b"[1,", b"2", b"]"])({"type": "http"}, no_message, send))
    assert (b"content-length", b"5") in sent[0]["headers"]
    assert [(one["body"], one["more_body"]) for one in sent[1:]] == [(b"[1,", True), (b"2", True), (b"]", False)]
