"""The tour: each figure is computed by the service while one reads, from models that are there."""

import json
import re
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Locator, Page, expect

from tests.api.server import running
from tests.engines.versions import add_fast_version
from tests.page.browser import Watch, open_page
from tests.page.conftest import Open
from tests.page.tables import read_chart, read_number

# Names of the tour, and what stands for them here: heads are what counts.
MODELS = {
    "simple_rnn": "simple_rnn",
    "deep_rnn": "simple_rnn",
    "vector_rnn": "linear",
    "sequence_rnn": "lstm",
    "lstm": "lstm",
    "gru": "lstm",
    "wavenet": "wavenet",
    "linear": "linear",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("learn")
    for name, architecture in MODELS.items():
        add_fast_version(folder / "store", name, architecture)
    with running(folder / "store", folder / "state") as url:
        yield url


@pytest.fixture
def watch(address: str) -> Iterator[Watch]:
    watch = Watch(address)
    yield watch
    assert watch.faults == []


@pytest.fixture
def visit(browser: Browser, watch: Watch, address: str) -> Iterator[Open]:
    pages: list[Page] = []

    def open_one(link: str = "") -> Page:
        pages.append(open_page(browser, address, watch, link))
        return pages[-1]

    yield open_one
    for page in pages:
        page.context.close()


def read_lesson(page: Page, title: str) -> Locator:
    page.get_by_role("link", name=title).click()
    return page.get_by_role("region", name=title, exact=True)


def read_columns(lesson: Locator, title: str) -> dict[str, NDArray[np.float64]]:
    """The numbers behind a chart, by the names of its lines."""
    figure = lesson.locator("figure").filter(has=lesson.page.get_by_role("img", name=title))
    table = read_chart(figure)
    return {name: np.array(list(table.column(name).values())) for name in table.columns[1:]}


def test_a_cell_is_unrolled_and_its_weights_give_its_states(visit: Open) -> None:
    lesson = read_lesson(visit("#/learn"), "A recurrent cell, unrolled")
    columns = read_columns(lesson, "A wave and the state of the cell that reads it")
    values, states = columns["what it reads, scaled"], columns["its state"]
    formula = lesson.locator("code").first.inner_text().replace("−", "-").replace(" ", "")
    found = re.fullmatch(r"state=tanh\(([-\d.e]+)×value([-+][\d.e-]+)×statebefore([-+][\d.e-]+)\)", formula)
    assert found, formula
    kernel, recurrent, bias = map(float, found.groups())
    expected = np.tanh(kernel * values[1:] + recurrent * states[:-1] + bias)
    np.testing.assert_allclose(states[1:], expected, atol=0.02)
    before = lesson.locator("svg").get_attribute("aria-label")
    lesson.get_by_role("slider").fill("30")
    expect(lesson.get_by_text("Step 30 of 50")).to_be_visible()
    assert lesson.locator("svg").get_attribute("aria-label") != before


def test_three_ways_ahead_are_measured_on_waves_that_no_model_saw(visit: Open) -> None:
    lesson = read_lesson(visit("#/learn"), "Ten steps ahead, three ways")
    columns = read_columns(lesson, "Mean squared error by step ahead")
    ways = ["one step, fed back", "all steps at once", "all steps, learned at every time step"]
    said = [read_number(text) or 0.0 for text in lesson.locator("output").all_inner_texts()]
    np.testing.assert_allclose(said, [columns[way][-1] for way in ways], rtol=0.06)
    chart = lesson.get_by_role("img", name="Mean squared error by step ahead")
    before = chart.get_attribute("aria-label") or ""
    lesson.get_by_role("button", name="300 other waves").click()
    expect(chart).not_to_have_attribute("aria-label", before)


def test_the_gates_of_a_real_series_are_those_of_the_service(visit: Open, address: str) -> None:
    lesson = read_lesson(visit("#/learn"), "The gates of an LSTM")
    lesson.get_by_role("slider").fill("3")
    columns = read_columns(lesson, "The gates of unit 4")
    passengers = httpx.get(f"{address}/examples/air-passengers").json()["series"][0]["values"]
    answer = httpx.post(f"{address}/activations", json={"model": "lstm", "series": passengers}).json()
    gates = answer["layers"][0]["values"]
    for name in ("forget gate", "input gate", "output gate"):
        values = np.array(gates[name.replace(" ", "_")])[:, 3]
        np.testing.assert_allclose(columns[name], values[-len(columns[name]) :], rtol=1e-4, atol=1e-5)
    lesson.get_by_role("combobox").first.select_option("Road casualties")
    expect(lesson.get_by_role("img", name="The gates of unit 4")).to_be_visible()


def test_wavenet_sees_thirty_one_points_back(visit: Open) -> None:
    lesson = read_lesson(visit("#/learn"), "How far back WaveNet sees")
    columns = read_columns(lesson, "How much the forecast moves with a point")
    wavenet = columns["wavenet"]
    # What is not scaled does not notice what lies beyond; the axis ends at 0.0001.
    assert wavenet[:31].max() > 1e-3
    assert (wavenet[31:] <= 1.0001e-4).all()
    assert (columns["gru"][31:] > 1.0001e-4).any()


def test_what_is_missing_is_offered_to_be_trained(visit: Open, address: str) -> None:
    page = visit("#/learn")
    lesson = read_lesson(page, "What scaling changes")
    with page.expect_request(lambda request: request.url.endswith("/train")) as sent:
        lesson.get_by_role("button", name="Train linear-unscaled").click()
    body = json.loads(sent.value.post_data or "")
    assert body == {"architecture": "linear", "name": "linear-unscaled", "scaling": "none"}
    expect(lesson.get_by_text("In training. The figure appears by itself.")).to_be_visible()


def test_scaling_is_compared_once_both_models_are_there(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("scaling")
    for name in ("linear", "linear-unscaled"):
        add_fast_version(folder / "store", name, "linear")
    with running(folder / "store", folder / "state") as url:
        watch = Watch(url)
        page = open_page(browser, url, watch, "#/learn")
        lesson = read_lesson(page, "What scaling changes")
        expect(lesson.get_by_role("img", name="Airline passengers, with and without scaling")).to_be_visible()
        thousands = read_number(lesson.locator("output").first.inner_text())
        lesson.get_by_role("combobox").select_option("single passengers")
        expect(lesson.get_by_role("combobox", name="Passengers in units of 1", exact=True)).to_be_visible()
        expect(lesson.locator("output").first).not_to_have_text(f"{thousands:g}")
        # Other lessons say what they need.
        cell = read_lesson(page, "A recurrent cell, unrolled")
        expect(cell.get_by_role("button", name="Train simple_rnn")).to_be_visible()
        page.context.close()
        assert watch.faults == []
