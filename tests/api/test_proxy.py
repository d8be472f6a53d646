"""Behind proxies and in front of browsers: sub-paths, HEAD, other origins, idle connections, buffers."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import ValidationError
from starlette.responses import StreamingResponse
from starlette.types import Message

from service.api.head_requests import HeadMiddleware
from service.app import build_app, make_config
from service.settings import Settings
from tests.api.server import assert_problem, client, running

ORIGIN = "https://shop.example.com"


@pytest.fixture(scope="module")
def below(stored_kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server that a proxy publishes below a path, with a key, for pages of one origin."""
    state_dir = tmp_path_factory.mktemp("below")
    fields = {
        "root_path": "/forecasts/",
        "api_keys": "key",
        "cors_origins": f"{ORIGIN}/, https://other.example.com:8443",
    }
    with client(stored_kinds, state_dir, **fields) as http:
        http.headers["authorization"] = "Bearer key"
        yield http


@pytest.mark.parametrize("prefix", ["", "/forecasts"], ids=["stripped", "not stripped"])
def test_below_a_sub_path_every_link_leads_back_to_it(below: httpx.Client, prefix: str) -> None:
    assert '<base href="/forecasts/">' in below.get(f"{prefix}/").text
    page = below.get(f"{prefix}/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 3
    for link in links:
        assert link.startswith("/forecasts/docs/assets/")
        assert len(below.get(link).content) > 1000
    assert "'/forecasts/openapi.json'" in page.text
    schema = below.get(f"{prefix}/openapi.json").json()
    assert schema["servers"] == [{"url": "/forecasts"}]
    # The page sends what it shows to its server's path and the route's.
    answer = below.post(f"{prefix}/forecast", json={"model": "lstm", "series": [1, 2, 3]})
    assert answer.status_code == 200
    made = below.post(f"{prefix}/datasets", json={"series": [1, 2, 3]})
    assert re.fullmatch(r"/forecasts/datasets/[0-9a-f]+", made.headers["location"])
    assert below.get(made.headers["location"]).json()["id"] == made.json()["id"]
    job = below.post(f"{prefix}/train", json={"architecture": "naive"})
    assert below.get(job.headers["location"]).json()["id"] == job.json()["id"]


def test_below_a_sub_path_the_open_pages_ask_for_no_key_and_the_others_do(below: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json", "/"):
        assert below.get(f"/forecasts{path}", headers={"authorization": ""}).status_code < 400
    assert_problem(below.get("/forecasts/models", headers={"authorization": ""}), 401, "unauthorized")
    assert_problem(below.get("/forecastsmodels"), 404, "route_not_found")
    assert '<base href="/forecasts/">' in below.get("/forecasts").text


def test_metrics_name_a_route_and_not_the_path_below_which_it_stands(below: httpx.Client) -> None:
    below.get("/forecasts/models/lstm")
    assert 'route="/models/{name}"' in below.get("/metrics").text
    assert 'route="/forecasts' not in below.get("/metrics").text


@pytest.mark.parametrize(
    "path",
    [
        "/healthz", "/readyz", "/metrics", "/docs", "/", "/openapi.json", "/models", "/models/lstm", "/jobs",
        "/datasets", "/leaderboard", "/models/lstm/versions/1", "/docs/assets/swagger-ui.css", "/models/nobody",
        "/web/app.js", "/nothing", "/jobs/none",
    ],
)  # fmt: skip
def test_head_answers_as_get_does_without_a_body(http: httpx.Client, path: str) -> None:
    get, head = http.get(path), http.head(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    varying = {"date", "x-request-id"} | ({"content-length"} if path == "/metrics" else set())
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }


def test_head_leaves_the_connection_in_order(http: httpx.Client) -> None:
    for _ in range(3):
        assert http.head("/models").status_code == 200
        assert http.get("/models").json()["models"]


def test_head_of_an_event_stream_ends_with_its_headers(http: httpx.Client) -> None:
    job = http.post("/train", json={"architecture": "naive"}).json()
    head = http.head(f"/jobs/{job['id']}/events")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert http.post(f"/jobs/{job['id']}/cancel").status_code == 202


@pytest.mark.anyio
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_head_waits_for_no_part_of_a_stream(spec_version: str) -> None:
    async def events() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b"never"

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    sent: list[Message] = []
    scope = {"type": "http", "method": "HEAD", "path": "/", "headers": [], "asgi": {"spec_version": spec_version}}
    await asyncio.wait_for(HeadMiddleware(StreamingResponse(events()))(scope, receive, send), 60)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (sent[0]["status"], sent[1]["body"], sent[1]["more_body"]) == (200, b"", False)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/models", "GET, HEAD"),
        ("HEAD", "/forecast", "POST"),
        ("PATCH", "/datasets", "GET, HEAD, POST"),
        ("POST", "/datasets/1", "DELETE, GET, HEAD, PUT"),
        ("PUT", "/models/lstm/versions/1", "DELETE, GET, HEAD"),
    ],
)
def test_a_wrong_method_is_answered_with_all_that_the_path_has(
    http: httpx.Client, method: str, path: str, allowed: str
) -> None:
    response = http.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        problem = assert_problem(response, 405, "method_not_allowed")
        assert allowed in problem["detail"]


