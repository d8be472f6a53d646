"""Large answers, written a piece at a time: between two pieces other threads, the event loop's among them, go on."""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.responses import json_response
from service.api.schemas.forecast import head_to_json, series_to_json, to_json
from service.serving.answers import SeriesForecast
from service.serving.forecasting import Forecast

# About a millisecond of writing.
PIECE_NUMBERS = 50_000
# A hop to a thread costs less than writing more would keep the event loop.
INLINE_NUMBERS = 10_000
# What a series costs beside its numbers.
NUMBERS_OF_A_SERIES = 10


async def write_forecast(forecast: Forecast) -> Response:
    """A ForecastAnswer as a response."""
    n_numbers = sum(map(_count, forecast.series)) if len(forecast.series) <= INLINE_NUMBERS else INLINE_NUMBERS
    if n_numbers < INLINE_NUMBERS:
        return json_response(to_json(forecast))
    return PiecesAnswer(await asyncio.to_thread(lambda: list(_write(forecast))))


class PiecesAnswer(Response):
    """An answer that is sent a piece at a time, as fast as its client reads, and forgotten as it is sent."""

    def __init__(self, pieces: list[bytes]) -> None:
        length = b"%d" % sum(map(len, pieces))
        self.raw_headers = [(b"content-length", length), (b"content-type", b"application/json")]
        self.status_code = HTTPStatus.OK
        self.background = None
        self._pieces = pieces[::-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while self._pieces:
            piece = self._pieces.pop()
            await send({"type": "http.response.body", "body": piece, "more_body": bool(self._pieces)})


def _write(forecast: Forecast) -> Iterator[bytes]:
    yield orjson.dumps(head_to_json(forecast))[:-1] + b',"forecasts":['
    waiting: list[SeriesForecast] = []
    n_numbers, separator = 0, b""
    for one in forecast.series:
        waiting.append(one)
        n_numbers += _count(one)
        if n_numbers >= PIECE_NUMBERS:
            yield separator
            yield from _write_series(waiting)
            waiting, n_numbers, separator = [], 0, b","
    if waiting:
        yield separator
        yield from _write_series(waiting)
    yield b"]}"


def _write_series(series: list[SeriesForecast]) -> Iterator[bytes]:
    if len(series) > 1 or series[0].sequence is None:
        yield _dump([series_to_json(one) for one in series])[1:-1]
        return
    # One with all its steps, of which there may be a hundred thousand.
    one, steps = series[0], series[0].sequence
    assert steps is not None
    yield _dump(series_to_json(one._replace(sequence=None)))[:-1] + b',"sequence":['
    n_rows = max(1, PIECE_NUMBERS // max(1, steps.shape[1]))
    for first in range(0, len(steps), n_rows):
        yield (b"," if first else b"") + _dump(steps[first : first + n_rows])[1:-1]
    yield b"]}"


def _dump(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _count(one: SeriesForecast) -> int:
    n_numbers = NUMBERS_OF_A_SERIES
    if one.values is not None:
        n_numbers += len(one.values) * (1 + 2 * len(one.intervals or ()) + 2 * (one.timestamps is not None))
    if one.sequence is not None:
        n_numbers += one.sequence.size
    return n_numbers
