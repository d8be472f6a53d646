"""Forecasts on the page: what they show is what the service says."""

import math
from statistics import fmean

import httpx
import pytest
from playwright.sync_api import Route, expect

from tests.api.server import wait_until
from tests.page.browser import DESKTOP, PHONE, Watch
from tests.page.conftest import Open
from tests.page.forecasts import AIR, air_passengers, choose_example, forecast, result_of
from tests.page.tables import FOUR_DIGITS, SIX_DIGITS, THREE_DIGITS, read_chart, read_number, read_table

SEASON = 12
LINEAR_HORIZON = 10
# A season that is never quite the same: intervals have a width.
NUMBERS = [[12.0, 15.5, 14.0, 18.0, 21.25, 19.0][i % 6] + i * i % 7 / 4 for i in range(36)]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_first_sight_is_a_forecast_with_intervals(visit: Open, http: httpx.Client, size: dict[str, int]) -> None:
    page = visit(viewport=size)
    result = result_of(page)
    expect(page.get_by_role("heading", name="Airline passengers")).to_be_visible()
    expect(result.get_by_role("img", name="Forecast of Airline passengers")).to_be_visible()
    shown = read_chart(result)
    series = air_passengers(http)
    default = next(model["name"] for model in http.get("/models").json()["models"] if model["is_default"])
    said = forecast(http, model=default, series=[series], freq="MS", level=[80, 95])
    assert dict(list(shown.column("history").items())) == pytest.approx(
        dict(zip(list(shown.rows)[: len(series["values"])], series["values"], strict=True))
    )
    columns = {default: said["values"]}
    for level, sides in said["intervals"].items():
        columns |= {f"{default} {level} % {side}": sides[side] for side in ("lower", "upper")}
    for name, values in columns.items():
        found = shown.column(name)
        assert [found[stamp] for stamp in said["timestamps"]] == pytest.approx(values, rel=SIX_DIGITS), name


def test_pasted_numbers_are_forecast(visit: Open, http: httpx.Client) -> None:
    page = visit("#/forecast?models=zero-shot")
    page.get_by_role("button", name="Your own series").click()
    page.get_by_label("Paste numbers").fill(" ".join(map(str, NUMBERS)))
    page.get_by_role("button", name=f"Use these {len(NUMBERS)} numbers").click()
    expect(page.get_by_role("heading", name=f"{len(NUMBERS)} numbers")).to_be_visible()
    shown = read_chart(result_of(page))
    said = forecast(http, model="zero-shot", series=[NUMBERS], level=[80, 95])
    steps = [str(len(NUMBERS) + 1 + step) for step in range(len(said["values"]))]
    assert list(shown.column("history").values()) == NUMBERS
    assert [shown.column("zero-shot")[step] for step in steps] == pytest.approx(said["values"], rel=SIX_DIGITS)
    for side in ("lower", "upper"):
        found = shown.column(f"zero-shot 95 % {side}")
        assert [found[step] for step in steps] == pytest.approx(said["intervals"]["95"][side], rel=SIX_DIGITS)


def test_pasted_numbers_with_a_frequency_get_times(visit: Open) -> None:
    page = visit("#/forecast?models=zero-shot")
    page.get_by_role("button", name="Your own series").click()
    page.get_by_label("Paste numbers").fill(",".join(map(str, NUMBERS)))
    page.get_by_label("Time between numbers").select_option(label="months")
    page.get_by_label("Time of the first number").fill("2021-01-01")
    page.get_by_role("button", name=f"Use these {len(NUMBERS)} numbers").click()
    expect(page.get_by_role("heading", name=f"{len(NUMBERS)} numbers")).to_be_visible()
    rows = list(read_chart(result_of(page)).rows)
    assert rows[:2] == ["2021-01-01", "2021-02-01"]
    assert rows[len(NUMBERS)] == "2024-01-01"


def test_another_example_horizon_and_levels_are_what_is_shown(visit: Open, http: httpx.Client) -> None:
    page = visit("#/forecast?models=zero-shot")
    choose_example(page, "Six monthly series of the M3 competition")
    expect(page.get_by_text("1 of 6")).to_be_visible()
    page.get_by_role("button", name="The next series").click()
    expect(page.get_by_text("2 of 6")).to_be_visible()
    for label, text in {"Intervals": "50", "Horizon": "4"}.items():
        page.get_by_label(label).fill(text)
        page.get_by_label(label).press("Enter")
    result = result_of(page)
    expect(result.get_by_text("version 1, 4 steps")).to_be_visible()
    shown = read_chart(result)
    series = http.get("/examples/m3-monthly").json()["series"][1]
    said = forecast(http, model="zero-shot", series=[series["values"]], level=[50], horizon=4)
    assert shown.columns[1:] == ["history", "zero-shot", "zero-shot 50 % lower", "zero-shot 50 % upper"]
    lower = shown.column("zero-shot 50 % lower")
    assert list(lower.values())[1:] == pytest.approx(said["intervals"]["50"]["lower"], rel=SIX_DIGITS)


