"""Long answers of POST /forecast, written a piece at a time.

Writing JSON holds the interpreter: between two pieces, about a millisecond each, the event loop gets its turn, and no
answer stands in memory twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.json_response import write_json
from service.api.schemas.forecast import head_to_json, series_to_json
from service.datasets.dataset import Finding
from service.domain.calendar import STAMP_VALUES
from service.serving.forecasting import Forecast
from service.serving.postprocess import SeriesForecast

# About a millisecond of writing.
PIECE_VALUES = 50_000


class StreamedAnswer(Response):
    """An answer that is sent piece by piece, as fast as its reader takes it; by default JSON."""

    def __init__(
        self, pieces: list[bytes], media_type: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> None:
        length = {"content-length": str(sum(len(piece) for piece in pieces))}
        super().__init__(media_type=media_type, headers={**(headers or {}), **length})
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self._pieces.reverse()
        while self._pieces:
            piece = self._pieces.pop()
            await send({"type": "http.response.body", "body": piece, "more_body": bool(self._pieces)})


def write_pieces(forecast: Forecast, findings: Sequence[Finding] = ()) -> Iterator[bytes]:
    """The text of `to_json(forecast, findings)`, in pieces."""
    yield orjson.dumps(head_to_json(forecast, findings))[:-1] + b',"forecasts":['
    per_series = forecast.plan.horizon * (forecast.plan.numbers_a_step + STAMP_VALUES)
    waiting: list[Any] = []
    n_values = 0
    comma = b""
    for series in forecast.series:
        if series.sequence is not None and series.sequence.size > PIECE_VALUES:
            if waiting:
                yield comma + write_json(waiting)[1:-1]
                waiting, n_values, comma = [], 0, b","
            yield from _write_long(series, comma)
            comma = b","
            continue
        waiting.append(series_to_json(series))
        n_values += per_series + (0 if series.sequence is None else series.sequence.size)
        if n_values > PIECE_VALUES:
            yield comma + write_json(waiting)[1:-1]
            waiting, n_values, comma = [], 0, b","
    if waiting:
        yield comma + write_json(waiting)[1:-1]
    yield b"]}"


def _write_long(series: SeriesForecast, comma: bytes) -> Iterator[bytes]:
    """A series' forecast with the forecasts at so many steps that they are several pieces."""
    assert series.sequence is not None
    yield comma + write_json(series_to_json(series._replace(sequence=None)))[:-1] + b',"sequence":['
    count = max(1, PIECE_VALUES // series.sequence.shape[1])
    for first in range(0, len(series.sequence), count):
        yield (b"," if first else b"") + write_json(series.sequence[first : first + count])[1:-1]
    yield b"]}"
