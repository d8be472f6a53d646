"""Jobs whose fits are shared among processes, and what they are when nobody helps, or helpers fail."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import DatabaseUnavailable, TrainingFailed
from service.parts import sharing
from service.storage.object_storage import ObjectStorage
from service.store.catalog import Catalog
from service.training import checkpoints as checkpoints_module
from service.training.checkpoints import Checkpoints
from service.training.data.panel_split import prepare_panel, read_panel
from service.training.epoch import Epoch
from service.training.fits import FitOutcome, Fits
from service.training.panel_fit import PanelWindows, make_tasks, settle
from service.training.panel_training import train_on_panel
from service.training.progress import ProgressReporter
from service.training.shared_fits import SharedFits
from service.training.trainer import Trainer
from service.training.training_result import TrainingResult
from tests.training.bench import SHORT, Bench, regular
from tests.training.part_table import Status, Table, assert_same
from tests.training.recorder import Recorder

SERIES = [regular(120, seed) for seed in range(3)]
REQUEST: dict[str, Any] = {"architecture": "mlp", "ensemble": {"members": 4}, "units": 8, "horizon": 7, **SHORT}


ALONE: list[TrainingResult] = []


class Shop:
    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.storage = ObjectStorage(folder.as_uri())
        self.plan, panel = bench.plan(SERIES, name="shared", **REQUEST)
        self.values = read_panel(panel)
        self.run = Recorder("job")

    def alone(self) -> TrainingResult:
        """What a job without helpers fits: the same for every shop."""
        if not ALONE:
            ALONE.append(self.fit(Fits(lambda: None)))
        return ALONE[0]

    def fit(self, fits: Fits) -> TrainingResult:
        return train_on_panel(
            self.plan, self.values, Catalog(self.bench.trainer.store.root), fits, ProgressReporter(self.plan, self.run)
        )

    def shared(self, table: Table, attempt: int = 1) -> SharedFits:
        return SharedFits(lambda: None, Checkpoints(self.storage, "job"), table, "job", attempt)

    def helper(self) -> Trainer:
        """Another process: all that it knows is what stands on the board, and what is stored."""
        return Trainer(self.bench.trainer.store.root, self.bench.datasets.load, checkpoints=self.storage)


@pytest.fixture
def shop(bench: Bench, tmp_path: Path) -> Shop:
    return Shop(bench, tmp_path)


def test_a_model_does_not_depend_on_who_fitted_its_members(shop: Shop) -> None:
    alone = shop.fit(Fits(lambda: None))
    epochs_alone = shop.run.reports[-1].epoch
    helper = shop.helper()
    helped: list[str] = []

    def help_(table: Table, key: str, part: dict[str, Any]) -> None:
        assert helper.fit_part(part, Recorder("job")) == {"is_refused": False}
        helped.append(part["before"])
        table.parts[key].state = "done"

    together = shop.fit(shop.shared(Table(help_)))
    assert sorted(helped) == ["end"] * 2 + ["test"] * 2 + ["validation"] * 2
    assert_same(together, alone)
    last = shop.run.reports[-1]
    assert (last.epoch, last.epochs) == (epochs_alone, epochs_alone)


def test_a_helper_that_does_not_live_any_more_is_replaced(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "LEASE_SECONDS", 0.0)
    monkeypatch.setattr(sharing, "LOOK_SECONDS", 0.01)
    alone = shop.alone()
    fits = shop.shared(Table())
    assert_same(shop.fit(fits), alone)
    assert fits.left_out == []


def test_what_a_helper_says_it_has_done_and_nobody_finds_is_done_again(shop: Shop) -> None:
    def lie(table: Table, key: str, part: dict[str, Any]) -> None:
        table.parts[key].state = "done"

    assert_same(shop.fit(shop.shared(Table(lie))), shop.alone())


def test_without_its_database_a_job_does_all_by_itself(shop: Shop) -> None:
    class Away(Table):
        def post(self, job_id: str, tasks: Mapping[str, dict[str, Any]], *, is_rerun: bool) -> None:
            raise DatabaseUnavailable("It is away.")

    class AwayLater(Table):
        def take_own(self, job_id: str, key: str) -> bool:
            raise DatabaseUnavailable("It is away.")

        def read(self, job_id: str) -> Mapping[str, Status]:
            raise DatabaseUnavailable("It is away.")

        def finish(self, job_id: str, key: str, owner: str | None = None, error: str | None = None) -> bool:
            raise DatabaseUnavailable("It is away.")

    alone = shop.alone()
    assert_same(shop.fit(shop.shared(Away())), alone)
    assert_same(shop.fit(shop.shared(AwayLater())), alone)


def test_the_clock_of_a_job_is_not_that_of_its_helpers_nor_runs_twice(shop: Shop) -> None:
    helper = shop.helper()

    def help_(table: Table, key: str, part: dict[str, Any]) -> None:
        helper.fit_part(part, Recorder("job"))
        table.parts[key].state = "done"

    began = time.monotonic()
    fits = shop.shared(Table(help_))
    assert fits.checkpoints is not None
    fits.checkpoints.begin_run()
    shop.fit(fits)
    assert fits.clock.elapsed() <= time.monotonic() - began


@pytest.mark.parametrize("way", ["failed", "died three times", "died twice before the last run"])
def test_a_member_that_can_not_be_fitted_is_left_out_with_the_reason(shop: Shop, way: str) -> None:
    def fail(table: Table, key: str, part: dict[str, Any]) -> None:
        if part["before"] != "validation":
            table.parts[key] = Status()
        elif way == "failed":
            table.parts[key] = Status("failed", error="It diverged.")
        else:
            table.parts[key] = Status(deaths=3 if way == "died three times" else 2)

    fits = shop.shared(Table(fail), attempt=3 if "last" in way else 1)
    result = shop.fit(fits)
    assert len(result.networks) == 2
    assert [one.part for one in fits.left_out] == ["mlp 2", "mlp 4"]
    expected = "It diverged." if way == "failed" else "The process that fitted it died"
    assert all(expected in one.reason for one in fits.left_out)


def test_a_job_of_which_nothing_is_left_fails_with_the_reason(shop: Shop) -> None:
    class Fatal(Table):
        def post(self, job_id: str, tasks: Mapping[str, dict[str, Any]], *, is_rerun: bool) -> None:
            self.parts = {key: Status("failed", error="Their numbers are not finite.") for key in tasks}

        def take_own(self, job_id: str, key: str) -> bool:
            return False

    with pytest.raises(TrainingFailed, match="not finite"):
        shop.fit(shop.shared(Fatal()))


def test_a_helper_refuses_a_part_of_other_data(shop: Shop, bench: Bench) -> None:
    told: list[Any] = []
    helper = shop.helper()

    def help_(table: Table, key: str, part: dict[str, Any]) -> None:
        told.append(helper.fit_part({**part, "season": part["season"] + 1}, Recorder("job")))
        table.parts[key] = Status()

    assert_same(shop.fit(shop.shared(Table(help_))), shop.alone())
    assert told
    assert all(one == {"is_refused": True} for one in told)


def test_a_helper_that_does_not_see_the_jobs_checkpoints_refuses(shop: Shop, bench: Bench, tmp_path: Path) -> None:
    elsewhere = ObjectStorage((tmp_path / "of another host").as_uri())
    helper = Trainer(bench.trainer.store.root, bench.datasets.load, checkpoints=elsewhere)
    told: list[Any] = []

    def help_(table: Table, key: str, part: dict[str, Any]) -> None:
        told.append(helper.fit_part(part, Recorder("job")))
        table.parts[key] = Status()

    shop.fit(shop.shared(Table(help_)))
    assert told
    assert all(one == {"is_refused": True} for one in told)
    assert elsewhere.list_objects() == []


class Members:
    """The members of the shop's ensemble as a list of tasks, and what a run of them tells."""

    def __init__(self, shop: Shop) -> None:
        prepared = prepare_panel(shop.values, shop.plan.recipes[0])
        self.tasks = make_tasks(settle(shop.plan.recipes[0], prepared))
        self.windows = PanelWindows(prepared, shop.plan.recipes[0])
        self.shop = shop
        self.told: list[Epoch] = []
        self.missing: list[tuple[int, bool]] = []

    def run(self, table: Table, attempt: int = 1, most: int = 4) -> list[FitOutcome | None]:
        """Of as many members as there is time for."""
        self.told, self.missing = [], []
        fits = self.shop.shared(table, attempt)
        assert fits.checkpoints is not None
        fits.checkpoints.begin_run()
        return fits.run(
            self.tasks,
            self.windows,
            self.told.append,
            lambda index, outcomes: index < most,
            lambda index, is_refused: self.missing.append((index, is_refused)),
        )


