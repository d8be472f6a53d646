"""The routes that are called without the framework answer as it would."""

import asyncio
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.routing import APIRoute

from service.api.application import FAST_ROUTES
from service.api.dependencies import Injected, Services
from service.api.forecast_fast_path import find_endpoint
from service.app import build_app
from service.settings import Settings
from tests.api.server import assert_problem

INFER = [route for route in FAST_ROUTES if route[2].endswith("/infer")]


async def plain(request: Request, services: Injected) -> Response:
    return Response()


async def with_a_header(request: Request, services: Injected, x_tenant: Annotated[str, Header()]) -> Response:
    return Response()


async def without_services(request: Request) -> Response:
    return Response()


def nobody() -> None:
    raise HTTPException(403)


@pytest.mark.parametrize("route", [*FAST_ROUTES[:1], *INFER], ids=lambda route: route[2])
def test_what_a_fast_route_refuses_in_the_frameworks_way_keeps_its_status(
    route: tuple[object, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_app(Settings(models_store=tmp_path / "store", state_dir=tmp_path / "state"))
    services: Services = app.state.services

    async def refuse(request: Request) -> object:
        raise HTTPException(418, "No coffee here.", {"X-Pot": "tea"})

    monkeypatch.setattr(services.bodies, "read_object", refuse)
    monkeypatch.setattr(services.bodies, "read_protocol", lambda request, read: refuse(request))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
            return await http.request(route[1], route[2].format(name="lstm", version="1"), json={})

    response = asyncio.run(ask())
    if route in INFER:
        assert (response.status_code, response.json()) == (418, {"error": "No coffee here."})
    else:
        document = assert_problem(response, 418, "refused")
        assert document["detail"] == "No coffee here."
    assert response.headers["x-pot"] == "tea"


def test_every_fast_route_is_one_of_the_application() -> None:
    assert INFER
    for module, method, path in FAST_ROUTES:
        found = [route for route in module.router.routes if isinstance(route, APIRoute) and route.path == path]
        assert any(method in (route.methods or ()) for route in found)


def test_a_path_that_fits_a_template_and_more_goes_to_the_framework(tmp_path: Path) -> None:
    app = build_app(Settings(models_store=tmp_path / "store", state_dir=tmp_path / "state"))

    async def ask(path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
            return (await http.post(path, json={})).status_code

    assert [asyncio.run(ask(path)) for path in ("/v2/models/a/b/infer", "/v2/models//infer")] == [404, 404]


def test_a_route_that_takes_the_request_and_the_services_may_be_called_directly() -> None:
    router = APIRouter()
    router.post("/x")(plain)
    app = FastAPI()
    app.include_router(router)
    assert find_endpoint(app, router, "POST", "/x") is plain


@pytest.mark.parametrize("where", ["app", "router", "route"])
def test_a_dependency_that_would_be_skipped_keeps_the_application_from_being_made(where: str) -> None:
    needed = [Depends(nobody)]
    router = APIRouter(dependencies=needed if where == "router" else [])
    router.post("/x", dependencies=needed if where == "route" else [])(plain)
    app = FastAPI(dependencies=needed if where == "app" else [])
    app.include_router(router)
    with pytest.raises(TypeError, match="fast path would skip"):
        find_endpoint(app, router, "POST", "/x")


@pytest.mark.parametrize("endpoint", [with_a_header, without_services])
def test_so_does_a_parameter(endpoint: object) -> None:
    router = APIRouter()
    router.post("/x")(endpoint)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="fast path would skip"):
        find_endpoint(FastAPI(), router, "POST", "/x")
