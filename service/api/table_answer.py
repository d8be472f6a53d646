"""Answers of POST /forecast in other formats than JSON: tables, and JSON line by line."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.dependencies import Services
from service.api.media_types import NDJSON
from service.api.response_stream import PIECE_VALUES, StreamedAnswer
from service.api.schemas.forecast import head_to_json, series_to_json
from service.datasets.dataset import Finding
from service.domain.calendar import STAMP_VALUES
from service.errors import Flaw, InvalidRequest
from service.serving.block import BlockForecasts
from service.serving.forecast_columns import make_columns
from service.serving.forecast_plan import ForecastRequest
from service.serving.forecasting import Forecast

HEAD_HEADER = "X-Forecast-Head"
# Servers and proxies allow headers of eight thousand bytes, all together.
MOST_HEAD_BYTES = 4000
# An id in each row of a column, and again as it is written.
ID_COPIES = 2
# As many rows are written in the time that a hop to a thread takes.
FEW_SERIES = 100


def check_askable(asked: ForecastRequest) -> None:
    """Raises InvalidRequest for what has no place in a table of one row a step."""
    flaws = [
        Flaw(
            f"/{name}",
            "option_not_applicable",
            f"A table has no place for {name}: leave it out, or accept application/json or {NDJSON}.",
        )
        for name in ("all_steps", "explain", "fitted")
        if getattr(asked, name)
    ]
    if flaws:
        raise InvalidRequest(flaws)


async def answer_table(
    request: Request, services: Services, answer: Forecast, media_type: str, findings: Sequence[Finding]
) -> Response:
    """The answer as a table.

    Raises:
        InvalidRequest: the ids, which stand in each row, take more memory than all requests may together.
        TooMuchInFlight: there is no memory left for it now.
    """
    n_bytes = ID_COPIES * answer.plan.horizon * sum(map(len, _list_ids(answer)))
    if n_bytes > services.budget.limit_bytes:
        raise InvalidRequest.at(
            "/series",
            "answer_too_large",
            f"The answer's ids, which stand in each row, would take about {n_bytes} bytes: expected at most "
            f"{services.budget.limit_bytes}. Send shorter ids or fewer series, or accept application/json.",
        )
    request.scope["state"]["hold"].grow(n_bytes)
    pieces = await asyncio.to_thread(_write_table, answer, media_type, findings)
    return StreamedAnswer(pieces, media_type, {HEAD_HEADER: _write_header(answer, findings)})


def answer_lines(answer: Forecast, findings: Sequence[Finding]) -> Response:
    """The answer's head in a line, and each series in one; many are written while they are sent."""
    lines = _write_lines(answer, findings)
    if len(answer.series) <= FEW_SERIES and not answer.is_large:
        return Response(b"".join(lines), media_type=NDJSON)
    return _LinesAnswer(lines)


class _LinesAnswer(Response):
    """Pieces that are made one by one, as fast as the reader takes them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(media_type=NDJSON)
        # Its length is not known before it is written.
        self.raw_headers = [header for header in self.raw_headers if header[0] != b"content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while (piece := await asyncio.to_thread(next, self._pieces, None)) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _write_lines(answer: Forecast, findings: Sequence[Finding]) -> Iterator[bytes]:
    yield _dumps(head_to_json(answer, findings))
    per_series = answer.plan.horizon * (answer.plan.numbers_a_step + STAMP_VALUES)
    waiting: list[bytes] = []
    n_values = 0
    for series in answer.series:
        waiting.append(_dumps(series_to_json(series)))
        n_values += per_series + (0 if series.sequence is None else series.sequence.size)
        if n_values > PIECE_VALUES:
            yield b"".join(waiting)
            waiting, n_values = [], 0
    if waiting:
        yield b"".join(waiting)


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def _write_header(answer: Forecast, findings: Sequence[Finding]) -> str:
    """The head in letters of ASCII, with as many findings as a header has room for."""
    told = list(findings)
    while len(text := json.dumps(head_to_json(answer, told))) > MOST_HEAD_BYTES and told:
        told = told[: len(told) // 2]
    return text


def _write_table(answer: Forecast, media_type: str, findings: Sequence[Finding]) -> list[bytes]:
    # Imported by the first request that needs it: the library takes 50 MB and a tenth of a second.
    from service.datasets.answer_table import write_table

    return write_table(make_columns(answer), media_type, orjson.dumps(head_to_json(answer, findings)))


def _list_ids(answer: Forecast) -> Sequence[str]:
    block = answer.series
    return block.ids if isinstance(block, BlockForecasts) else [series.id for series in block]
