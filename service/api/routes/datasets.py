"""The /datasets routes."""

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api.dependencies import Injected, Services
from service.api.json_response import json_response, list_response
from service.api.media_types import JSON
from service.api.openapi import problems, request_body
from service.api.record_stream import choose_and_hold, write_page
from service.api.request_body import read_media_type, stream_body
from service.api.request_headers import TAG_PARAMETER, make_key_parameter, read_idempotency_key, read_tags
from service.api.response_stream import StreamedAnswer
from service.api.schemas.datasets import (
    DatasetAnswer,
    DatasetBody,
    DatasetsAnswer,
    FileQuery,
    SeriesPageAnswer,
    refuse_for_json,
    summarize,
)
from service.datasets.audit import audit
from service.datasets.dataset import Dataset
from service.datasets.file_options import FileOptions
from service.datasets.posted_series import keep_posted, read_posted
from service.datasets.reader import CSV, PARQUET
from service.datasets.series_page import join_page
from service.errors import DatasetDamaged, DatasetInUse

router = APIRouter(tags=["datasets"])

UPLOAD_BYTES = 2**21

EXAMPLES: dict[str, dict[str, Any]] = {
    "two shops, one day missing": {
        "series": {"north": [12, 15, None, 18, 20, 17, 9], "south": [3, 4, 4, 5, 7, 6, 2]},
        "freq": "D",
        "start": "2026-01-05",
    },
}
CSV_EXAMPLE = "unique_id,ds,y\nnorth,2026-01-05,12\nnorth,2026-01-06,15\nnorth,2026-01-07,11\nsouth,2026-01-05,3\n"
BODY: dict[str, Any] = request_body(DatasetBody, EXAMPLES)
BODY["requestBody"]["content"] |= {
    CSV: {"schema": {"type": "string"}, "examples": {"long format": {"summary": "long format", "value": CSV_EXAMPLE}}},
    PARQUET: {"schema": {"type": "string", "format": "binary"}},
}


@router.post(
    "/datasets",
    status_code=201,
    response_model=DatasetAnswer,
    responses=problems(400, 409, 413, 415, 422, 503, 507),
    openapi_extra={**BODY, "parameters": [make_key_parameter("the upload that was kept first")]},
)
async def upload(request: Request, services: Injected, asked: Annotated[FileQuery, Depends()]) -> Response:
    """Keeps series for training and forecasts: CSV or Parquet, long (`unique_id,ds,y`) or wide, or JSON."""
    key = read_idempotency_key(request)
    options, media_type = _read_form(request, asked)
    if media_type == JSON:
        body = await services.bodies.read(request, DatasetBody)
        dataset = await asyncio.to_thread(
            keep_posted, services.datasets, services.uploader.limits, body.series, body.freq, body.start, key=key
        )
    else:
        folder = await _save(request, services)
        dataset = await services.clients.serve(request, services.uploader.read(folder, media_type, options, key=key))
    headers = {"Location": services.locate(f"/datasets/{dataset.id}"), "ETag": f'"{dataset.tag}"'}
    return json_response(dataset.to_dict(), 201, headers)


@router.put(
    "/datasets/{dataset_id}",
    response_model=DatasetAnswer,
    responses=problems(400, 404, 409, 412, 413, 415, 422, 503, 507),
    openapi_extra={**BODY, "parameters": [make_key_parameter("the upload as it is"), TAG_PARAMETER]},
)
async def replace(
    dataset_id: str, request: Request, services: Injected, asked: Annotated[FileQuery, Depends()]
) -> Response:
    """Replaces the content of an upload at once: readers get the old or the new, and jobs what they began with."""
    key, tags = read_idempotency_key(request), read_tags(request)
    options, media_type = _read_form(request, asked)
    # Whoever has the wrong id finds out before the file is on its way.
    with contextlib.suppress(DatasetDamaged):
        await asyncio.to_thread(services.datasets.get, dataset_id)
    if media_type == JSON:
        body = await services.bodies.read(request, DatasetBody)

        def keep() -> Dataset:
            panel = read_posted(services.uploader.limits, body.series, body.freq, body.start)
            return services.datasets.add_in_place_of(dataset_id, panel, audit(panel), key=key, tags=tags)

        dataset = await asyncio.to_thread(keep)
    else:
        folder = await _save(request, services)
        exchange = partial(services.datasets.replace, dataset_id, key=key, tags=tags)
        reading = services.uploader.read_for(folder, media_type, options, exchange)
        dataset = await services.clients.serve(request, reading)
    return json_response(dataset.to_dict(), 200, {"ETag": f'"{dataset.tag}"'})