def test_hidden_points_are_scored_beside_naive_forecasts(visit: Open, http: httpx.Client) -> None:
    page = visit("#/forecast?models=zero-shot")
    page.get_by_label("Test yourself").check()
    expect(page.get_by_role("textbox", name="Hidden points")).to_have_value(str(SEASON))
    result = result_of(page)
    errors = result.get_by_role("region", name="Errors on the hidden points")
    expect(errors).to_be_visible()
    shown = read_table(errors)

    series = air_passengers(http)
    known, actual = series["values"][:-SEASON], series["values"][-SEASON:]
    said = forecast(
        http, model="zero-shot", series=[{**series, "values": known}], freq="MS", level=[80, 95], horizon=SEASON
    )
    scale = fmean(abs(after - before) for before, after in zip(known, known[SEASON:], strict=False))
    forecasts = {"zero-shot": said["values"], "seasonal naive": known[-SEASON:], "naive": known[-1:] * SEASON}
    assert list(shown.rows) == list(forecasts)
    for name, values in forecasts.items():
        gaps = [value - truth for value, truth in zip(values, actual, strict=True)]
        mae = fmean(map(abs, gaps))
        found = shown.numbers(name)
        assert found["MAE"] == pytest.approx(mae, rel=FOUR_DIGITS)
        assert found["RMSE"] == pytest.approx(math.sqrt(fmean(gap * gap for gap in gaps)), rel=FOUR_DIGITS)
        assert found["MASE"] == pytest.approx(mae / scale, rel=THREE_DIGITS)
    inside = {
        level: 100 * fmean(low <= truth <= high for low, truth, high in zip(*sides, strict=True))
        for level, sides in ((level, (s["lower"], actual, s["upper"])) for level, s in said["intervals"].items())
    }
    shares = [read_number(text) for text in shown.rows["zero-shot"][-1].split(" / ")]
    assert shares == pytest.approx([inside["80"], inside["95"]], abs=0.06)
    assert read_chart(result).column("what really came")["1960-12-01"] == actual[-1]


def test_models_are_overlaid_and_one_without_intervals_says_so(visit: Open) -> None:
    page = visit(f"#/forecast?data={AIR}&models=zero-shot")
    result_of(page)
    models = page.get_by_role("group", name="Models")
    models.get_by_text("trained on waves").click()
    models.get_by_role("checkbox", name="linear", exact=True).check()
    result = result_of(page)
    outcomes = result.locator(".outcome")
    expect(outcomes).to_have_count(2)
    expect(outcomes.nth(1)).to_contain_text("not calibrated for intervals")
    shown = read_chart(result)
    assert shown.columns[1:4] == ["history", "zero-shot", "linear"]
    assert not [name for name in shown.columns if name.startswith("linear ")]
    ahead = list(shown.column("zero-shot"))[1:]
    assert list(shown.column("linear"))[1:] == ahead[:LINEAR_HORIZON]


def test_what_the_service_refuses_is_said_in_its_words(visit: Open, watch: Watch, http: httpx.Client) -> None:
    watch.refusals.add(422)
    page = visit("#/forecast?models=linear&mode=one_step")
    refused = http.post("/forecast", json={"model": "linear", "series": [NUMBERS * 2], "mode": "one_step"})
    problem = page.get_by_role("region", name="Forecast", exact=True).get_by_role("alert")
    expect(problem).to_contain_text(refused.json()["errors"][0]["message"])


def test_a_box_that_is_ticked_before_the_series_is_there_stays_so(visit: Open) -> None:
    page = visit("#/models")
    held: list[Route] = []
    page.route("**/examples/air-passengers", lambda route: held.append(route))
    page.get_by_role("link", name="Forecast", exact=True).click()
    box = page.get_by_label("Test yourself")
    box.check()
    expect(box).to_be_checked()
    # The browser is asked, so that what it did is heard of.
    wait_until(lambda: page.title() and held)
    held[0].continue_()
    expect(page.get_by_role("region", name="Errors on the hidden points")).to_be_visible()


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("Horizon", "2.5", "Expected a whole number from 1 to 1,000."),
        ("Intervals", "80, many", "Expected numbers between 1 and 100"),
    ],
)
def test_a_slip_is_pointed_out_and_changes_nothing(visit: Open, field: str, text: str, said: str) -> None:
    page = visit("#/forecast?models=zero-shot")
    before = read_chart(result_of(page))
    page.get_by_label(field).fill(text)
    page.get_by_label(field).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_label(field)).to_have_attribute("aria-invalid", "true")
    assert read_chart(result_of(page)) == before
