"""Jobs whose fits are shared among processes, and what they are when nobody helps, or helpers fail."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import DatabaseUnavailable, TrainingFailed
from service.storage.object_storage import ObjectStorage
from service.store.catalog import Catalog
from service.training import shared_fits
from service.training.checkpoints import Checkpoints
from service.training.data.panel_split import read_panel
from service.training.fits import Fits
from service.training.panel_training import train_on_panel
from service.training.progress import ProgressReporter
from service.training.shared_fits import SharedFits
from service.training.trainer import Trainer
from service.training.training_result import TrainingResult
from tests.training.bench import SHORT, Bench, regular
from tests.training.recorder import Recorder


@dataclass
class Status:
    state: str = "open"
    owner: str | None = None
    beats: int = 0
    deaths: int = 0
    error: str | None = None

    @property
    def is_helped(self) -> bool:
        return self.owner == "helper"


class Table:
    """A board in memory, on which `help_` acts whenever the job looks at it."""

    def __init__(self, help_: Callable[["Table", str, dict[str, Any]], None] = lambda table, key, part: None) -> None:
        self.parts: dict[str, Status] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self._help = help_

    def post(self, job_id: str, tasks: Mapping[str, dict[str, Any]], *, is_rerun: bool) -> None:
        for key, task in tasks.items():
            self.parts.setdefault(key, Status())
            self.tasks[key] = task["part"]
        # As a helper that is faster than the job.
        for key in list(tasks)[1::2]:
            if self.parts[key].state == "open":
                self.parts[key] = Status("taken", "helper")
                self._help(self, key, self.tasks[key])

    def take_own(self, job_id: str, key: str) -> bool:
        if self.parts[key].state != "open":
            return False
        self.parts[key].state = "taken"
        return True

    def finish(self, job_id: str, key: str, owner: str | None = None, error: str | None = None) -> bool:
        self.parts[key].state = "done" if error is None else "failed"
        return True

    def give_back(self, job_id: str, key: str, owner: str, *, has_died: bool) -> None:
        self.parts[key] = Status(deaths=self.parts[key].deaths + has_died)

    def read(self, job_id: str) -> Mapping[str, Status]:
        return dict(self.parts)

    def remove(self, job_ids: Sequence[str]) -> None:
        self.parts.clear()


SERIES = [regular(120, seed) for seed in range(3)]
REQUEST: dict[str, Any] = {"architecture": "mlp", "ensemble": {"members": 4}, "units": 8, "horizon": 7, **SHORT}


class Shop:
    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.storage = ObjectStorage(folder.as_uri())
        self.plan, panel = bench.plan(SERIES, **REQUEST)
        self.values = read_panel(panel)
        self.run = Recorder("job")

    def fit(self, fits: Fits) -> TrainingResult:
        return train_on_panel(
            self.plan, self.values, Catalog(self.bench.trainer.store_root), fits, ProgressReporter(self.plan, self.run)
        )

    def shared(self, table: Table, attempt: int = 1) -> SharedFits:
        return SharedFits(lambda: None, Checkpoints(self.storage, "job"), table, "job", attempt)

    def helper(self) -> Trainer:
        """Another process: all that it knows is what stands on the board, and what is stored."""
        return Trainer(self.bench.trainer.store_root, self.bench.datasets.load, checkpoints=self.storage)


@pytest.fixture
def shop(bench: Bench, tmp_path: Path) -> Shop:
    return Shop(bench, tmp_path)


def assert_same(found: TrainingResult, expected: TrainingResult) -> None:
    for ours, theirs in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.metrics == expected.metrics
    assert found.epochs_run == expected.epochs_run
    assert found.recipe == expected.recipe


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
    monkeypatch.setattr(shared_fits, "LEASE_SECONDS", 0.0)
    monkeypatch.setattr(shared_fits, "LOOK_SECONDS", 0.01)
    alone = shop.fit(Fits(lambda: None))
    fits = shop.shared(Table())
    assert_same(shop.fit(fits), alone)
    assert fits.left_out == []


def test_what_a_helper_says_it_has_done_and_nobody_finds_is_done_again(shop: Shop) -> None:
    def lie(table: Table, key: str, part: dict[str, Any]) -> None:
        table.parts[key].state = "done"

    assert_same(shop.fit(shop.shared(Table(lie))), shop.fit(Fits(lambda: None)))


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

    alone = shop.fit(Fits(lambda: None))
    assert_same(shop.fit(shop.shared(Away())), alone)
    assert_same(shop.fit(shop.shared(AwayLater())), alone)


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

    assert_same(shop.fit(shop.shared(Table(help_))), shop.fit(Fits(lambda: None)))
    assert told
    assert all(one == {"is_refused": True} for one in told)


def test_a_helper_that_does_not_see_the_jobs_checkpoints_refuses(shop: Shop, bench: Bench, tmp_path: Path) -> None:
    elsewhere = ObjectStorage((tmp_path / "of another host").as_uri())
    helper = Trainer(bench.trainer.store_root, bench.datasets.load, checkpoints=elsewhere)
    told: list[Any] = []

    def help_(table: Table, key: str, part: dict[str, Any]) -> None:
        told.append(helper.fit_part(part, Recorder("job")))
        table.parts[key] = Status()

    shop.fit(shop.shared(Table(help_)))
    assert told
    assert all(one == {"is_refused": True} for one in told)
    assert elsewhere.list_objects() == []
