"""Comparing models: the ranking is the service's backtest, and the best is promoted from there."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.page.browser import DESKTOP, PHONE
from tests.page.conftest import Open
from tests.page.forecasts import AIR, air_passengers
from tests.page.tables import FOUR_DIGITS, THREE_DIGITS, read_number, read_table

WINDOWS, HORIZON = 3, 6
BASELINES = {"seasonal naive": "seasonal_naive", "naive": "naive"}


@pytest.mark.usefixtures("default_kept")
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_ranking_is_the_backtests_and_promotes(visit: Open, http: httpx.Client, size: dict[str, int]) -> None:
    page = visit(f"#/compare?data={AIR}&models=zero-shot,linear", viewport=size)
    page.get_by_role("textbox", name="Horizon").fill(str(HORIZON))
    page.get_by_role("textbox", name="Horizon").press("Enter")
    page.get_by_role("textbox", name="Origins").fill(str(WINDOWS))
    page.get_by_role("textbox", name="Origins").press("Enter")
    page.get_by_role("button", name="Compare", exact=True).click()
    ranking = page.get_by_role("region", name="Ranking")
    shown = read_table(ranking)

    body = {"series": [air_passengers(http)], "freq": "MS", "season": 12, "windows": WINDOWS, "horizon": HORIZON}
    said = {}
    for model, level in {"zero-shot": {"level": [80, 95]}, "linear": {}}.items():
        response = http.post("/backtest", json={**body, "model": model, **level})
        assert response.status_code == 200, response.text
        overall = response.json()["overall"]
        said[model] = overall["model"]
    said |= {label: overall[key] for label, key in BASELINES.items()}
    for name, scores in said.items():
        found = dict(zip(shown.columns[1:], shown.rows[name], strict=True))
        assert read_number(found["MASE"]) == pytest.approx(scores["mase"], rel=THREE_DIGITS)
        for column in ("MAE", "RMSE"):
            assert read_number(found[column]) == pytest.approx(scores[column.lower()], rel=FOUR_DIGITS)
        assert read_number(found["sMAPE"]) == pytest.approx(scores["smape"], abs=0.06)
    by_mase = sorted(said, key=lambda name: said[name]["mase"])
    assert [name for name in shown.rows if name in said] == by_mase
    covered = [read_number(text) for text in shown.rows["zero-shot"][4].split(" / ")]
    assert covered == pytest.approx([said["zero-shot"]["coverage"][level] for level in ("80", "95")], abs=0.06)
    assert shown.rows["linear"][4] == "–"
    expect(page.get_by_role("region", name="Forecasts").get_by_role("img")).to_be_visible()

    ranking.get_by_role("button", name="Make it the default linear").click()
    row = ranking.get_by_role("row").filter(has=page.get_by_role("rowheader", name="linear", exact=True))
    expect(page.get_by_text("linear is the default now")).to_be_visible()
    expect(row).not_to_contain_text("Make it the default")
    assert http.get("/models/linear").json()["is_default"]
    ranking.locator("..").get_by_role("button", name="Undo: make it zero-shot again").click()
    expect(page.get_by_text("zero-shot is the default now")).to_be_visible()
    assert http.get("/models/zero-shot").json()["is_default"]


def test_the_leaderboard_has_the_scores_of_the_store(visit: Open, http: httpx.Client) -> None:
    page = visit("#/compare")
    [group] = [
        group
        for group in http.get("/leaderboard").json()["leaderboard"]
        if any((row["model"], row["kind"]) == ("linear", "model") for row in group["rows"])
    ]
    data = group["data"]
    table = read_table(
        page.get_by_role(
            "region",
            name=f"Leaderboard of {data['kind']} data {data['digest'][:6]}, horizon {group['horizon']}",
        ).filter(has=page.get_by_role("link", name="linear", exact=True))
    )
    score = next(row["scores"]["mae"] for row in group["rows"] if row["model"] == "linear" and row["kind"] == "model")
    assert table.column("MAE")["linear"] == pytest.approx(score, rel=FOUR_DIGITS)
