"""Charts: what a reader hides, zooms and takes away."""

import csv
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.api.server import wait_until
from tests.page.browser import DESKTOP, PHONE
from tests.page.conftest import Open
from tests.page.forecasts import air_passengers, forecast, result_of
from tests.page.tables import SIX_DIGITS, read_chart

PNG = b"\x89PNG\r\n\x1a\n"
# A year after the last month that is known.
FIRST, LAST = "1949-01-01", "1961-12-01"


def canvas_of(result: Locator) -> str:
    """What is drawn."""
    drawn: str = result.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")
    return drawn


def point_at(page: Page, result: Locator, share: float) -> str:
    """What a chart says below the pointer, which is at a share of its width."""
    result.locator(".chart-area").scroll_into_view_if_needed()
    box = result.locator(".u-over").bounding_box()
    assert box is not None
    left, top = box["x"] + share * (box["width"] - 1), box["y"] + box["height"] / 2
    # A pointer that stays where it was moves nothing.
    page.mouse.move(left, top - 5)
    page.mouse.move(left, top)
    return result.locator(".readout").inner_text()


def edges_of(page: Page, result: Locator) -> tuple[str, str]:
    """The first and last time that are shown."""
    first, last = (point_at(page, result, share).split(" ")[0] for share in (0, 1))
    return first, last


def wait_for_all(page: Page, result: Locator) -> None:
    wait_until(lambda: edges_of(page, result) == (FIRST, LAST))


def wait_for_part(page: Page, result: Locator) -> tuple[str, str]:
    """The first and last time, once a part is shown."""

    def is_part() -> bool:
        first, last = edges_of(page, result)
        return FIRST < first < last < LAST

    wait_until(is_part)
    return edges_of(page, result)


@pytest.fixture
def page(visit: Open, request: pytest.FixtureRequest) -> Page:
    return visit("#/forecast?models=zero-shot", viewport=getattr(request, "param", DESKTOP))


@pytest.fixture
def result(page: Page) -> Locator:
    return result_of(page)


def test_the_pointer_reads_values(page: Page, result: Locator, http: httpx.Client) -> None:
    values = air_passengers(http)["values"]
    wait_until(lambda: point_at(page, result, 0) == f"{FIRST} · history {values[0]:g}")
    wait_until(lambda: f"{LAST} · zero-shot " in point_at(page, result, 1))


def test_the_legend_hides_and_shows(page: Page, result: Locator) -> None:
    wait_until(lambda: "history" in point_at(page, result, 0.05))
    history = result.get_by_role("button", name="history")
    history.click()
    expect(history).to_have_attribute("aria-pressed", "false")
    wait_until(lambda: (text := point_at(page, result, 0.05)) and "history" not in text)
    history.click()
    expect(history).to_have_attribute("aria-pressed", "true")
    wait_until(lambda: "history" in point_at(page, result, 0.05))
    # The pointer leaves, and what it drew.
    page.mouse.move(0, 0)
    before = canvas_of(result)
    band = result.get_by_role("button", name="zero-shot 95 %")
    band.click()
    expect(band).to_have_attribute("aria-pressed", "false")
    wait_until(lambda: canvas_of(result) != before)
    band.click()
    wait_until(lambda: canvas_of(result) == before)


@pytest.mark.parametrize("page", [DESKTOP, PHONE], ids=["desktop", "phone"], indirect=True)
def test_buttons_zoom(page: Page, result: Locator) -> None:
    wait_for_all(page, result)
    result.get_by_role("button", name="Zoom in").click()
    wait_for_part(page, result)
    result.get_by_role("button", name="Zoom out").click()
    result.get_by_role("button", name="Zoom out").click()
    wait_for_all(page, result)
    result.get_by_role("button", name="Zoom in").click()
    wait_for_part(page, result)
    result.get_by_role("button", name="All").click()
    wait_for_all(page, result)


def test_keys_zoom_and_move(page: Page, result: Locator) -> None:
    chart = result.get_by_role("img")
    chart.focus()
    chart.press("+")
    first, last = wait_for_part(page, result)

    chart.press("Shift+ArrowLeft")
    wait_until(lambda: (moved := edges_of(page, result))[0] < first and moved[1] < last)
    chart.press("Shift+ArrowRight")
    wait_until(lambda: edges_of(page, result) == (first, last))
    chart.press("-")
    wait_for_all(page, result)
    chart.press("+")
    wait_for_part(page, result)
    chart.press("0")
    wait_for_all(page, result)


def test_arrows_read_point_by_point(page: Page, result: Locator, http: httpx.Client) -> None:
    values = air_passengers(http)["values"]
    chart, readout = result.get_by_role("img"), result.locator(".readout")
    chart.focus()
    for value in values[:3]:
        chart.press("ArrowRight")
        expect(readout).to_contain_text(f"history {value:g}")
    chart.press("ArrowLeft")
    expect(readout).to_contain_text(f"history {values[1]:g}")


def test_dragging_shows_a_part(page: Page, result: Locator) -> None:
    box = result.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 60, steps=4)
    page.mouse.up()
    wait_for_part(page, result)


def test_the_csv_has_what_is_drawn(page: Page, result: Locator, tmp_path: Path, http: httpx.Client) -> None:
    path = download(page, lambda: result.get_by_role("button", name="CSV").click(), tmp_path)
    assert path.name == "Forecast-of-Airline-passengers.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    series = air_passengers(http)
    said = forecast(http, model="zero-shot", series=[series], freq="MS", level=[80, 95])
    count = len(series["values"])
    assert [float(row["history"]) for row in rows[:count]] == series["values"]
    assert [row["time"] for row in rows[count:]] == said["timestamps"]
    assert [float(row["zero-shot"]) for row in rows[count:]] == said["values"]
    assert [float(row["zero-shot 80 % upper"]) for row in rows[count:]] == said["intervals"]["80"]["upper"]
    assert {row["zero-shot"] for row in rows[: count - 1]} == {""}
    assert read_chart(result).column("zero-shot")[said["timestamps"][0]] == pytest.approx(
        said["values"][0], rel=SIX_DIGITS
    )


def test_the_picture_is_one(page: Page, result: Locator, tmp_path: Path) -> None:
    path = download(page, lambda: result.get_by_role("button", name="PNG").click(), tmp_path)
    content = path.read_bytes()
    assert path.suffix == ".png"
    assert content.startswith(PNG)
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    assert width > 200
    assert height > 360


def download(page: Page, act: Callable[[], None], folder: Path) -> Path:
    """The file that the browser keeps once something was done."""
    with page.expect_download() as started:
        act()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path
