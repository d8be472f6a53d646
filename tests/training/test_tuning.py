"""The tuner: what it may change, what it publishes, and what it tells of its trials."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import PanelData
from service.domain.recipes.training_plan import TrainingPlan
from service.errors import InvalidRequest, TrainingFailed
from service.jobs.job import Progress
from service.storage.object_storage import ObjectStorage
from service.store.catalog import Catalog
from service.training.checkpoints import Checkpoints
from service.training.fits import Fits
from service.training.panel_training import train_on_panel
from service.training.progress import ProgressReporter
from service.training.training_result import TrainingResult
from service.training.wave_training import train_on_waves

SMALL: dict[str, Any] = {"architecture": "linear", "data": {"n_series": 300}, "epochs": 8}


class Job:
    """Keeps what a job reports."""

    job_id, attempt = "job", 1

    def __init__(self) -> None:
        self.reports: list[Progress] = []

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)

    def raise_if_stopped(self) -> None:
        pass

    def confirm(self) -> None:
        pass


def search(**request: Any) -> tuple[TrainingResult, list[dict[str, Any]], Job]:
    made, job = make_training_plan({**SMALL, **request}), Job()
    reporter = ProgressReporter(made, job)
    outcome = train_on_waves(made, Fits(lambda: None), reporter)
    assert reporter.trials is not None
    return outcome, reporter.trials, job


def test_the_best_trial_is_what_comes_out_and_the_first_is_the_recipe_itself() -> None:
    outcome, trials, _ = search(tune={"trials": 8})
    assert [trial["number"] for trial in trials] == list(range(1, 9))
    assert trials[0]["options"] == {"learning_rate": 0.001, "batch_size": 32}
    best = min((trial for trial in trials if trial["loss"] is not None), key=lambda trial: float(trial["loss"]))
    assert best["loss"] < trials[0]["loss"]
    assert {name: getattr(outcome.recipe, name) for name in best["options"]} == best["options"]
    assert outcome.metrics["validation"]["mse"] == best["loss"]


def test_bad_trials_end_early_and_their_epochs_are_taken_off() -> None:
    _, trials, job = search(tune={"trials": 12}, batch_size=32)
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    assert pruned
    assert all(trial["epochs"] < 8 and trial["loss"] is None for trial in pruned)
    last = job.reports[-1]
    assert last.epoch == last.epochs == sum(trial["epochs"] for trial in trials)


def test_trials_are_told_as_they_end() -> None:
    _, trials, job = search(tune={"trials": 3}, batch_size=32)
    seen = [len(progress.trials or []) for progress in job.reports]
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2, 3}
    assert job.reports[-1].trials == trials


def test_the_same_request_tries_the_same() -> None:
    first, second, other = (search(tune={"trials": 2}, seed=seed)[1] for seed in (42, 42, 1))
    assert first == second
    assert first != other


def test_what_the_request_gives_stays() -> None:
    _, trials, _ = search(tune={"trials": 4}, learning_rate=0.002)
    assert all(trial["options"].keys() == {"batch_size"} for trial in trials)
    made = make_training_plan({"architecture": "gru", "units": 8, "tune": {}})
    assert made.search is not None
    assert made.search.trials == 20
    tuned = {one.option for one in made.search.space}
    assert tuned == {"learning_rate", "batch_size", "layers", "dropout", "normalization"}


def test_no_trial_begins_after_the_time_is_up_but_the_first() -> None:
    _, trials, job = search(tune={"trials": 1000, "max_seconds": 1e-3})
    assert len(trials) == 1
    assert job.reports[-1].epochs == 8


def test_a_trial_that_diverges_is_passed_over() -> None:
    # The first trial's rate is too high for plain gradient descent; others reach far below it.
    made = make_training_plan({**SMALL, "optimizer": "sgd", "epochs": 40, "tune": {"trials": 12}, "batch_size": 32})
    (usual,) = made.recipes
    assert made.search is not None
    search_from = replace(made.search, space=(replace(made.search.space[0], low=0.01, high=50.0),))
    made = replace(made, recipes=(replace(usual, learning_rate=50.0),), search=search_from)
    reporter = ProgressReporter(made, Job())
    outcome = train_on_waves(made, Fits(lambda: None), reporter)
    assert reporter.trials is not None
    assert reporter.trials[0]["state"] == "diverged"
    assert np.isfinite(outcome.metrics["validation"]["mse"])


def test_when_all_diverge_the_job_fails_with_a_reason() -> None:
    with pytest.raises(TrainingFailed, match="learning_rate"):
        search(tune={"trials": 2}, optimizer="sgd", learning_rate=50.0, epochs=40)


@pytest.mark.parametrize("architecture", ["auto", "naive", "ridge"])
def test_what_has_nothing_to_tune_refuses(architecture: str) -> None:
    data, lengths = PanelData("series", "kept", "digest", 4, 480, "MS"), np.full(4, 120)
    with pytest.raises(InvalidRequest) as refused:
        make_training_plan({"architecture": architecture, "tune": {"trials": 2}}, data, lengths)
    assert [flaw.pointer for flaw in refused.value.flaws] == ["/tune"]


def test_on_series_of_ones_own_trials_are_ranked_by_mase_and_the_best_goes_on(tmp_path: Path) -> None:
    months = np.arange(120)
    values = [100 + 10 * i + (5 + i) * np.sin(2 * np.pi * months / 12) + 0.2 * months for i in range(4)]
    data, lengths = PanelData("series", "kept", "digest", 4, 480, "MS"), np.full(4, 120)
    made = make_training_plan(
        {"architecture": "mlp", "epochs": 2, "max_windows": 512, "tune": {"trials": 3}}, data, lengths
    )
    reporter = ProgressReporter(made, Job())
    outcome = train_on_panel(made, values, Catalog(tmp_path), Fits(lambda: None), reporter)
    assert reporter.trials is not None
    losses = [trial["loss"] for trial in reporter.trials if trial["loss"] is not None]
    assert outcome.metrics["validation"]["mase"] == pytest.approx(min(losses))


def test_a_plan_survives_its_way_through_the_queue() -> None:
    made = make_training_plan({"architecture": "lstm", "tune": {"trials": 5, "max_seconds": 9.0}})
    assert TrainingPlan.from_dict(made.to_dict()) == made
    older = {key: value for key, value in made.to_dict().items() if key != "search"}
    assert TrainingPlan.from_dict(older).search is None


class _Killed(Exception):
    pass


def test_the_seconds_of_a_search_are_those_of_all_runs_and_trials_that_have_begun_are_gone_through_again(
    tmp_path: Path,
) -> None:
    storage = ObjectStorage(tmp_path.as_uri())
    request = {"tune": {"trials": 6, "max_seconds": 500}}

    def run(trials_before_it_dies: int | None = None) -> list[dict[str, Any]]:
        made, job = make_training_plan({**SMALL, **request}), Job()
        checkpoints = Checkpoints(storage, "job")
        checkpoints.begin_run()
        reporter = ProgressReporter(made, job)

        def on_batch() -> None:
            if len(reporter.trials or ()) == trials_before_it_dies:
                # As if it had been at it for so long.
                checkpoints.clock.go_on_from(1000.0)
                checkpoints._kept_at = 0.0
                checkpoints.keep_time()
                raise _Killed

        train_on_waves(made, Fits(on_batch, checkpoints), reporter)
        return reporter.trials or []

    undisturbed = search(**request)[1]
    with pytest.raises(_Killed):
        run(trials_before_it_dies=2)
    # The third had begun, and no other may.
    assert run() == undisturbed[:3]
