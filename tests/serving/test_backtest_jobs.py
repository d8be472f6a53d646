"""Backtests as a worker runs them: from a task, which has been JSON, on real SavedModels."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.domain.panel import Panel
from service.engines.engine import Engine
from service.engines.loaders import AutoLoader
from service.errors import BacktestFailed, NotFound, VersionNotFound
from service.serving import backtest_plan
from service.serving.backtest_jobs import BacktestJobs, make_task
from service.serving.backtest_plan import BacktestData, BacktestRequest, read_backtest_data
from service.store.catalog import Catalog
from service.store.manifest import Manifest
from tests.serving.models import KINDS, Kind, add_version
from tests.serving.test_backtesting import LIMITS, MONTHLY, opened, run

PANELS: dict[str, Panel] = {}


def load_panel(panel_id: str, digest: str | None = None) -> Panel:
    assert digest is None
    if panel_id not in PANELS:
        raise NotFound(panel_id)
    return PANELS[panel_id]


def task_of(root: Path, data: BacktestData, **fields: Any) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with opened(root) as backtesting:
            request = BacktestRequest(**fields)
            prepared = await backtesting.prepare(request, data)
            return make_task(prepared, request, data, "p")

    PANELS["p"] = data.panel
    task: dict[str, Any] = json.loads(json.dumps(asyncio.run(main())))
    return task


def perform(
    root: Path,
    task: dict[str, Any],
    report: Callable[[int, int, float], None] = lambda *_: None,
    raise_if_stopped: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    loader = partial(AutoLoader, beside_training=True)
    return BacktestJobs(root, loader, LIMITS, load_panel).run(task, report, raise_if_stopped)


def test_a_task_gives_what_the_request_would_have_given_at_once(stored_kinds: Path) -> None:
    posted = {"a": MONTHLY, "b/c": [1.0, None, 3.0], "d": MONTHLY[:30]}
    at_once = run(stored_kinds, posted, freq="MS", model="whole", windows=2)
    task = task_of(stored_kinds, read_backtest_data(posted, "MS"), model="whole", windows=2)
    assert (task["kind"], task["model"], task["request"]["version"]) == ("backtest", "whole", 1)
    assert perform(stored_kinds, task) == at_once
    assert at_once["series"][1]["error"]["pointer"] == "/series/b~1c"


def test_a_task_of_an_upload_without_a_frequency_has_the_one_that_was_asked_for(stored_kinds: Path) -> None:
    at_once = run(stored_kinds, {"a": MONTHLY}, freq="MS", model="whole", windows=2)
    without = read_backtest_data({"a": MONTHLY}, None)
    task = task_of(stored_kinds, replace(without, asked_freq="MS"), model="whole", windows=2)
    assert perform(stored_kinds, task) == at_once
    assert at_once["season"] == 12


def test_progress_is_told_and_a_stop_between_parts_ends_it(stored_kinds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest_plan, "PART_ROWS", 6)
    monkeypatch.setattr("service.serving.backtest_jobs.REPORT_SECONDS", 0.0)
    task = task_of(stored_kinds, read_backtest_data([MONTHLY] * 5, None), model="whole")
    told: list[tuple[int, int]] = []
    perform(stored_kinds, task, lambda done, total, eta_seconds: told.append((done, total)))
    assert told == [(2, 5), (4, 5), (5, 5)]

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        perform(stored_kinds, task, raise_if_stopped=stop)


def test_nothing_is_loaded_again_and_again_beside_a_backtest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest_plan, "PART_ROWS", 1)
    monkeypatch.setattr("service.serving.registry.REFRESH_SECONDS", 0.0)
    loaded: list[str] = []

    class Loader(AutoLoader):
        def __call__(self, folder: Path, manifest: Manifest) -> Engine:
            loaded.append(manifest.name)
            return super().__call__(folder, manifest)

    # The older one is what requests get that name no model; a registry keeps it loaded.
    for name in ("older", "tested"):
        add_version(tmp_path, name, KINDS["whole"])
    task = task_of(tmp_path, read_backtest_data([MONTHLY] * 20, "MS"), model="tested")
    loader = partial(Loader, beside_training=True)
    # Time enough for others to be loaded between its parts.
    BacktestJobs(tmp_path, loader, LIMITS, load_panel).run(task, lambda *_: None, lambda: time.sleep(0.1))
    assert loaded.count("tested") == 1
    assert loaded.count("older") <= 2


def test_what_has_gone_meanwhile_fails_the_job(tmp_path: Path) -> None:
    for _ in range(2):
        add_version(tmp_path, "m", Kind(bias=3e38))
    data = read_backtest_data([MONTHLY], None)
    task = task_of(tmp_path, data, model="m", version=1)
    with pytest.raises(NotFound):
        perform(tmp_path, {**task, "panel": "gone"})
    PANELS["p"] = read_backtest_data([[3e38] * 40], None).panel
    with pytest.raises(BacktestFailed, match="32-bit"):
        perform(tmp_path, task)
    Catalog(tmp_path).delete_version("m", 1)
    with pytest.raises(VersionNotFound):
        perform(tmp_path, task)
