"""Backtests whose parts are shared: what they are when others help, when nobody does, and when helpers fail."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import BacktestFailed, DatabaseUnavailable
from service.jobs.helping import Helper
from service.jobs.run_errors import JobStopped, RunLost
from service.jobs.slot import Slot
from service.parts import sharing
from service.serving import backtest_plan, open_backtest
from service.serving.backtest_plan import read_backtest_data
from service.storage.object_storage import ObjectStorage
from tests.serving.backtest_shop import (
    N_SERIES,
    POSTED,
    Shop,
    add_calibrated,
)
from tests.serving.test_backtest_jobs import PANELS, load_panel, task_of
from tests.serving.test_backtesting import LIMITS, MONTHLY, run


@pytest.mark.parametrize("n_helped", [0, 3, 7])
def test_an_answer_does_not_depend_on_who_helped(shop: Shop, at_once: dict[str, Any], n_helped: int) -> None:
    helpers = [shop.helper(), shop.helper()]

    def help_() -> None:
        assert shop.states() == {"open": 7}
        for i in range(n_helped):
            assert helpers[i % 2]._help()
        assert shop.states().get("done", 0) == n_helped

    shop.board.on_posted = help_
    assert shop.run() == at_once
    assert at_once["series"][-1]["error"]["code"] == "too_short"
    assert [series["id"] for series in at_once["series"]] == list(POSTED)
    # What helpers have done counts, and nothing counts twice.
    assert shop.told == sorted(set(shop.told))
    assert shop.told[-1] == (N_SERIES, N_SERIES)
    # An ended job leaves nothing behind.
    assert shop.states() == {}
    assert shop.objects() == {}


def test_a_job_and_a_helper_at_the_same_time_give_the_same_answer(shop: Shop, at_once: dict[str, Any]) -> None:
    stop = threading.Event()
    helper = shop.helper()

    def keep_helping() -> None:
        while not stop.wait(0.01):
            helper._help()

    helping = threading.Thread(target=keep_helping)
    helping.start()
    try:
        for _ in range(3):
            assert shop.run() == at_once
    finally:
        stop.set()
        helping.join()


def test_a_job_of_few_parts_asks_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("it was posted")

    shop.board.on_posted = fail
    monkeypatch.setattr(backtest_plan, "PART_ROWS", 15)
    shop.run(lambda: None if shop.objects() == {} else fail())


def test_without_its_database_a_job_does_all_by_itself(shop: Shop, at_once: dict[str, Any]) -> None:
    def raise_away() -> None:
        raise DatabaseUnavailable("It is away.")

    shop.board.on_posted = raise_away
    assert shop.run() == at_once


@pytest.mark.parametrize("way", ["stands still", "dies", "says that it was done and nobody finds it"])
def test_what_a_helper_does_not_do_the_job_does(
    shop: Shop, at_once: dict[str, Any], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "LEASE_SECONDS", 0.0)

    def take() -> None:
        for owner in ("a", "b"):
            part = shop.board.take_any(owner)
            assert part
            if way == "dies":
                shop.board.give_back("job", part.key, owner, has_died=True)
            if way.startswith("says"):
                shop.board.finish("job", part.key, owner)

    shop.board.on_posted = take
    assert shop.run() == at_once


def test_a_helper_that_dies_in_the_middle_costs_its_part_alone(shop: Shop, at_once: dict[str, Any]) -> None:
    worker = shop.worker()

    def die(task: dict[str, Any], job: Any) -> dict[str, Any]:
        worker.run_part(task, "job", lambda: None)
        if len(shop.objects()) == 4:
            raise RunLost("job")
        return {}

    helper = Helper(shop.board, die, Slot(), threading.Event())

    def help_() -> None:
        # Whoever lost a process at a job leaves it alone.
        assert [helper._help() for _ in range(3)] == [True, True, False]
        assert shop.states() == {"done": 1, "open": 6}

    shop.board.on_posted = help_
    assert shop.run() == at_once


def die_of_the_first(shop: Shop, times: int) -> None:
    for _ in range(times):
        part = shop.board.take_any("a")
        assert part
        shop.board.give_back("job", part.key, "a", has_died=True)


@pytest.mark.parametrize(("n_deaths", "attempt"), [(3, 1), (2, 3), (3, 3)])
def test_a_part_that_took_helpers_down_is_tried_by_the_jobs_own_process(
    shop: Shop, at_once: dict[str, Any], n_deaths: int, attempt: int
) -> None:
    shop.board.on_posted = lambda: die_of_the_first(shop, n_deaths)
    assert shop.run(attempt=attempt) == at_once


def test_a_part_that_took_the_jobs_own_process_down_as_well_fails_the_job_with_the_reason(shop: Shop) -> None:
    def die() -> None:
        die_of_the_first(shop, 3)
        part = next(key for key, part in shop.board.read("job").items() if part.deaths)
        assert shop.board.take_own("job", part)
        raise KeyboardInterrupt  # as a process that ends at once

    shop.board.on_posted = die
    with pytest.raises(KeyboardInterrupt):
        shop.run()
    shop.board.on_posted = lambda: None
    with pytest.raises(BacktestFailed, match=r"from 'series 0' to 'series 1' could not .* died, 4 times"):
        shop.run(attempt=2)
    assert shop.objects() == {}
    assert shop.states() == {}


@pytest.mark.parametrize("n_lost", [1, 7])
def test_parts_that_the_database_has_lost_are_done_by_the_jobs_own_process(
    shop: Shop, at_once: dict[str, Any], n_lost: int
) -> None:
    def lose() -> None:
        shop.board.close("job", list(shop.board.read("job"))[:n_lost])

    shop.board.on_posted = lose
    assert shop.run() == at_once


def test_a_run_that_lost_its_job_leaves_what_the_next_one_goes_on_from(shop: Shop) -> None:
    def lose() -> None:
        raise JobStopped("job")

    with pytest.raises(JobStopped):
        shop.run(confirm=lose)
    # The clock, the linear baseline and seven parts.
    assert len(shop.objects()) == 9


def test_a_part_that_failed_elsewhere_fails_the_job_with_the_reason(shop: Shop) -> None:
    def fail() -> None:
        part = shop.board.take_any("a")
        assert part
        shop.board.finish("job", part.key, "a", error="It can't be computed.")

    shop.board.on_posted = fail
    with pytest.raises(BacktestFailed, match="It can't be computed"):
        shop.run()


@pytest.mark.parametrize(
    "other",
    ["no version", "another version", "other series", "no series", "no checkpoints", "checkpoints elsewhere", "limits"],
)
def test_a_helper_that_would_compute_something_else_refuses(
    shop: Shop, at_once: dict[str, Any], other: str, tmp_path: Path
) -> None:
    root, changes = shop.root, dict[str, Any]()
    if other == "no version":
        root = tmp_path / "empty"
        root.mkdir()
    elif other == "another version":
        root = tmp_path / "other"
        add_calibrated(root, bias=1.0)
    elif other == "other series":
        panel = PANELS["p"]
        changes["load_panel"] = lambda name, digest: replace(panel, values=(panel.values[0] + 1e-9, *panel.values[1:]))
    elif other == "no series":
        changes["load_panel"] = lambda name, digest: load_panel("gone")
    elif other == "no checkpoints":
        changes["checkpoints"] = None
    elif other == "checkpoints elsewhere":
        changes["checkpoints"] = ObjectStorage((tmp_path / "of another host").as_uri())
    worker = shop.worker(root, **changes)
    if other == "limits":
        worker._limits = replace(LIMITS, max_series_length=30)
    helper = shop.helper(worker)

    def help_() -> None:
        # It is not asked again.
        assert [helper._help(), helper._help()] == [True, False]
        assert shop.states() == {"open": 7}
        assert all(part.deaths == 0 for part in shop.board.read("job").values())

    shop.board.on_posted = help_
    assert shop.run() == at_once


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 60), min_size=8, max_size=14),
    rows=st.integers(1, 9),
    most=st.integers(1, 9),
    n_helped=st.integers(0, 9),
)
def test_whatever_the_parts_and_whoever_did_them_the_pooled_scores_are_those_of_one_run(
    calibrated_root: Path,
    small_parts: None,
    tmp_path_factory: pytest.TempPathFactory,
    lengths: Sequence[int],
    rows: int,
    most: int,
    n_helped: int,
) -> None:
    posted = {f"s{i}": MONTHLY[:length] for i, length in enumerate([60, *lengths])}
    asked: dict[str, Any] = {"model": "m", "windows": 2, "horizon": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backtest_plan, "PART_ROWS", rows)
        patch.setattr(open_backtest, "MOST_SPANS", most)
        patch.setattr("service.serving.backtest_jobs.FEWEST_SHARED_PARTS", 1)
        shop = Shop(calibrated_root, tmp_path_factory.mktemp("shop"))
        shop.task = task_of(calibrated_root, read_backtest_data(posted, "MS"), **asked)
        helper = shop.helper()

        def help_() -> None:
            for _ in range(n_helped):
                helper._help()

        shop.board.on_posted = help_
        try:
            assert shop.run() == run(calibrated_root, posted, freq="MS", **asked)
        finally:
            shop.close()
