"""The page at /, and its files."""

from fastapi import APIRouter, Request, Response

from service.api.dependencies import Injected
from service.api.page_files import answer_file, answer_index

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request, services: Injected) -> Response:
    """Forecasts, training, models and comparisons, to look at."""
    return answer_index(request, services.settings.root_path)


@router.get("/web/{path:path}")
async def page_file(path: str, request: Request) -> Response:
    """A script, a style or a picture of the page."""
    return answer_file(request, path)
