"""Trials that are shared among processes, and searches that are interrupted, end as on one worker alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.recipes.auto_candidates import make_training_plan
from service.errors import TrainingFailed
from service.storage.object_storage import ObjectStorage
from service.training import checkpoints as checkpoints_module
from service.training.checkpoints import Checkpoints, Standing
from service.training.data.panel_split import read_panel
from service.training.epoch import Epoch
from service.training.fits import FitOutcome, Fits, FitTask, key_of
from service.training.panel_training import train_on_panel
from service.training.progress import ProgressReporter
from service.training.shared_fits import SharedFits
from service.training.trainer import Trainer
from service.training.training_result import TrainingResult
from service.training.tuning import TRIALS_OF_A_ROUND
from service.training.wave_training import WaveWindows, train_on_waves
from tests.training.bench import SHORT, Bench, regular
from tests.training.part_table import Status, Table, assert_same
from tests.training.recorder import Recorder

SMALL: dict[str, Any] = {"architecture": "linear", "data": {"n_series": 300}, "epochs": 8, "batch_size": 32}


class Killed(Exception):
    pass


class Search:
    """A tuned job, and who helps with it."""

    def __init__(self, folder: Path, **request: Any) -> None:
        self.storage = ObjectStorage(folder.as_uri())
        self.plan = make_training_plan({**SMALL, "tune": {"trials": 12}, **request})
        self.trainer = Trainer(folder, lambda *_, **__: pytest.fail("waves need no upload"), checkpoints=self.storage)
        self.trials: list[dict[str, Any]] = []
        self.run = Recorder("job")
        # Bounds of parts that were helped with, and what of their epochs was run.
        self.helped: list[tuple[list[float | None], int]] = []

    def help_(self, table: Table, key: str, part: dict[str, Any]) -> None:
        """Does a part as another process: all that it knows is what stands on the board, and what is stored."""
        assert self.trainer.fit_part(part, Recorder("job")) == {"is_refused": False}
        standing = Checkpoints(self.storage, "job").read(key)
        assert standing is not None
        self.helped.append((part["bounds"], len(standing.epochs)))
        table.parts[key].state = "done"

    def fit(self, fits: Fits) -> TrainingResult:
        self.run = Recorder("job")
        reporter = ProgressReporter(self.plan, self.run)
        assert reporter.trials is not None
        self.trials = reporter.trials
        return train_on_waves(self.plan, fits, reporter)

    def shared(self, table: Table, attempt: int = 1, dies_with: int | None = None, at_second: float = 0) -> SharedFits:
        """Fits beside others, of a process that dies in the trial after so many, at a second of the job's."""
        checkpoints = Checkpoints(self.storage, "job")
        checkpoints.begin_run()
        n_batches = 0

        def on_batch() -> None:
            nonlocal n_batches
            n_batches += dies_with is not None and len(self.trials) >= dies_with
            # In the second epoch of the trial.
            if n_batches == 4:
                if at_second:
                    checkpoints.clock.go_on_from(at_second)
                    checkpoints._kept_at = 0.0
                    checkpoints.keep_time()
                raise Killed

        return SharedFits(on_batch, checkpoints, table, "job", attempt)


@pytest.mark.parametrize("first_helped", [0, 1])
@pytest.mark.parametrize("members", [1, 2])
def test_a_search_does_not_depend_on_who_fitted_its_trials(members: int, first_helped: int, tmp_path: Path) -> None:
    ensemble = {"ensemble": {"members": members}} if members > 1 else {}
    search = Search(tmp_path, **ensemble)
    alone = search.fit(Fits(lambda: None))
    trials, last = search.trials, search.run.reports[-1]
    assert {trial["state"] for trial in trials} == {"complete", "pruned"}
    # With as many members as workers, first members are all done here, or all elsewhere.
    together = search.fit(search.shared(Table(search.help_, first_helped)))
    assert len(search.helped) == len(trials) * members / 2
    assert_same(together, alone)
    assert search.trials == trials
    epochs = search.run.reports[-1].epoch, search.run.reports[-1].epochs
    assert epochs[0] == epochs[1]
    if members == 1:
        assert epochs == (last.epoch, last.epochs)
        # Some were ended by the helper.
        ended = [n_epochs for bounds, n_epochs in search.helped if n_epochs < 8]
        assert ended
        assert all(bounds for bounds, n_epochs in search.helped if n_epochs < 8)


