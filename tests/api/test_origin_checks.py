"""Without keys: which hosts are served, and which pages in a browser may call."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.abuse.wire import request, send
from tests.api.server import assert_problem, client, running

FORECAST = {"model": "lstm", "series": [1, 2, 3, 4]}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def open_http(stored_kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server without keys that one more name and one more origin may reach."""
    state_dir = tmp_path_factory.mktemp("state")
    fields = {"allowed_hosts": "Forecasts.example, other", "cors_origins": "https://shop.example"}
    with client(stored_kinds, state_dir, **fields) as http:
        yield http


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "[2001:db8::1]",
        "x" * 5000,
        "",
    ],
)
@pytest.mark.parametrize("path", ["/train", "/models", "/metrics", "/docs", "/nowhere"])
def test_a_name_that_is_not_the_servers_is_refused(open_http: httpx.Client, host: str, path: str) -> None:
    assert_problem(open_http.get(path, headers={"Host": host}), 403, "host_refused")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:1234",
        "app.localhost",
        "localhost.",
        "127.0.0.1:80",
        "127.1.2.3",
        "[::1]:80",
        "forecasts.example:443",
    ],
)
def test_names_of_this_machine_and_those_of_the_setting_are_served(open_http: httpx.Client, host: str) -> None:
    assert open_http.post("/forecast", json=FORECAST, headers={"Host": host}).status_code == 200


def test_two_hosts_or_none_are_refused_but_of_http_1_0(open_http: httpx.Client) -> None:
    url = str(open_http.base_url)
    [answer] = send(url, b"GET /models HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.status == 403
    [answer] = send(url, b"GET /models HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n")
    assert answer.status == 403
    [answer] = send(url, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert answer.status == 200


@pytest.mark.parametrize(
    "head",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://shop.example.evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
    ids=str,
)
def test_a_page_of_another_origin_is_refused(open_http: httpx.Client, head: dict[str, str]) -> None:
    for path in ("/forecast", "/train", "/jobs/any/cancel"):
        assert_problem(open_http.post(path, json=FORECAST, headers=head), 403, "cross_origin_refused")
    if head.get("Sec-Fetch-Mode") != "navigate":
        for path in ("/models", "/metrics", "/jobs"):
            assert_problem(open_http.get(path, headers=head), 403, "cross_origin_refused")


def test_the_servers_own_pages_and_those_of_the_setting_may_call(open_http: httpx.Client) -> None:
    own = f"http://{open_http.base_url.netloc.decode()}"
    for head in (
        {"Origin": own, "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://forecasts.example", "Host": "forecasts.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    ):
        assert open_http.post("/forecast", json=FORECAST, headers=head).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert open_http.get("/docs", headers=link).status_code == 200


@pytest.mark.parametrize(
    "media_type", [FORM, "multipart/form-data; boundary=x", "text/plain", "Text/Plain;charset=utf-8"]
)
def test_a_plain_form_cancels_no_job(open_http: httpx.Client, media_type: str) -> None:
    job = open_http.post("/train", json={"architecture": "naive"}).json()
    form = open_http.post(f"/jobs/{job['id']}/cancel", content=b"a=b", headers={"Content-Type": media_type})
    assert_problem(form, 415, "unsupported_media_type")
    assert open_http.get(f"/jobs/{job['id']}").json()["status"] == "queued"
    assert open_http.post(f"/jobs/{job['id']}/cancel").status_code == 202


def test_with_keys_any_name_is_served(stored_kinds: Path, tmp_path: Path) -> None:
    with client(stored_kinds, tmp_path, api_keys="key") as http:
        head = {"Host": "forecasts.example", "Authorization": "Bearer key", "Origin": "https://any.example"}
        assert http.get("/models", headers=head).status_code == 200


def test_a_server_beyond_loopback_that_asks_for_no_key_is_reached_by_its_addresses(
    stored_kinds: Path, tmp_path: Path
) -> None:
    with running(stored_kinds, tmp_path, host="0.0.0.0") as url:
        for host, status in (("192.168.1.5:8000", 200), ("[2001:db8::1]", 200), ("evil.example", 403)):
            [answer] = send(url, request(method="GET", path="/models", headers={"Host": host, "Connection": "close"}))
            assert answer.status == status
