"""The page of a service that asks for keys, below a path of somebody else's address."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.server import running
from tests.end_to_end.processes import Processes
from tests.page.browser import Watch, open_page
from tests.page.conftest import Open
from tests.page.forecasts import result_of

KEY = "open-sesame"


@pytest.fixture(scope="module")
def address(service: Processes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another server of the same store, as a proxy publishes it below a path."""
    state_dir = tmp_path_factory.mktemp("guarded")
    with running(service.store, state_dir, api_keys=KEY, root_path="/shop/forecasts") as url:
        yield f"{url}/shop/forecasts"


@pytest.fixture
def watch(address: str) -> Iterator[Watch]:
    watch = Watch(f"{address}/", refusals={401})
    yield watch
    assert watch.faults == []


@pytest.fixture
def visit(browser: Browser, watch: Watch, address: str) -> Iterator[Open]:
    page = None

    def open_one(link: str = "") -> Page:
        nonlocal page
        page = open_page(browser, address, watch, link)
        return page

    yield open_one
    if page:
        page.context.close()


def enter(page: Page, key: str, *, kept: bool = False) -> None:
    dialog = page.get_by_role("dialog", name="API key")
    dialog.get_by_label("Key", exact=True).fill(key)
    dialog.get_by_label("Keep it in this browser").set_checked(kept)
    with page.expect_navigation():
        dialog.get_by_role("button", name="Use this key").click()


def test_a_key_is_asked_for_and_then_all_works(visit: Open) -> None:
    page = visit()
    expect(page.get_by_role("dialog", name="API key")).to_be_visible()
    enter(page, KEY)
    result_of(page)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Key set")).to_be_visible()
    code = page.get_by_role("region", name="Code", exact=True).locator("pre")
    expect(code).to_contain_text("/shop/forecasts/forecast")
    expect(code).to_contain_text("$OUTFIELDER_API_KEY")
    expect(code).not_to_contain_text(KEY)
    for view in ("Train", "Models", "Compare"):
        page.get_by_role("link", name=view, exact=True).click()
        expect(page).to_have_title(f"{view} · Outfielder")
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.get_by_text("zero-shot").first).to_be_attached() if view != "Train" else None
    assert page.evaluate("localStorage.length") == 0


def test_a_wrong_key_is_refused_in_words(visit: Open) -> None:
    page = visit()
    enter(page, "guess")
    dialog = page.get_by_role("dialog", name="API key")
    expect(dialog).to_contain_text("key")
    expect(page.get_by_role("alert").first).to_be_attached()
    enter(page, KEY)
    result_of(page)


@pytest.mark.parametrize("kept", [True, False])
def test_a_key_stays_where_it_was_meant_to(visit: Open, watch: Watch, address: str, kept: bool) -> None:
    page = visit()
    enter(page, KEY, kept=kept)
    result_of(page)
    other = page.context.new_page()
    watch.add(other)
    other.goto(f"{address}/")
    if kept:
        result_of(other)
    else:
        expect(other.get_by_role("dialog", name="API key")).to_be_visible()


def test_links_below_a_path_come_back_to_it(visit: Open, address: str) -> None:
    page = visit("#/models")
    enter(page, KEY)
    assert page.url == f"{address}/#/models"
    page.get_by_role("link", name="Outfielder").click()
    expect(page).to_have_url(f"{address}/#/forecast")
    href = page.get_by_role("link", name="API", exact=True).evaluate("link => link.href")
    assert href == f"{address}/docs"