def test_a_search_on_series_of_ones_own_does_not_depend_on_its_helper(bench: Bench, tmp_path: Path) -> None:
    storage = ObjectStorage(tmp_path.as_uri())
    trainer = Trainer(bench.trainer.store.root, bench.datasets.load, checkpoints=storage)
    plan, panel = bench.plan(
        [regular(120, seed) for seed in range(3)],
        **{"architecture": "mlp", "units": 8, "horizon": 7, **SHORT, "batch_size": 16, "tune": {"trials": 6}},
    )
    helped: list[str] = []

    def help_(table: Table, key: str, part: dict[str, Any]) -> None:
        assert trainer.fit_part(part, Recorder("job")) == {"is_refused": False}
        helped.append(part["before"])
        table.parts[key].state = "done"

    def fit(fits: Fits) -> tuple[TrainingResult, list[dict[str, Any]] | None]:
        reporter = ProgressReporter(plan, Recorder("job"))
        return train_on_panel(plan, read_panel(panel), bench.catalog(), fits, reporter), reporter.trials

    alone, trials = fit(Fits(lambda: None))
    together, trials_together = fit(
        SharedFits(lambda: None, Checkpoints(storage, "job"), Table(help_), "job", attempt=1)
    )
    assert helped == ["validation"] * 3 + ["end"]
    assert_same(together, alone)
    assert trials_together == trials


@pytest.mark.parametrize("dies_with", [0, 2, TRIALS_OF_A_ROUND, TRIALS_OF_A_ROUND + 1, TRIALS_OF_A_ROUND + 3])
def test_a_search_that_is_interrupted_in_a_round_ends_as_an_undisturbed_one(
    dies_with: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints_module, "MOST_SHARE", 1e9)
    search = Search(tmp_path)
    alone = search.fit(Fits(lambda: None))
    trials, last = search.trials, search.run.reports[-1]
    table = Table(search.help_, first_helped=2)
    with pytest.raises(Killed):
        search.fit(search.shared(table, dies_with=dies_with))
    assert_same(search.fit(search.shared(table, attempt=2)), alone)
    assert search.trials == trials
    assert (search.run.reports[-1].epoch, search.run.reports[-1].epochs) == (last.epoch, last.epochs)


def test_trials_that_others_have_done_are_gone_through_again_after_the_time_is_up_and_no_others(tmp_path: Path) -> None:
    search = Search(tmp_path, tune={"trials": 12, "max_seconds": 500})
    search.fit(Fits(lambda: None))
    trials = search.trials
    table = Table(search.help_)
    with pytest.raises(Killed):
        # Of the second round the first trial is done and the third has begun; others have done the rest.
        search.fit(search.shared(table, dies_with=TRIALS_OF_A_ROUND + 2, at_second=1000.0))
    without_database = Checkpoints(search.storage, "job")
    without_database.begin_run()
    for fits in search.shared(table, attempt=2), Fits(lambda: None, without_database):
        search.fit(fits)
        assert search.trials == trials[: 2 * TRIALS_OF_A_ROUND]
        last = search.run.reports[-1]
        assert last.epoch == last.epochs