def open_all(table: Table, key: str, part: dict[str, Any]) -> None:
    """Nobody helps."""
    table.parts[key] = Status()


def test_what_there_was_no_time_for_is_not_begun_by_a_later_run_either(shop: Shop) -> None:
    members, table = Members(shop), Table(open_all)
    first = members.run(table, most=2)
    assert [outcome is None for outcome in first] == [False, False, True, True]
    assert members.missing == [(2, True), (3, True)]
    again = members.run(table, attempt=2)
    assert [outcome is None for outcome in again] == [False, False, True, True]
    assert sorted(members.missing) == [(2, True), (3, True)]
    for ours, theirs in zip(first[:2], again[:2], strict=True):
        assert ours
        assert theirs
        for weights, expected in zip(theirs.weights, ours.weights, strict=True):
            np.testing.assert_array_equal(weights, expected)


def test_what_is_said_to_be_done_and_nobody_finds_is_done_again_only_in_time(shop: Shop) -> None:
    def lie(table: Table, key: str, part: dict[str, Any]) -> None:
        table.parts[key].state = "done"

    members = Members(shop)
    assert [outcome is None for outcome in members.run(Table(lie), most=2)] == [False, False, True, True]
    assert sorted(members.missing) == [(2, True), (3, True)]


class Clock:
    """Time that passes as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_database_that_was_away_is_no_sign_that_helpers_have_died(
    shop: Shop, is_alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(sharing, "time", clock)

    class AwayForAMinute(Table):
        looks = 0
        given_back_at: list[float]

        def read(self, job_id: str) -> Mapping[str, Status]:
            helped = [key for key, part in self.parts.items() if part.is_helped]
            if all(part.is_helped or part.state == "done" for part in self.parts.values()):
                self.looks += 1
                if self.looks == 2:
                    clock.now += 60.0
                    raise DatabaseUnavailable("It is away.")
                if self.looks > 3 and is_alive:
                    # Now that it is there again, they say so, and do the rest.
                    for key in helped:
                        helper.fit_part(self.tasks[key], Recorder("job"))
                        self.parts[key].state, self.parts[key].owner = "done", None
            return super().read(job_id)

        def give_back(self, job_id: str, key: str, owner: str, *, has_died: bool) -> None:
            self.given_back_at.append(clock.now)
            super().give_back(job_id, key, owner, has_died=has_died)

    helper, members = shop.helper(), Members(shop)
    table = AwayForAMinute()
    table.given_back_at = []
    outcomes = members.run(table)
    assert all(outcomes)
    if is_alive:
        assert table.given_back_at == []
    else:
        assert len(table.given_back_at) == 2
        assert min(table.given_back_at) >= 1060.0 + sharing.LEASE_SECONDS


def test_epochs_are_told_once_over_all_runs_by_the_numbers_of_their_fits(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints_module, "MOST_SHARE", 1e9)
    members, helper = Members(shop), shop.helper()

    def help_(table: Table, key: str, part: dict[str, Any]) -> None:
        helper.fit_part(part, Recorder("job"))
        table.parts[key].state = "done"

    table = Table(help_)
    fits = shop.shared(table)
    assert fits.checkpoints is not None
    fits.checkpoints.begin_run()
    told: list[Epoch] = []

    def die(epoch: Epoch) -> None:
        told.append(epoch)
        if epoch.task == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fits.run(members.tasks, members.windows, die)
    # What the helper has done was told as soon as it was seen.
    assert [(epoch.task, epoch.number) for epoch in told] == [(1, 1), (1, 2), (3, 1), (3, 2), (0, 1), (0, 2), (2, 1)]
    assert [epoch.member for epoch in told] == [2, 2, 4, 4, 1, 1, 3]
    assert not any(epoch.is_restored for epoch in told)
    members.run(table, attempt=2)
    assert sorted((epoch.member, epoch.number) for epoch in members.told) == [
        (member, number) for member in range(1, 5) for number in (1, 2)
    ]
    # The one that it died at was not written any more.
    assert [(epoch.member, epoch.number) for epoch in members.told if not epoch.is_restored] == [(3, 1), (3, 2)]


def test_progress_ends_with_its_total_though_members_were_left_out(shop: Shop) -> None:
    def fail(table: Table, key: str, part: dict[str, Any]) -> None:
        table.parts[key] = Status("failed", error="It diverged.") if part["before"] == "validation" else Status()

    shop.fit(shop.shared(Table(fail)))
    last = shop.run.reports[-1]
    assert last.epoch == last.epochs
    # Going on with further points begins after all four members.
    assert [report.member for report in shop.run.reports if report.member_epoch == 1] == [1, 3, 5, 6, 7, 8]
