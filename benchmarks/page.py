"""What the page costs who looks at it: bytes, the first paint, frames of a long series, a click's forecast.

Run it with `make bench-page`; it needs Chromium or Chrome. A service of its own, on 127.0.0.1 and in a temporary
folder; the browser has no window, so it paints without a graphics card.
"""

import tempfile
from pathlib import Path
from statistics import median, quantiles

import numpy as np
from playwright.sync_api import Browser, Page, expect

from benchmarks.machine import describe_machine
from tests.end_to_end.processes import Processes
from tests.page.browser import Watch, launched, open_page

LOADS = 10
POINTS = 10_000
# So often each is measured, for its 95th percentile.
ROUNDS = 4
# So many epochs that it runs until it is cancelled.
ENDLESS = {"architecture": "vector_rnn", "layers": 1, "epochs": 5000, "data": {"n_series": 2000}}

PAINT = "performance.getEntriesByType('paint').find(entry => entry.name === 'first-contentful-paint').startTime"
SIZES = """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .map(entry => [entry.name, entry.encodedBodySize])"""
# Zooms in, moves to both sides, zooms out, 25 times: each step is drawn in a frame of its own, with most points.
FRAMES = """async () => {
  const chart = document.querySelector(".result .chart-area");
  const keys = Array(25).fill(["+", "ArrowLeft", "ArrowRight", "-"]).flat();
  // Without it, arrows go from point to point.
  const shiftKey = true;
  const frame = () => new Promise(requestAnimationFrame);
  const [gaps, works] = [[], []];
  let before = await frame();
  for (const key of keys) {
    const start = performance.now();
    chart.dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey, bubbles: true, cancelable: true }));
    // The chart draws in a microtask.
    await null;
    await null;
    works.push(performance.now() - start);
    const now = await frame();
    gaps.push(now - before);
    before = now;
  }
  return [gaps, works];
}"""
# From a click on another series until its forecast is drawn.
CLICKS = """async name => {
  const read = () => document.querySelector(".result .chart-area").ariaLabel.split(". ");
  const [title, summary] = read();
  const start = performance.now();
  document.querySelector(`button[aria-label="${name}"]`).click();
  for (;;) {
    await new Promise(requestAnimationFrame);
    const now = read();
    if (now[0] !== title && now[1].split("; ")[1] !== summary.split("; ")[1]) return performance.now() - start;
  }
}"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="outfielder-page-") as folder:
        processes = Processes(Path(folder), OUTFIELDER_STARTER_MODELS="none")
        try:
            processes.start("up")
            processes.wait_until_ready()
            processes.wait_until(lambda: processes.client.get("/models/zero-shot").status_code == 200, "the model")
            with launched() as browser:
                print(f"{describe_machine()}, {browser.browser_type.name} {browser.version}\n")
                print("| what | median | 95 % are below |\n|---|---|---|")
                measure_loads(browser, processes.url)
                measure_frames(browser, processes)
                measure_clicks(browser, processes)
        finally:
            processes.close()


def measure_loads(browser: Browser, url: str) -> None:
    paints, forecasts, sizes = [], [], {}
    for _ in range(LOADS):
        page = open_forecast(browser, url, "#/forecast?models=zero-shot")
        forecasts.append(page.evaluate("performance.now()"))
        paints.append(page.evaluate(PAINT))
        sizes = {name: size for name, size in page.evaluate(SIZES) if "/web/" in name or name.startswith(f"{url}/#")}
        page.context.close()
    report("first contentful paint, nothing kept", paints)
    report("the first forecast is drawn", forecasts)
    print(f"| the page's {len(sizes)} files, compressed | {sum(sizes.values()) / 1000:.0f} kB | |", flush=True)


def measure_frames(browser: Browser, processes: Processes) -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(POINTS)
    values = 100 + 20 * np.sin(steps * 2 * np.pi / 24) + rng.standard_normal(POINTS).cumsum()
    made = processes.client.post("/datasets", json={"series": [values.round(3).tolist()]}).json()
    page = open_forecast(browser, processes.url, f"#/forecast?models=zero-shot&data=dataset:{made['id']}")
    page.get_by_role("button", name="All", exact=True).click()
    gaps, works = [], []
    for _ in range(ROUNDS):
        found = page.evaluate(FRAMES)
        gaps += found[0]
        works += found[1]
    report(f"frame while zooming and moving {POINTS:,} points", gaps)
    report("of it, drawing", works)
    page.context.close()


def measure_clicks(browser: Browser, processes: Processes) -> None:
    page = open_forecast(browser, processes.url, "#/forecast?models=zero-shot&data=example:m3-monthly")
    report("click to forecast, six series", click_through(page))
    job_id = processes.train(**ENDLESS, name="endless")["id"]
    processes.wait_until(lambda: (processes.job(job_id)["progress"] or {}).get("epoch", 0) >= 1, "the first epoch")
    report("the same while a training runs", click_through(page))
    processes.cancel(job_id)
    page.context.close()


def click_through(page: Page) -> list[float]:
    """Milliseconds of clicks to the last series and back."""
    names = [*["The next series"] * 5, *["The series before"] * 5]
    return [page.evaluate(CLICKS, name) for name in names * ROUNDS]


def open_forecast(browser: Browser, url: str, link: str) -> Page:
    page = open_page(browser, url, Watch(url), link)
    expect(page.locator(".outcome").first).to_be_visible()
    return page


def report(what: str, times: list[float]) -> None:
    print(f"| {what} | {median(times):.1f} ms | {quantiles(times, n=20)[-1]:.1f} ms |", flush=True)


if __name__ == "__main__":
    main()
