"""The /examples routes."""

import asyncio

from fastapi import APIRouter, Request, Response

from service.api.dependencies import Injected
from service.api.json_response import list_response
from service.api.openapi import problems
from service.api.record_stream import hold_records, write_records
from service.api.response_stream import StreamedAnswer
from service.api.schemas.examples import ExampleAnswer, ExamplesAnswer
from service.datasets.examples import find_example, list_examples, load_example

router = APIRouter(tags=["examples"])


@router.get("/examples", response_model=ExamplesAnswer)
async def get_examples() -> Response:
    """Series to try the service with."""
    return list_response("examples", [example.to_dict() for example in list_examples()])


@router.get("/examples/{name}", response_model=ExampleAnswer, responses=problems(404, 429))
async def get_example(name: str, request: Request, services: Injected) -> Response:
    """One example, with its series as `POST /datasets` and `POST /forecast` take them."""
    facts = find_example(name).to_dict()
    records = await asyncio.to_thread(load_example, name)
    hold_records(request, records)
    return StreamedAnswer(await asyncio.to_thread(lambda: list(write_records(facts, records, {}))))
