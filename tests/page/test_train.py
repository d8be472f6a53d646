"""Training from the form, and jobs as they run and end."""

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.end_to_end.processes import Processes
from tests.page.browser import PATIENCE_MS, Watch
from tests.page.conftest import Open
from tests.page.tables import read_chart

EPOCHS = 6
# So many epochs that no test sees their end.
ENDLESS = 5000


def jobs_named(http: httpx.Client, model: str) -> list[dict[str, Any]]:
    return [job for job in http.get("/jobs").json()["jobs"] if job["model"] == model]


def job_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Job", exact=True)


def field_of(form: Locator, name: str) -> Locator:
    """An option's part of the form, of which some are folded away."""
    if form.locator("details").get_attribute("open") is None:
        form.locator("summary").click()
    return form.locator(".field").filter(has=form.page.locator("span", has_text=re.compile(f"^{name}$")))


def fill(page: Page, **options: str) -> None:
    """Fills options of the form."""
    for name, text in options.items():
        field = field_of(page.get_by_role("form", name="Training"), name).locator("input, select")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(text)
        else:
            field.fill(text)


def train_on_waves(page: Page, name: str, architecture: str, **options: str) -> None:
    """Submits the form for a model of the chapter's waves."""
    page.get_by_role("button", name="Train on the textbook's waves instead").click()
    page.get_by_label("Architecture").select_option(architecture)
    page.get_by_label("Name of the model").fill(name)
    fill(page, n_series="200", **options)
    page.get_by_role("button", name="Start training").click()


@pytest.fixture
def endless(service: Processes) -> Iterator[str]:
    """The name of a model whose training goes on until it is cancelled, at the latest after the test."""
    name = "page-endless"
    yield name
    for job in jobs_named(service.client, name):
        if job["status"] in ("queued", "running"):
            service.cancel(job["id"])


@pytest.fixture
def blocked(service: Processes) -> Iterator[str]:
    """The name of a model that can't be published: a file is in its place."""
    path = service.store / "page-blocked"
    path.touch()
    yield path.name
    path.unlink()


def test_a_training_is_watched_until_its_model_forecasts(visit: Open, http: httpx.Client) -> None:
    name = "page-trained"
    page = visit("#/train")
    train_on_waves(page, name, "linear", epochs=str(EPOCHS), scaling="standard")
    job = job_of(page)
    expect(job.get_by_text(f"{name} version 1 is published.")).to_be_visible()
    expect(job.locator(".badge")).to_have_text("succeeded")
    losses = read_chart(job)
    assert losses.columns == ["epoch", "training loss", "validation loss"]
    assert len(losses.column("validation loss")) >= EPOCHS
    [found] = jobs_named(http, name)
    mse = http.get(f"/jobs/{found['id']}").json()["result"]["metrics"]["test"]["mse"]
    shown = re.search(r"that it had not seen is ([\d.]+)\.", job.inner_text())
    assert shown is not None
    assert float(shown[1]) == pytest.approx(mse, rel=1e-2)
    # As the one that answers: no number is needed.
    expect(job.get_by_role("link", name="Forecast with it")).to_have_attribute("href", f"#/forecast?models={name}")
    job.get_by_role("link", name="Forecast with it").click()
    expect(page.locator(".outcome")).to_contain_text(name)


def test_a_running_job_is_seen_live_and_cancelled(visit: Open, watch: Watch, http: httpx.Client, endless: str) -> None:
    page = visit("#/train")
    train_on_waves(page, endless, "vector_rnn", epochs=str(ENDLESS), layers="1")
    job = job_of(page)
    expect(job.locator(".badge")).to_have_text("running")
    expect(job.get_by_role("status")).to_contain_text(re.compile(rf"Epoch [1-9]\d* of {ENDLESS}"))
    before = len(read_chart(job).rows)
    # More come while somebody looks.
    expect(job.locator("details.data-table tbody tr").nth(before + 1)).to_be_visible()
    jobs = page.get_by_role("region", name="Jobs")
    expect(jobs.get_by_role("button", name=endless)).to_contain_text("running")
    # While the job writes, the database may be locked for longer than a request waits: one clicks again.
    watch.refusals.add(503)
    deadline = time.monotonic() + PATIENCE_MS / 1000
    status = 503
    while status == 503 and time.monotonic() < deadline:
        with page.expect_response(re.compile(r"/jobs/\w+/cancel$")) as answer:
            job.get_by_role("button", name="Cancel this job").click()
        status = answer.value.status
    assert status == 202
    expect(job.get_by_text("It was cancelled. Nothing was published.")).to_be_visible()
    expect(jobs.get_by_role("button", name=endless)).to_contain_text("cancelled")
    assert http.get(f"/models/{endless}").status_code == 404


def test_a_refused_option_is_explained_beside_it(visit: Open, watch: Watch, http: httpx.Client) -> None:
    watch.refusals.add(422)
    page = visit("#/train")
    page.get_by_label("Architecture").select_option("gru")
    page.get_by_label("Name of the model").fill("page-refused")
    fill(page, epochs="many")
    page.get_by_role("button", name="Start training").click()
    refused = http.post("/train", json={"architecture": "gru", "epochs": "many"}).json()
    message = refused["errors"][0]["message"]
    form = page.get_by_role("form", name="Training")
    expect(form.locator("div.problem")).to_contain_text(message)
    field = field_of(form, "epochs")
    expect(field.get_by_role("alert")).to_have_text(message)
    expect(field.locator("input")).to_have_attribute("aria-invalid", "true")
    assert jobs_named(http, "page-refused") == []


def test_a_failed_job_says_why_and_stays_in_the_history(visit: Open, http: httpx.Client, blocked: str) -> None:
    page = visit("#/train")
    train_on_waves(page, blocked, "linear", epochs="1", scaling="standard")
    job = job_of(page)
    expect(job.get_by_role("alert")).to_contain_text("It failed.")
    [found] = jobs_named(http, blocked)
    assert found["error"]["message"] in job.get_by_role("alert").inner_text()
    # Later, from the list.
    again = visit("#/train")
    jobs = again.get_by_role("region", name="Jobs")
    expect(jobs.get_by_role("button", name=blocked)).to_contain_text("failed")
    jobs.get_by_role("button", name=blocked).click()
    expect(job_of(again).get_by_role("alert")).to_contain_text(found["error"]["message"])
    expect(job_of(again).locator("code").first).to_have_text(found["id"])


def test_the_form_has_what_an_architecture_takes(visit: Open, http: httpx.Client) -> None:
    page = visit("#/train")
    form = page.get_by_role("form", name="Training")
    form.locator("summary").click()
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    words = {word["const"]: word for word in schemas["TrainBody"]["properties"]["architecture"]["oneOf"]}
    for architecture in ("linear", "gru"):
        form.get_by_label("Architecture").select_option(architecture)
        expect(form.get_by_text(words[architecture]["description"])).to_be_visible()
        shown = form.locator(".options > .field > span, .options > fieldset > legend").all_inner_texts()
        assert set(shown) == set(words[architecture]["x-options"])
