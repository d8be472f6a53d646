"""Series of one's own: files dropped or chosen, what is unclear, what can't be read."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.browser import DESKTOP, PHONE, Watch
from tests.page.conftest import Open
from tests.page.forecasts import choose_example, forecast, result_of
from tests.page.tables import SIX_DIGITS, read_chart

MONTHS = [f"{year}-{month:02d}-01" for year in (2022, 2023, 2024) for month in range(1, 13)]
SHOPS: dict[str, list[float]] = {
    "north": [10 + 3 * (i % 12) + i / 2 for i in range(36)],
    "south": [200 - i % 12 for i in range(36)],
}
LONG = "unique_id,ds,y\n" + "".join(
    f"{shop},{stamp},{value}\n" for shop, values in SHOPS.items() for stamp, value in zip(MONTHS, values, strict=True)
)
# Prices and volumes: which is forecast?
UNCLEAR = "shop,month,price,volume\n" + "".join(
    f"{shop},{stamp},{1 + i % 7},{values[i]}\n" for shop, values in SHOPS.items() for i, stamp in enumerate(MONTHS)
)
BAD = "unique_id,ds,y\nnorth,2024-01-01,12\nnorth,2024-01-02,x9\nnorth,2024-01-03,11\n"


def drop(page: Page, name: str, text: str) -> None:
    """Drops a file on the part for series, as from a folder."""
    files = page.evaluate_handle(
        """([name, text]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([text], name, { type: "text/csv" }));
          return transfer;
        }""",
        [name, text],
    )
    panel = panel_of(page)
    for event in ("dragover", "drop"):
        panel.dispatch_event(event, {"dataTransfer": files})


def panel_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Series", exact=True)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_dropped_file_is_read_and_its_series_are_switched(
    visit: Open, http: httpx.Client, size: dict[str, int]
) -> None:
    page = visit("#/forecast?models=zero-shot", viewport=size)
    result_of(page)
    drop(page, "shops.csv", LONG)
    panel = panel_of(page)
    expect(panel).to_contain_text("2 series, 72 points, a value each month (MS)")
    series = panel.locator(".series-choice input")
    expect(series).to_have_value("north")
    panel.get_by_role("button", name="The next series").click()
    expect(series).to_have_value("south")
    expect(result_of(page).get_by_role("img", name="Forecast of shops.csv, south")).to_be_visible()
    shown = read_chart(result_of(page))
    record = {"id": "south", "values": SHOPS["south"], "start": MONTHS[0]}
    said = forecast(http, model="zero-shot", series=[record], freq="MS", level=[80, 95])
    assert shown.column("history") == dict(zip(MONTHS, SHOPS["south"], strict=True))
    assert [shown.column("zero-shot")[stamp] for stamp in said["timestamps"]] == pytest.approx(
        said["values"], rel=SIX_DIGITS
    )
    series.fill("north")
    series.press("Enter")
    expect(page.get_by_role("img", name="Forecast of shops.csv, north")).to_be_visible()


def test_columns_that_are_unclear_are_asked_for(visit: Open, watch: Watch) -> None:
    watch.refusals.add(422)
    page = visit("#/forecast?models=zero-shot")
    result_of(page)
    drop(page, "shops.csv", UNCLEAR)
    panel = panel_of(page)
    expect(panel.get_by_role("heading", name="Which column holds the values to forecast?")).to_be_visible()
    # The first question is no fault of the file's.
    expect(panel.get_by_role("alert")).not_to_be_visible()
    columns = panel.get_by_role("combobox", name="Values").locator("option").all_inner_texts()
    assert columns[1:] == ["shop (north)", "month (2022-01-01)", "price (1)", "volume (10.0)"]
    panel.get_by_role("combobox", name="Times").select_option("month")
    panel.get_by_role("combobox", name="Values").select_option("volume")
    panel.get_by_role("combobox", name="Names of series").select_option("shop")
    panel.get_by_role("button", name="Read the file").click()
    expect(panel).to_contain_text("2 series, 72 points, a value each month (MS)")
    expect(panel.get_by_role("heading", name="Which column holds the values to forecast?")).not_to_be_visible()
    expect(panel.get_by_role("alert")).not_to_be_visible()
    expect(page.get_by_role("img", name="Forecast of shops.csv, north")).to_be_visible()
    assert read_chart(result_of(page)).column("history") == dict(zip(MONTHS, SHOPS["north"], strict=True))


def test_a_file_that_is_wrong_is_explained_where_it_is(visit: Open, watch: Watch, http: httpx.Client) -> None:
    watch.refusals.add(422)
    page = visit("#/forecast?models=zero-shot")
    result_of(page)
    drop(page, "bad.csv", BAD)
    expect(panel_of(page).get_by_role("alert")).to_contain_text("Row 2 holds 'x9' in 'y'")
    # What was shown before still is.
    expect(page.get_by_role("img", name="Forecast of Airline passengers")).to_be_visible()
    choose_example(page, "Road casualties")
    expect(panel_of(page).get_by_role("alert")).not_to_be_visible()
    expect(page.get_by_role("img", name="Forecast of Road casualties")).to_be_visible()


def test_a_chosen_file_and_a_pasted_table_are_read_alike(visit: Open, tmp_path: Path) -> None:
    page = visit("#/forecast?models=zero-shot")
    path = tmp_path / "shops.csv"
    path.write_text(LONG)
    page.get_by_role("button", name="Your own series").click()
    page.get_by_label("A CSV or Parquet file").set_input_files(path)
    expect(panel_of(page)).to_contain_text("2 series, 72 points, a value each month (MS)")
    page.get_by_role("button", name="Your own series").click()
    rows = [f"{month},{value}" for month, value in zip(MONTHS, SHOPS["north"], strict=True)]
    page.get_by_label("Paste numbers").fill("\n".join(["month,sales", *rows]))
    page.get_by_role("button", name="Use this table").click()
    expect(panel_of(page)).to_contain_text("1 series, 36 points, a value each month (MS)")


def test_what_the_service_noticed_is_listed(visit: Open) -> None:
    page = visit("#/forecast?models=zero-shot")
    result_of(page)
    without_a_month = "\n".join(line for line in LONG.splitlines() if MONTHS[5] not in line)
    drop(page, "gap.csv", without_a_month)
    panel = panel_of(page)
    panel.locator("summary").click()
    findings = panel.locator(".audit li")
    expect(findings.first).to_be_visible()
    assert any(MONTHS[5] in text or "missing" in text for text in findings.all_inner_texts())
