"""Health, metrics, and the pages that explain the API."""

import asyncio
import contextlib
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from service.api.dependencies import Injected
from service.api.json_response import json_response
from service.api.openapi import problems
from service.errors import DatabaseUnavailable
from service.telemetry.metrics import CONTENT_TYPE

router = APIRouter(tags=["operations"])

# Probes ask often, and read little.
MOST_DAMAGED = 100
UPLOAD_DAMAGED = "is not what was kept: delete it and upload it again"

# From a package, so that the page works without the internet.
ASSETS_PACKAGE = "fastapi_offline"
ASSETS = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})


@router.get("/healthz")
async def healthz() -> Response:
    """The process lives."""
    return json_response({"status": "alive"})


@router.get("/readyz", responses=problems(503))
async def readyz(services: Injected) -> Response:
    """Requests may come: not while starting, draining, the store or the job database out of reach, or a model to be
    preloaded not loaded."""
    services.lifecycle.check()
    services.registry.check()
    await services.jobs.check()
    damaged = [{"entry": damage.entry, "reason": damage.reason} for damage in services.registry.damaged]
    damaged += [{"entry": f"upload {dataset_id}", "reason": UPLOAD_DAMAGED} for dataset_id in services.datasets.damaged]
    if not damaged:
        return json_response({"status": "ready"})
    # What is damaged is left out; a server that serves the rest is ready.
    named = damaged[:MOST_DAMAGED]
    return json_response({"status": "ready", "n_damaged": len(damaged), "damaged": named})


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: Injected) -> Response:
    """Prometheus metrics."""
    try:
        counts, workers = await services.jobs.count_all(), await services.jobs.count_workers()
        services.metrics.set_jobs(counts)
        services.metrics.set_job_database(is_up=True, workers=workers)
    except DatabaseUnavailable:
        # The other metrics are wanted most when something is wrong.
        services.metrics.set_jobs({})
        services.metrics.set_job_database(is_up=False)
    # The other numbers are worth having where the disk gives none.
    with contextlib.suppress(OSError):
        use = await asyncio.to_thread(services.datasets.quota.measure)
        services.metrics.set_uploads(use.total, services.settings.all_uploads_bytes)
    return Response(services.metrics.render(), media_type=CONTENT_TYPE)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request, services: Injected) -> Response:
    return get_swagger_ui_html(
        openapi_url=services.locate("/openapi.json"),
        title=request.app.title,
        swagger_js_url=services.locate("/docs/assets/swagger-ui-bundle.js"),
        swagger_css_url=services.locate("/docs/assets/swagger-ui.css"),
        swagger_favicon_url=services.locate("/docs/assets/favicon.png"),
    )


@router.get("/docs/assets/{name}", include_in_schema=False)
async def docs_asset(name: str) -> Response:
    if name not in ASSETS:
        raise HTTPException(404)
    return FileResponse(str(files(ASSETS_PACKAGE) / "static" / name), headers={"Cache-Control": "max-age=86400"})
