"""examples/outfielder.http is what /openapi.json makes of it, and each of its requests is answered."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from service.store.pretrained import publish_pretrained
from tests.api.server import running
from tests.engines.versions import add_fast_version
from tests.examples.http_collection import PATH, generate, read_schema
from tests.serving.models import add_kinds

IDS = {"POST /train": "job_id", "POST /datasets": "dataset_id", "POST /schedules": "schedule_id"}
VARIABLE = re.compile(r"\{\{([^{}]+)\}\}")


@dataclass(frozen=True)
class Written:
    """A request as the file has it, with its variables."""

    title: str
    method: str
    address: str
    headers: dict[str, str]
    body: str | None


def read(text: str) -> tuple[dict[str, str], list[Written]]:
    """The variables and the requests of a file."""
    head, *parts = re.split(r"^### ", text, flags=re.MULTILINE)
    variables = dict(re.findall(r"^@(\w+) = (.*)$", head, flags=re.MULTILINE))
    return variables, [_read_request(part) for part in parts]


def _read_request(part: str) -> Written:
    title, *lines = part.rstrip("\n").split("\n")
    rest = "\n".join(line for line in lines if not line.startswith("#"))
    head, _, body = rest.partition("\n\n")
    request, *headers = head.split("\n")
    method, address = request.split(" ", 1)
    return Written(title, method, address, dict(line.split(": ", 1) for line in headers), body or None)


def fill(text: str, variables: dict[str, str]) -> str:
    return VARIABLE.sub(lambda match: variables[match[1]], text)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the models that the collection names. Nothing trains: jobs wait in the queue."""
    folder = tmp_path_factory.mktemp("collection")
    store = folder / "store"
    add_kinds(store)
    add_fast_version(store, "gru")
    publish_pretrained(store)
    for _ in range(2):
        add_fast_version(store, "demo")
    with running(store, folder / "state") as url:
        yield url


def test_the_collection_is_what_the_schema_makes_of_it() -> None:
    assert PATH.read_text() == generate(read_schema()), "write it anew: make http-collection"


def test_every_route_that_takes_text_is_in_the_collection() -> None:
    _, requests = read(PATH.read_text())
    found = {request.title.split(":")[0] for request in requests}
    routes = {f"{method.upper()} {path}" for path, methods in read_schema()["paths"].items() for method in methods}
    assert found == routes


def test_every_request_of_the_collection_is_answered_with_success(url: str) -> None:
    variables, requests = read(PATH.read_text())
    assert variables["base"] == "http://localhost:8000"
    variables["base"] = url
    schema = read_schema()["paths"]
    with httpx.Client(timeout=60) as http:
        for request in requests:
            address = fill(request.address, variables)
            body = None if request.body is None else fill(request.body, variables)
            headers = {name: fill(value, variables) for name, value in request.headers.items()}
            with http.stream(request.method, address, content=body, headers=headers) as answer:
                # A job's events end with the job, and here no job begins.
                if not address.endswith("/events"):
                    answer.read()
            route = request.title.split(":")[0]
            method, path = route.split()
            # Nor has one a result.
            is_early = answer.status_code == 409 and address.endswith("/result")
            assert answer.is_success or is_early, (request.title, answer.text)
            assert str(answer.status_code) in schema[path][method.lower()]["responses"], request.title
            # As a person does who reads the answer.
            if route in IDS and "id" in answer.json():
                variables[IDS[route]] = answer.json()["id"]
