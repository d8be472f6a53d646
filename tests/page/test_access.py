"""Who can use the page: by its looks, with a keyboard, and with assistive technology (axe-core's rules)."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.api.server import wait_until
from tests.end_to_end.processes import Processes
from tests.page.browser import DESKTOP, PHONE
from tests.page.conftest import QUICK, Open
from tests.page.forecasts import result_of
from tests.page.tables import read_chart

GRAVE = ("serious", "critical")
LIGHT_GROUND, DARK_GROUND = "rgb(245, 247, 245)", "rgb(17, 21, 19)"


def show_forecast(visit: Open, service: Processes) -> Page:
    page = visit("#/forecast?models=zero-shot,linear&holdout=season")
    read_chart(result_of(page))
    expect(page.get_by_role("region", name="Errors on the hidden points")).to_be_visible()
    page.get_by_role("button", name="Your own series").click()
    page.get_by_label("Paste numbers").fill("1 2 3")
    return page


def show_training(visit: Open, service: Processes) -> Page:
    job = service.train(**QUICK, name="page-access")
    page = visit(f"#/train?data=waves&job={job['id']}")
    expect(page.get_by_text("page-access version 1 is published.")).to_be_visible()
    page.get_by_role("form", name="Training").locator("summary").click()
    read_chart(page.get_by_role("region", name="Job", exact=True))
    return page


def show_models(visit: Open, service: Processes) -> Page:
    page = visit("#/models/linear/1")
    read_chart(page.get_by_role("region", name="Model linear"))
    page.get_by_role("button", name="Delete version 1").click()
    return page


def show_comparison(visit: Open, service: Processes) -> Page:
    page = visit("#/compare?models=zero-shot,linear")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("region", name="Forecasts").get_by_role("img")).to_be_visible()
    return page


def show_key(visit: Open, service: Processes) -> Page:
    page = visit("#/models")
    page.get_by_role("button", name="Key").click()
    expect(page.get_by_role("dialog", name="API key")).to_be_visible()
    return page


def show_lessons(visit: Open, service: Processes) -> Page:
    page = visit("#/learn")
    for title in page.get_by_role("heading", level=2).all():
        title.scroll_into_view_if_needed()
    page.get_by_text("What do the words mean?").click()
    return page


SIGHTS = {
    "forecast": show_forecast,
    "train": show_training,
    "models": show_models,
    "compare": show_comparison,
    "learn": show_lessons,
    "key": show_key,
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_every_view_is_accessible_and_fits_a_phone(visit: Open, service: Processes, sight: str) -> None:
    page = SIGHTS[sight](visit, service)
    found: dict[str, Any] = {}
    for width, size in {"desktop": DESKTOP, "phone": PHONE}.items():
        page.set_viewport_size({"width": size["width"], "height": size["height"]})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for violation in Axe().run(page).response["violations"]:
                places = [node["target"][0] for node in violation["nodes"]]
                print(f"{sight}, {width}, {scheme}: {violation['impact']}: {violation['id']}: {places}")
                if violation["impact"] in GRAVE:
                    found[f"{width} {scheme} {violation['id']}"] = [
                        (node["target"], node["failureSummary"]) for node in violation["nodes"]
                    ]
        widest = page.evaluate("document.scrollingElement.scrollWidth")
        assert widest <= size["width"], f"{widest} px wide on a {width}"
    assert found == {}


def test_dark_is_chosen_kept_and_drawn(visit: Open) -> None:
    page = visit("#/forecast?models=zero-shot")
    canvas = result_of(page).locator("canvas").first
    light = canvas.evaluate("canvas => canvas.toDataURL()")
    assert ground_of(page) == LIGHT_GROUND
    page.get_by_label("Colours").select_option(label="Dark")
    assert ground_of(page) == DARK_GROUND
    wait_until(lambda: canvas.evaluate("canvas => canvas.toDataURL()") != light)
    page.reload()
    result_of(page)
    assert ground_of(page) == DARK_GROUND
    page.get_by_label("Colours").select_option(label="Auto")
    assert ground_of(page) == LIGHT_GROUND


def test_dark_follows_the_system(visit: Open) -> None:
    page = visit("#/models", color_scheme="dark")
    expect(page.get_by_role("region", name="Table of models")).to_be_visible()
    assert ground_of(page) == DARK_GROUND


def test_nothing_moves_for_who_wants_no_motion(visit: Open) -> None:
    page = visit("#/forecast?models=zero-shot", reduced_motion="reduce")
    result_of(page)
    assert page.evaluate("document.getAnimations().length") == 0
    times = page.evaluate(
        """[...document.querySelectorAll("*")].flatMap(item => {
          const style = getComputedStyle(item);
          return [style.transitionDuration, style.animationDuration];
        })"""
    )
    assert set(times) <= {"0s", "auto"}


def test_the_keyboard_reaches_all_of_a_forecast(visit: Open) -> None:
    page = visit("#/forecast?models=zero-shot")
    result_of(page)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText"))
        if reached[-1] == "Copy the code":
            break
    for name in ("Your own series", "Zoom in", "history", "CSV", "curl", "Copy the code"):
        assert name in [text.strip() for text in reached], reached
    assert any(text.startswith("Forecast of Airline passengers") for text in reached)


def test_another_view_is_announced(visit: Open) -> None:
    page = visit("#/forecast?models=zero-shot")
    result_of(page)
    page.get_by_role("link", name="Models", exact=True).click()
    expect(page).to_have_title("Models · Outfielder")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.get_by_role("link", name="Models", exact=True)).to_have_attribute("aria-current", "page")
    page.go_back()
    expect(page).to_have_title("Forecast · Outfielder")


def ground_of(page: Page) -> str:
    ground: str = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return ground
