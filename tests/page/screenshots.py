"""Takes pictures of the page for the documents.

Run it with `make screenshots`. A service of its own, on 127.0.0.1 and in a temporary folder, trains a model and ranks
it; then each view is taken as it looks on a desktop in light colours, the forecast in dark ones too, and on a phone.
docs/images/page.png is the README's; the others go to docs/images/views/, which is not kept in git.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.end_to_end.processes import Processes
from tests.page.browser import PHONE, Watch, launched, open_page

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZE = {"width": 1280, "height": 800}
# What the README's picture may take: it is loaded with the front page.
MOST_BYTES = 120_000
DATA = "example:air-passengers"
MODEL = "passengers"
# The tour needs the second one.
STARTERS = ("linear", "simple_rnn")
EPOCHS = 30


def main() -> int:
    (IMAGES / "views").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="outfielder-pictures-") as folder:
        processes = Processes(Path(folder), OUTFIELDER_STARTER_MODELS=",".join(STARTERS))
        try:
            processes.start("up")
            processes.wait_until(lambda: "All models are ready" in processes.logs(), "the introduction", 600)
            job_id = train(processes)
            with launched() as browser:
                for name, take, options in pictures(job_id):
                    shoot(browser, processes.url, name, take, options)
        finally:
            processes.close()
    size = (IMAGES / "page.png").stat().st_size
    if size > MOST_BYTES:
        print(f"page.png has {size:,} bytes: at most {MOST_BYTES:,} were wanted.")
        return 1
    return 0


def train(processes: Processes) -> str:
    """Trains a model on the series that are shown. Returns the job's id."""
    [series] = processes.client.get("/examples/air-passengers").json()["series"]
    record = {key: series[key] for key in ("id", "values", "start")}
    data = {"kind": "series", "series": [record], "freq": series["freq"]}
    job = processes.train(architecture="mlp", name=MODEL, horizon=12, season=12, epochs=EPOCHS, data=data)
    job_id: str = processes.wait_for_job(job["id"])["id"]
    return job_id


def pictures(job_id: str) -> list[tuple[str, Callable[[Page], None], dict[str, Any]]]:
    """Names, what is done until a view is as it should be, and how the browser is."""
    dark, phone = {"color_scheme": "dark"}, {"viewport": PHONE}
    return [
        ("page", show_forecast, {}),
        ("views/forecast-dark", show_forecast, dark),
        ("views/forecast-phone", show_forecast, phone),
        ("views/train", lambda page: show_training(page, job_id), {}),
        ("views/models", show_models, {}),
        ("views/compare", show_comparison, {}),
        ("views/learn", show_lessons, {}),
    ]


def shoot(browser: Browser, url: str, name: str, take: Callable[[Page], None], options: dict[str, Any]) -> None:
    watch = Watch(url)
    page = open_page(browser, url, watch, "#/learn", **{"viewport": SIZE, "reduced_motion": "reduce", **options})
    take(page)
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path, animations="disabled", caret="hide")
    page.context.close()
    print(f"{path.relative_to(IMAGES.parents[1])}: {path.stat().st_size:,} bytes")
    for fault in watch.faults:
        print(f"  {fault}")


def go(page: Page, link: str) -> None:
    page.goto(f"{page.url.partition('#')[0]}{link}")


def show_forecast(page: Page) -> None:
    go(page, f"#/forecast?data={DATA}&models=zero-shot&holdout=season")
    expect(page.get_by_role("region", name="Errors on the hidden points")).to_be_visible()


def show_training(page: Page, job_id: str) -> None:
    go(page, f"#/train?data={DATA}&job={job_id}")
    expect(page.get_by_text("is published.")).to_be_visible()
    job = page.get_by_role("region", name="Job", exact=True)
    expect(job.locator("canvas").first).to_be_visible()
    job.scroll_into_view_if_needed()


def show_models(page: Page) -> None:
    go(page, f"#/models/{MODEL}")
    expect(page.get_by_role("region", name="Scores")).to_be_visible()


def show_comparison(page: Page) -> None:
    go(page, f"#/compare?data={DATA}&models=zero-shot,{MODEL},linear")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("region", name="Forecasts").get_by_role("img")).to_be_visible()


def show_lessons(page: Page) -> None:
    expect(page.get_by_role("img", name="A wave and the state of the cell")).to_be_visible()
    page.get_by_role("heading", name="A recurrent cell").scroll_into_view_if_needed()


if __name__ == "__main__":
    sys.exit(main())
