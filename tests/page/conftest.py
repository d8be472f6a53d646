"""One browser and one service for all tests of the page; a context, so a clean page, for each."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.end_to_end.processes import Processes
from tests.page.browser import MISSING, Watch, find_browser, launched, may_skip, open_page

Open = Callable[..., Page]
# A training that takes a moment.
QUICK: dict[str, Any] = {"architecture": "linear", "scaling": "standard", "epochs": 2, "data": {"n_series": 200}}


# Not for the session: tests of other folders run loops of their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if find_browser() is None:
        (pytest.skip if may_skip() else pytest.fail)(MISSING)
    with launched() as browser:
        yield browser


@pytest.fixture
def watch(service: Processes) -> Iterator[Watch]:
    """What the pages of a test did wrong, which fails it at its end."""
    watch = Watch(service.url)
    yield watch
    assert watch.faults == []


@pytest.fixture
def visit(browser: Browser, watch: Watch) -> Iterator[Open]:
    """Opens pages of the service: `visit("#/train", viewport=PHONE)`."""
    pages: list[Page] = []

    def open_one(link: str = "", **options: Any) -> Page:
        pages.append(open_page(browser, watch.base, watch, link, **options))
        return pages[-1]

    yield open_one
    for page in pages:
        page.context.close()


@pytest.fixture
def http(service: Processes) -> httpx.Client:
    return service.client


@pytest.fixture
def default_kept(http: httpx.Client) -> Iterator[None]:
    """The default is afterwards what it was before."""
    name = next(one["name"] for one in http.get("/models").json()["models"] if one["is_default"])
    yield
    http.put("/models/default", json={"name": name})
