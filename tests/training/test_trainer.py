"""Jobs from recipe to published version, with the real exporting process."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.training_plan import TrainingPlan
from service.errors import TrainingFailed
from service.store.catalog import Catalog
from service.training.trainer import Trainer
from tests.training.bench import Bench
from tests.training.exports import waves
from tests.training.recorder import Recorder

SMALL = {"data": {"n_series": 100}}


@pytest.fixture(scope="module")
def trainer(bench: Bench) -> Trainer:
    return bench.trainer


@pytest.fixture(scope="module")
def demo(trainer: Trainer) -> tuple[dict[str, Any], Recorder]:
    """The result of a job, and what it told."""
    run = Recorder("job-1")
    return trainer.train(linear("demo"), run), run


def linear(name: str, **fields: object) -> TrainingPlan:
    return make_training_plan(
        {"architecture": "linear", "scaling": "standard", "epochs": 2, "name": name, **SMALL, **fields}
    )


def test_a_job_becomes_a_version_that_says_how_it_was_made(
    trainer: Trainer, demo: tuple[dict[str, Any], Recorder]
) -> None:
    made = linear("demo")
    result, run = demo
    assert (result["model"], result["version"], result["gate"]) == ("demo", 1, None)
    assert [report.epoch for report in run.reports] == [0, 1, 2]
    assert run.reports[-1].eta_seconds == 0
    catalog = Catalog(trainer.store.root)
    catalog.refresh()
    manifest = catalog.resolve("demo")
    catalog.verify(manifest)
    assert Recipe.from_dict(manifest.hyper_parameters) == made.recipes[0]
    assert manifest.job_id == "job-1"
    assert manifest.epochs_run == 2
    assert manifest.parameters == 510
    assert manifest.data["digest"]
    assert result["metrics"] == manifest.metrics
    assert set(manifest.metrics) == {"train", "validation", "test", "baselines"}
    loaded = tf.saved_model.load(str(catalog.folder(manifest)))
    series = waves(2, 70, scale=50.0, level=900.0)
    forecast = loaded.signatures["serving_default"](series=tf.constant(series[:, :, None]))["forecast"].numpy()
    assert forecast.shape == (2, 10)
    assert 500 < forecast.mean() < 1300


def test_a_job_that_is_run_again_after_it_published_publishes_nothing_more(
    trainer: Trainer, demo: tuple[dict[str, Any], Recorder]
) -> None:
    run = Recorder("job-1")
    assert trainer.train(linear("demo"), run) == demo[0]
    assert run.reports == []


def test_a_training_keeps_as_many_versions_as_it_was_asked_for_and_no_more_than_any_may(bench: Bench) -> None:
    def train(number: int, keep: int | None, trainer: Trainer = bench.trainer) -> list[int]:
        made = make_training_plan({"architecture": "naive", "name": "kept"})
        trainer.train(TrainingPlan.from_dict(replace(made, keep_versions=keep).to_dict()), Recorder(f"kept-{number}"))
        catalog = trainer.store.catalog()
        catalog.refresh()
        return [manifest.version for manifest in catalog.model("kept").versions]

    train(1, None)
    assert train(2, None) == [1, 2]
    assert train(3, 2) == [2, 3]
    # Once more, as a job that was killed after it had published.
    assert train(3, 5, Trainer(bench.trainer.store, bench.datasets.load, keep_versions=1)) == [3]


def test_a_stopped_job_publishes_nothing(trainer: Trainer) -> None:
    with pytest.raises(InterruptedError):
        trainer.train(linear("stopped"), Recorder("job-4", stop_after=3))
    assert not (trainer.store.root / "stopped").exists()


def exporting_processes() -> list[int]:
    """This process's own."""
    children = (path.read_text().split() for path in Path("/proc/self/task").glob("*/children"))
    return [
        int(child)
        for one in children
        for child in one
        if b"service.training.export.process" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.mark.usefixtures("demo")
def test_the_exporting_process_is_replaced_when_it_dies_and_another_job_publishes_another_version(
    trainer: Trainer,
) -> None:
    (process,) = exporting_processes()
    os.kill(process, signal.SIGKILL)
    # With all of its threads.
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert trainer.train(linear("demo"), Recorder("job-6"))["version"] == 2


def test_a_fit_that_diverges_is_a_failed_job_and_no_model(trainer: Trainer) -> None:
    recipe = linear("diverged", optimizer="sgd", learning_rate=1e30, epochs=1)
    with pytest.raises(TrainingFailed, match="finite"):
        trainer.train(recipe, Recorder("job-7"))
    assert not (trainer.store.root / "diverged").exists()