def test_events_are_not_gathered_by_proxies(http: httpx.Client) -> None:
    job = http.post("/train", json={"architecture": "naive"}).json()
    with http.stream("GET", f"/jobs/{job['id']}/events") as response:
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"] == "no-store"
        assert http.post(f"/jobs/{job['id']}/cancel").status_code == 202
        assert "event: done" in response.read().decode()


def preflight(http: httpx.Client, origin: str, method: str = "POST", path: str = "/forecast") -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type",
        "authorization": "",
    }
    return http.options(path, headers=headers)


@pytest.mark.parametrize("origin", [ORIGIN, "https://other.example.com:8443"])
def test_a_page_of_an_allowed_origin_may_ask_without_a_key_and_call_with_one(below: httpx.Client, origin: str) -> None:
    for path in ("/forecast", "/forecasts/forecast", "/models/lstm/versions/1"):
        for method in ("POST", "GET", "PUT", "DELETE"):
            asked = preflight(below, origin, method, path)
            assert asked.status_code == 200
            assert asked.headers["access-control-allow-origin"] == origin
            assert method in asked.headers["access-control-allow-methods"]
            assert "authorization" in asked.headers["access-control-allow-headers"]
    for answer in (
        below.post("/forecast", json={"model": "lstm", "series": [1, 2]}, headers={"origin": origin}),
        below.get("/models/nobody", headers={"origin": origin}),
        below.get("/models", headers={"origin": origin, "authorization": ""}),
    ):
        assert answer.headers["access-control-allow-origin"] == origin
        exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
        assert exposed == {"x-request-id", "location", "retry-after", "etag"}
        assert "Origin" in answer.headers["vary"]


def test_a_page_of_another_origin_may_not(below: httpx.Client) -> None:
    for origin in ("https://evil.example.com", f"{ORIGIN}.evil.com", "http://shop.example.com", "null"):
        refused = preflight(below, origin)
        assert_problem(refused, 403, "cross_origin_refused")
        assert "access-control-allow-origin" not in refused.headers
        answer = below.get("/models", headers={"origin": origin})
        assert "access-control-allow-origin" not in answer.headers


def test_no_page_may_where_no_origin_is_set(http: httpx.Client) -> None:
    refused = http.get("/models", headers={"origin": ORIGIN})
    assert_problem(refused, 403, "cross_origin_refused")
    assert "access-control-allow-origin" not in refused.headers
    assert_problem(preflight(http, ORIGIN), 405, "method_not_allowed")


def test_every_page_may_where_any_origin_is_allowed(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path, cors_origins="*") as http:
        assert preflight(http, ORIGIN).headers["access-control-allow-origin"] == "*"
        assert http.get("/models", headers={"origin": "null"}).headers["access-control-allow-origin"] == "*"


def test_an_idle_connection_is_closed_after_the_time_that_is_set(stored_kinds: Path, tmp_path: Path) -> None:
    with running(stored_kinds, tmp_path, keep_alive_seconds=1) as url:
        where = urlsplit(url)
        with socket.create_connection((where.hostname or "", where.port or 0), timeout=30) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b'"alive"' not in answer:
                read = connection.recv(65536)
                assert read, "closed before it had answered"
                answer += read
            # Not before it has been idle: the server's end comes as an empty read.
            assert connection.recv(65536) == b""


@pytest.mark.parametrize(("fields", "seconds"), [({}, 75), ({"keep_alive_seconds": 620}, 620)])
def test_connections_outlive_those_of_common_proxies_or_as_long_as_is_set(
    tmp_path: Path, fields: dict[str, Any], seconds: int
) -> None:
    settings = Settings(models_store=tmp_path, state_dir=tmp_path, **fields)
    assert make_config(build_app(settings), settings).timeout_keep_alive == seconds


@pytest.mark.parametrize("origins", ["shop.example.com", "https://shop.example.com/page", "https://a b"])
def test_an_origin_that_no_browser_sends_is_refused_when_the_server_starts(origins: str) -> None:
    with pytest.raises(ValidationError, match="expected one such as"):
        Settings(cors_origins=origins)


@pytest.mark.parametrize(("given", "path"), [("", ""), ("/", ""), ("/a/b/", "/a/b"), ("/a", "/a")])
def test_a_root_path_begins_with_a_slash_and_ends_without_one(given: str, path: str) -> None:
    assert Settings(root_path=given).root_path == path


@pytest.mark.parametrize("path", ["forecasts", "/a b", "/a?b", "//a", "https://example.com/a"])
def test_what_is_no_path_is_no_root_path(path: str) -> None:
    with pytest.raises(ValidationError, match="expected a path"):
        Settings(root_path=path)
