"""The models of the store: which version answers, and which goes."""

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.end_to_end.processes import Processes
from tests.page.browser import Watch
from tests.page.conftest import QUICK, Open

NAME = "page-versions"


@pytest.fixture
def model(service: Processes, http: httpx.Client) -> str:
    """A model with two versions, of which the later one answers."""
    for job in [service.train(**QUICK, name=NAME) for _ in range(2)]:
        service.wait_for_job(job["id"])

    def has_two() -> bool:
        response = http.get(f"/models/{NAME}")
        return response.status_code == 200 and len(response.json()["versions"]) == 2

    service.wait_until(has_two, "two versions")
    return NAME


def row_of(page: Page, version: int) -> Locator:
    versions = page.get_by_role("region", name="Table of versions")
    return versions.get_by_role("row").filter(has=page.get_by_role("link", name=f"version {version}", exact=True))


def current_version(http: httpx.Client, name: str) -> int:
    found: int = http.get(f"/models/{name}").json()["current_version"]
    return found


def test_versions_are_promoted_rolled_back_kept_and_deleted(
    visit: Open, watch: Watch, http: httpx.Client, model: str
) -> None:
    first, second = http.get(f"/models/{model}").json()["versions"]
    page = visit(f"#/models/{model}")
    expect(row_of(page, second)).to_contain_text("answers")
    row_of(page, second).get_by_role("button", name="Promote").click()
    expect(row_of(page, second)).to_contain_text("champion")
    row_of(page, first).get_by_role("button", name="Roll back to it").click()
    expect(row_of(page, first).locator(".badge")).to_have_text("answers")
    expect(row_of(page, second)).not_to_contain_text("answers")
    assert current_version(http, model) == first

    # Whoever answers can't go.
    watch.refusals.add(409)
    row_of(page, first).get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("region", name=f"Model {model}").get_by_role("alert")).to_contain_text("champion")

    row_of(page, second).get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name=f"Delete version {second} of {model}?")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).not_to_be_visible()
    assert http.get(f"/models/{model}").json()["versions"] == [first, second]
    row_of(page, second).get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete it").click()
    expect(row_of(page, second)).to_have_count(0)
    assert http.get(f"/models/{model}").json()["versions"] == [first]
    assert http.get(f"/models/{model}/versions/{second}").status_code == 404


def test_a_model_tells_what_it_was_measured_at_and_where_it_comes_from(visit: Open, http: httpx.Client) -> None:
    page = visit("#/models")
    table = page.get_by_role("region", name="Table of models")
    shown = http.get("/models/linear").json()
    table.get_by_role("link", name="linear", exact=True).click()
    detail = page.get_by_role("region", name="Model linear")
    manifest = http.get(f"/models/linear/versions/{shown['current_version']}").json()
    expect(detail.get_by_text(f"{manifest['parameters']:,} weights")).to_be_visible()
    expect(detail.get_by_text(f"{manifest['window']} points, {manifest['horizon']} steps")).to_be_visible()
    expect(detail.get_by_role("img", name="Error of linear by step ahead")).to_be_visible()
    scores = detail.get_by_role("region", name="Scores")
    expect(scores.get_by_role("row", name="test")).to_contain_text(f"{manifest['metrics']['test']['mse']:.3g}"[:4])


@pytest.mark.usefixtures("default_kept")
def test_a_default_is_chosen(visit: Open, http: httpx.Client) -> None:
    page = visit("#/models/linear")
    page.get_by_role("button", name="Make it the default").click()
    row = (
        page.get_by_role("region", name="Table of models")
        .get_by_role("row")
        .filter(has=page.get_by_role("link", name="linear", exact=True))
    )
    expect(row.locator(".badge")).to_have_text("default")
    assert http.get("/models/linear").json()["is_default"]
    # Somebody who comes anew gets its forecast.
    expect(visit().locator(".outcome")).to_contain_text("linear")
