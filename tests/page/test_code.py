"""What is taken from the page to elsewhere: links, and requests as code."""

import json
import shutil
import subprocess
import sys

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Open
from tests.page.forecasts import choose_example, result_of
from tests.page.tables import SIX_DIGITS, Table, read_chart, read_table

# A shell, JSON and Python each have a word to say about these.
NAME = """it's "north" $HOME `so` \\n"""
VALUES = [3.5, 8, None, 13, 21, 17, 9, 4, 6, 11, 15, 22]


def copied(page: Page, label: str) -> str:
    page.get_by_role("button", name=label).click()
    expect(page.get_by_role("button", name="Copied").first).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def ahead(shown: Table) -> list[float]:
    """What is forecast, without the last point that is known, where its line begins."""
    return list(shown.column("zero-shot").values())[1:]


@pytest.fixture
def named(visit: Open, http: httpx.Client) -> Page:
    """The forecast of a series with an awkward name."""
    made = http.post("/datasets", json={"series": {NAME: VALUES * 4}}).json()
    page = visit(f"#/forecast?models=zero-shot&data=dataset:{made['id']}&horizon=5")
    result_of(page)
    return page


def test_a_link_brings_the_same_view_back(visit: Open) -> None:
    page = visit("#/forecast?models=zero-shot")
    choose_example(page, "Six monthly series of the M3 competition")
    page.get_by_role("button", name="The next series").click()
    page.get_by_label("Test yourself").check()
    page.get_by_role("textbox", name="Hidden points").fill("7")
    page.get_by_role("textbox", name="Hidden points").press("Enter")
    page.get_by_label("Intervals").fill("60")
    page.get_by_label("Intervals").press("Enter")
    errors = page.get_by_role("region", name="Errors on the hidden points")
    expect(errors.get_by_text("Errors on the 7 hidden points")).to_be_visible()
    expect(errors.get_by_text("Inside 60 %")).to_be_visible()
    before = read_table(errors)
    again = visit(copied(page, "Copy a link to this view").partition("/")[2].partition("/")[2].partition("/")[2])
    expect(again.get_by_role("region", name="Errors on the hidden points")).to_be_visible()
    result_of(again)
    assert read_table(again.get_by_role("region", name="Errors on the hidden points")) == before
    expect(again.get_by_text("2 of 6")).to_be_visible()
    assert read_chart(result_of(again)) == read_chart(result_of(page))


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_curl_command_gives_what_is_shown(named: Page) -> None:
    command = copied(named, "Copy the code")
    assert command == named.get_by_role("region", name="Code", exact=True).locator("pre").inner_text()
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    [said] = json.loads(ran.stdout)["forecasts"]
    assert said["id"] == NAME
    assert ahead(read_chart(result_of(named))) == pytest.approx(said["values"], rel=SIX_DIGITS)


def test_the_python_code_gives_what_is_shown(named: Page) -> None:
    named.get_by_role("button", name="Python").click()
    code = copied(named, "Copy the code")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(NAME)
    assert ahead(read_chart(result_of(named))) == pytest.approx(
        json.loads(ran.stdout.removeprefix(NAME)), rel=SIX_DIGITS
    )