def _read_form(request: Request, asked: FileQuery) -> tuple[FileOptions, str]:
    """What is said of a file, and the media type. Raises InvalidRequest, UnsupportedMediaType."""
    options = asked.to_options([name for name, _ in request.query_params.multi_items()])
    media_type = read_media_type(request, (CSV, PARQUET, JSON))
    if media_type == JSON:
        refuse_for_json(options)
    return options, media_type


async def _save(request: Request, services: Services) -> Path:
    # What of a file is on its way to the disk; its size on disk has limits of its own.
    request.scope["state"]["hold"].grow(UPLOAD_BYTES)
    return await services.uploader.save(stream_body(request, services.settings.max_upload_bytes))


@router.get("/datasets", response_model=DatasetsAnswer, responses=problems(422, 503))
async def list_datasets(
    services: Injected, limit: Annotated[int, Query(ge=1, le=1000)] = 50, cursor: str | None = None
) -> Response:
    """Uploads, newest first."""
    datasets, next_cursor = await asyncio.to_thread(services.datasets.page, limit=limit, cursor=cursor)
    return list_response("datasets", [summarize(dataset) for dataset in datasets], next_cursor)


@router.get("/datasets/{dataset_id}", response_model=DatasetAnswer, responses=problems(404, 503))
async def get_dataset(dataset_id: str, services: Injected) -> Response:
    """An upload and what its audit found."""
    dataset = await asyncio.to_thread(services.datasets.get, dataset_id)
    return json_response(dataset.to_dict(), headers={"ETag": f'"{dataset.tag}"'})


@router.get("/datasets/{dataset_id}/series", response_model=SeriesPageAnswer, responses=problems(404, 422, 429, 503))
async def get_series(
    dataset_id: str,
    request: Request,
    services: Injected,
    ids: Annotated[list[str], Query(alias="id", description="Only series of these ids")] = [],  # noqa: B006 - copied for each
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    cursor: str | None = None,
) -> Response:
    """An upload's series with their values and times, in its order. A page of long series has fewer than `limit`."""
    outline = await asyncio.to_thread(services.datasets.outline, dataset_id)
    page = await choose_and_hold(request, services, outline, ids, limit=limit, cursor=cursor)
    values = await asyncio.to_thread(services.datasets.load_series, dataset_id, outline, page.places)
    pieces = await asyncio.to_thread(write_page, join_page(outline, page, values), page.next_cursor)
    return StreamedAnswer(pieces)


@router.delete("/datasets/{dataset_id}", status_code=204, responses=problems(404, 409, 503))
async def delete_dataset(dataset_id: str, services: Injected) -> Response:
    """Removes an upload that no queued or running job reads, and no schedule."""
    # What is damaged can be removed like anything else.
    with contextlib.suppress(DatasetDamaged):
        await asyncio.to_thread(services.datasets.get, dataset_id)
    job = await services.jobs.find_reader(dataset_id)
    if job is not None:
        raise DatasetInUse(f"Job {job.id!r} uses the data set. Wait until it ends, or cancel it.")
    schedule = await services.schedules.find_reader(dataset_id)
    if schedule is not None:
        raise DatasetInUse(f"Schedule {schedule.id!r} trains on the data set. Delete or change the schedule first.")
    await asyncio.to_thread(services.datasets.delete, dataset_id)
    return Response(status_code=204)
