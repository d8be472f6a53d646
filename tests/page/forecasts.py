"""What the forecast view shows, and what the service says of the same."""

from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

AIR = "example:air-passengers"


def air_passengers(http: httpx.Client) -> dict[str, Any]:
    """The series as a forecast posts it."""
    [series] = http.get("/examples/air-passengers").json()["series"]
    return {key: series[key] for key in ("id", "values", "start")}


def forecast(http: httpx.Client, **body: Any) -> dict[str, Any]:
    """The service's own forecast of one series."""
    response = http.post("/forecast", json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()["forecasts"][0]
    return found


def choose_example(page: Page, title: str) -> None:
    page.locator(".data-actions").get_by_role("combobox").select_option(label=title)


def result_of(page: Page) -> Locator:
    """The part with the forecast, once it is there."""
    result = page.get_by_role("region", name="Forecast", exact=True)
    expect(result.locator(".outcome").first).to_be_visible()
    expect(result).to_have_attribute("aria-busy", "false")
    return result
