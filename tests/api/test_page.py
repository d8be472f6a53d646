"""The page as it is sent: files, sizes, security. What it does in a browser is tested in tests/page."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from service.api.page_files import ROOT
from tests.api.server import assert_problem, client

MOST_BYTES = 300_000
LINK = re.compile(r'(?:src|href)="(?!#|docs)([^"]+)"')
IMPORT = re.compile(r'(?:^|\n)(?:import|export)\s[^;]*?from "([^"]+)"')


def find_files(http: httpx.Client) -> dict[str, httpx.Response]:
    """The page and all that it loads, by address."""
    page = http.get("/")
    found = {"/": page}
    waiting = [urljoin("/", link) for link in LINK.findall(page.text)]
    while waiting:
        address = waiting.pop()
        if address in found:
            continue
        found[address] = http.get(address)
        if address.endswith(".js"):
            waiting += [urljoin(address, name) for name in IMPORT.findall(found[address].text)]
    return found


def test_the_page_loads_nothing_from_elsewhere_and_all_that_it_names_is_there(http: httpx.Client) -> None:
    files = find_files(http)
    assert {address: answer.status_code for address, answer in files.items()} == dict.fromkeys(files, 200)
    assert all(address == "/" or address.startswith("/web/") for address in files)
    assert "/web/vendor/uplot/uPlot.esm.js" in files
    types = {Path(address).suffix: answer.headers["content-type"] for address, answer in files.items()}
    assert types == {
        "": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
    }


def test_every_script_of_the_package_belongs_to_the_page(http: httpx.Client) -> None:
    shipped = {f"/web/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*.js")}
    assert shipped == {address for address in find_files(http) if address.endswith(".js")}


def test_libraries_are_shipped_with_their_licences() -> None:
    for folder in (ROOT / "vendor").iterdir():
        assert [path for path in folder.iterdir() if "LICENSE" in path.name], folder


def test_the_whole_page_takes_less_than_300_kb(http: httpx.Client) -> None:
    sizes = {}
    for address in find_files(http):
        with http.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
            sizes[address] = sum(map(len, answer.iter_raw()))
    assert sum(sizes.values()) < MOST_BYTES, sizes


@pytest.mark.parametrize("path", ["/", "/web/app.js"])
def test_a_file_that_a_browser_has_is_not_sent_again(http: httpx.Client, path: str) -> None:
    first = http.get(path)
    again = http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"
    assert http.get(path, headers={"If-None-Match": '"another"'}).content == first.content


def test_the_page_runs_no_script_but_those_of_the_package(http: httpx.Client) -> None:
    page = http.get("/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "<script>" not in page.text
    assert " style=" not in page.text
    assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name", ["", "nothing.js", "../app.py", "%2e%2e/app.py", "vendor", "vendor/uplot/", "/etc/hosts", "a" * 300, "%00"]
)
def test_what_is_no_file_of_the_page_is_not_found(http: httpx.Client, name: str) -> None:
    assert_problem(http.get(f"/web/{name}"), 404, "route_not_found")


@pytest.fixture(scope="module")
def guarded_below(stored_kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    state_dir = tmp_path_factory.mktemp("guarded")
    with client(stored_kinds, state_dir, api_keys="secret", root_path="/forecasts") as http:
        yield http


@pytest.mark.parametrize("prefix", ["", "/forecasts"])
def test_below_a_sub_path_the_page_and_its_files_ask_for_no_key(guarded_below: httpx.Client, prefix: str) -> None:
    page = guarded_below.get(f"{prefix}/")
    assert '<base href="/forecasts/">' in page.text
    assert guarded_below.get(f"{prefix}/web/app.js").status_code == 200
    assert_problem(guarded_below.get(f"{prefix}/examples"), 401, "unauthorized")