def test_a_trial_that_can_not_be_fitted_is_told_of_with_the_reason_and_the_others_go_on(tmp_path: Path) -> None:
    search = Search(tmp_path)

    def fail_once(table: Table, key: str, part: dict[str, Any]) -> None:
        n_failed = sum(part.state == "failed" for part in table.parts.values())
        table.parts[key] = Status() if n_failed else Status("failed", error="It took more memory than a job may.")

    fits = search.shared(Table(fail_once))
    result = search.fit(fits)
    assert [trial["number"] for trial in search.trials] == list(range(1, 13))
    assert [trial["number"] for trial in search.trials if trial["state"] == "failed"] == [2]
    assert [(one.part, one.reason) for one in fits.left_out] == [("trial 2", "It took more memory than a job may.")]
    least = min(trial["loss"] for trial in search.trials if trial["loss"] is not None)
    assert result.metrics["validation"]["mse"] == least
    last = search.run.reports[-1]
    assert last.epoch == last.epochs


def test_a_search_of_which_no_trial_can_be_fitted_fails_with_the_reason(tmp_path: Path) -> None:
    class Fatal(Table):
        def take_own(self, job_id: str, key: str) -> bool:
            self.parts[key] = Status("failed", error="It took more memory than a job may.")
            return False

    search = Search(tmp_path)
    fits = search.shared(Fatal(lambda table, key, part: table.parts.update({key: Status()})))
    with pytest.raises(TrainingFailed, match="memory"):
        search.fit(fits)


BOUNDS = (None, None, 1e9, 0.0, 0.0, 0.0, 0.0)


class DyingCheckpoints(Checkpoints):
    """Of a process that dies when a fit has ended."""

    def write(self, key: str, standing: Standing) -> None:
        if standing.has_ended:
            raise Killed
        super().write(key, standing)


def test_a_fit_ends_at_the_same_epoch_here_and_elsewhere_and_where_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints_module, "MOST_SHARE", 1e9)
    search, windows = Search(tmp_path), WaveWindows()
    task = FitTask(search.plan.recipes[0], bounds=BOUNDS)
    (here,) = Fits(lambda: None).run_all([task], windows, lambda epoch: None)
    assert len(here.epochs) == 4
    assert here.has_ended_early(BOUNDS)
    helped = [task, replace(task, bounds=())]
    for dies_at in (1, 3, 4, 5):
        storage = ObjectStorage((tmp_path / str(dies_at)).as_uri())
        told: list[Epoch] = []

        def die(epoch: Epoch, told: list[Epoch] = told, dies_at: int = dies_at) -> None:
            told.append(epoch)
            if len(told) == dies_at:
                raise Killed

        with pytest.raises(Killed):
            # There is no fifth: it dies when it is to write that the fit has ended.
            Fits(lambda: None, DyingCheckpoints(storage, "job")).run([task], windows, die)
        (again,) = Fits(lambda: None, Checkpoints(storage, "job")).run_all([task], windows, lambda epoch: None)
        assert [(one.number, one.val_loss) for one in again.epochs] == [
            (one.number, one.val_loss) for one in here.epochs
        ]
        assert [one.tobytes() for one in again.weights] == [one.tobytes() for one in here.weights]
    elsewhere, whole = search.shared(Table(search.help_, first_helped=0)).run_all(helped, windows, lambda epoch: None)
    assert search.helped == [(list(BOUNDS), 4)]
    assert [one.tobytes() for one in elsewhere.weights] == [one.tobytes() for one in here.weights]
    assert len(whole.epochs) == 8


def test_what_nobody_wants_any_more_is_taken_back_from_whoever_has_it(tmp_path: Path) -> None:
    search, windows = Search(tmp_path), WaveWindows()
    tasks = [FitTask(search.plan.recipes[0], bounds=BOUNDS), FitTask(replace(search.plan.recipes[0], seed=1))]
    missing: list[tuple[int, bool]] = []

    def is_wanted(index: int, outcomes: Sequence[FitOutcome | None]) -> bool:
        return outcomes[0] is None

    # A helper has the second, and is never done.
    table = Table()
    outcomes = search.shared(table).run(
        tasks,
        windows,
        lambda epoch: None,
        on_missing=lambda index, is_refused: missing.append((index, is_refused)),
        is_wanted=is_wanted,
    )
    assert [outcome is None for outcome in outcomes] == [False, True]
    assert missing == [(1, True)]
    assert list(table.parts) == [key_of(tasks[0], windows)]
