"""Bodies of POST /forecast that are tables: an Arrow stream, Parquet or CSV, with the options in the address."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request

from service.api.dependencies import Services
from service.api.media_types import ARROW
from service.api.request_body import ARRAY_BYTES, stream_body
from service.api.schemas.datasets import FileQuery
from service.api.schemas.forecast import ForecastBody
from service.api.schemas.forecast_query import read_fields
from service.api.validation import check
from service.datasets.dataset import Dataset, Finding
from service.datasets.file_options import FileOptions
from service.datasets.upload_limits import UploadLimits
from service.domain.frequency import check_frequency
from service.domain.panel import Panel
from service.errors import BodyTooLarge, Flaw, InvalidRequest
from service.serving.forecast_plan import ForecastRequest

# What of a file is on its way to the disk.
FILE_BYTES = 2**21
# A series' own array, id and place.
SERIES_BYTES = 300


class TableBody(NamedTuple):
    """The series, what was asked of them, and what was found when they were read."""

    panel: Panel
    asked: ForecastRequest
    findings: tuple[Finding, ...]


async def read_table(request: Request, services: Services, media_type: str) -> TableBody:
    """Reads a body of one of `TABLES`. Nothing of it is kept.

    Raises:
        UnsupportedMediaType, BodyTooLarge, MalformedBody, TooMuchInFlight, UploadsFull, StorageUnavailable.
        InvalidRequest: an unknown parameter, or a table that can't be read.
    """
    given = request.query_params.multi_items()
    options = FileQuery.read([(name, value) for name, value in given if name in FileQuery.names()])
    fields = read_fields([(name, value) for name, value in given if name not in FileQuery.names()])
    asked = check(fields, ForecastBody).to_request()
    if asked.freq is not None:
        check_frequency(asked.freq)
    limits = UploadLimits(
        min(services.bodies.limits.values, services.uploader.limits.max_points),
        min(services.bodies.limits.series, services.uploader.limits.max_series),
    )
    if media_type == ARROW:
        _refuse_for_arrow(options)
        return await _read_arrow(request, services, asked, options, limits)
    hold = request.scope["state"]["hold"]
    hold.grow(FILE_BYTES)

    def hold_series(facts: Dataset) -> None:
        limits.check_series(facts.n_series)
        limits.check_points(facts.n_points)
        hold.grow(ARRAY_BYTES * facts.n_points + SERIES_BYTES * facts.n_series)

    folder = await services.uploader.save(_stream(request, services.settings.max_body_bytes))
    reading = services.uploader.read_panel(folder, media_type, options, asked.freq, hold_series)
    panel, findings = await services.clients.serve(request, reading)
    return TableBody(panel, asked, findings)


async def _stream(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in stream_body(request, limit_bytes):
        size += len(chunk)
        if size > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        yield chunk


async def _read_arrow(
    request: Request, services: Services, asked: ForecastRequest, options: FileOptions, limits: UploadLimits
) -> TableBody:
    # Imported by the first request that needs it: the library takes 50 MB and a tenth of a second.
    from service.datasets.arrow_messages import measure

    stream = await services.bodies.read_bytes(request)
    size = await asyncio.to_thread(measure, stream, limits.max_points, services.settings.max_body_bytes)
    request.scope["state"]["hold"].grow(size.n_bytes + ARRAY_BYTES * size.n_values)
    async with services.bodies.turns:
        found = await asyncio.to_thread(_read_stream, stream, limits, options, asked.freq)
    return TableBody(found.panel, asked, found.findings)


def _read_stream(stream: Any, limits: UploadLimits, options: FileOptions, freq: str | None) -> Any:
    from service.datasets.arrow_stream import read_stream

    return read_stream(stream, limits, options, freq)


def _refuse_for_arrow(options: FileOptions) -> None:
    named: Mapping[str, Any] = options.to_dict()
    flaws = [
        Flaw(f"/{name}", "option_not_applicable", f"{name} is for CSV and Parquet: an Arrow stream's types say it.")
        for name in ("decimal", "thousands", "format")
        if name in named
    ]
    if flaws:
        raise InvalidRequest(flaws)
