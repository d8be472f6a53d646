"""Fits that are interrupted and go on end as if nothing had happened."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.resolve import resolve
from service.networks.network import make_network
from service.parts import records as records_module
from service.storage.object_storage import ObjectStorage
from service.training import checkpoints as checkpoints_module
from service.training.checkpoints import Checkpoints, Standing
from service.training.data.panel_split import prepare_panel
from service.training.epoch import Epoch
from service.training.fits import FitData, Fits, FitTask
from service.training.panel_fit import PanelWindows
from service.training.wave_training import WaveWindows

EPOCHS = 4


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is due after every epoch, however short it is."""
    monkeypatch.setattr(checkpoints_module, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(records_module, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints_module, "MOST_SHARE", 1e9)


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStorage:
    return ObjectStorage(tmp_path.as_uri())


def of_waves(**request: Any) -> tuple[Recipe, FitData]:
    recipe = resolve({"epochs": EPOCHS, "batch_size": 16, "data": {"n_series": 60}, "units": 4, "layers": 1, **request})
    return recipe, WaveWindows()


def of_series(**request: Any) -> tuple[Recipe, FitData]:
    rng = np.random.default_rng(5)
    series = [50 + 9 * np.sin(np.arange(90 - 9 * i) * np.pi / 6) + rng.random(90 - 9 * i) for i in range(4)]
    series[0][20] = np.nan
    data = PanelData("series", "id", "digest", 4, sum(map(len, series)), "MS")
    lengths = np.array([len(one) for one in series])
    asked = {"epochs": EPOCHS, "batch_size": 16, "max_windows": 96, "horizon": 6, **request}
    if request["architecture"] == "ridge":
        # It is solved at once.
        asked = {"horizon": 6, **request}
    recipe = resolve(asked, data, lengths)
    recipe = replace(recipe, chosen_on_validation=False)
    return recipe, PanelWindows(prepare_panel(series, recipe))


# Every optimiser, random masks, moving averages, early stopping; windows that are fixed, drawn, and never return.
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lstm with masks on series": (of_series, {"architecture": "lstm", "units": 4, "layers": 1, "dropout": 0.2}),
    "mlp on series": (of_series, {"architecture": "mlp", "units": 8}),
    "theta_mlp and nadam on series": (of_series, {"architecture": "theta_mlp", "units": 8, "optimizer": "nadam"}),
    "zero_shot on series": (of_series, {"architecture": "zero_shot"}),
    "ridge on series": (of_series, {"architecture": "ridge"}),
    "gru with recurrent masks on waves": (of_waves, {"architecture": "gru", "recurrent_dropout": 0.3}),
    "batches normalised, rmsprop": (
        of_waves,
        {"architecture": "vector_rnn", "normalization": "batch", "optimizer": "rmsprop"},
    ),
    "early stopping, sgd": (
        of_waves,
        {
            "architecture": "lstm",
            "optimizer": "sgd",
            "learning_rate": 3.0,
            "epochs": 8,
            "early_stopping": {"patience": 2},
        },
    ),
    "fresh waves": (of_waves, {"architecture": "flagship", "units": 8, "max_windows": 64}),
}


class _Killed(Exception):
    pass


def fit(task: FitTask, data: FitData, storage: ObjectStorage | None, kill_after: int | None = None) -> Any:
    """A fit's outcome and the epochs that it told; it is interrupted once it has told so many of this run."""
    told: list[Epoch] = []
    batches = 0

    def on_epoch(epoch: Epoch) -> None:
        told.append(epoch)

    def on_batch() -> None:
        nonlocal batches
        fresh = sum(not epoch.is_restored for epoch in told)
        if kill_after is not None and fresh >= kill_after:
            raise _Killed
        batches += 1

    fits = Fits(on_batch, None if storage is None else Checkpoints(storage, "job"))
    return fits.run_all([task], data, on_epoch)[0], told, batches


def assert_same(found: Any, expected: Any) -> None:
    for ours, theirs in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.penalty == expected.penalty
    assert [(epoch.number, epoch.loss, epoch.val_loss) for epoch in found.epochs] == [
        (epoch.number, epoch.loss, epoch.val_loss) for epoch in expected.epochs
    ]


# Networks whose state is that of others: the next tests interrupt one of them as well.
SELDOM = ("mlp on series", "zero_shot on series")


@pytest.mark.parametrize("is_every", [False, pytest.param(True, marks=pytest.mark.exhaustive)], ids=["two", "every"])
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.exhaustive if kind in SELDOM else ()) for kind in KINDS]
)
def test_a_fit_that_is_interrupted_after_any_epoch_ends_with_the_weights_of_an_undisturbed_one(
    kind: str, is_every: bool, tmp_path: Path
) -> None:
    make, request = KINDS[kind]
    recipe, data = make(**request)
    task = FitTask(recipe, season=recipe.season)
    expected, told, _ = fit(task, data, None)
    last = len(told) - 1
    for after in range(len(told)) if is_every else sorted({min(1, last), last}):
        storage = ObjectStorage((tmp_path / str(after)).as_uri())
        with pytest.raises(_Killed):
            fit(task, data, storage, kill_after=after)
        found, told_again, _ = fit(task, data, storage)
        assert_same(found, expected)
        assert [epoch.number for epoch in told_again] == [epoch.number for epoch in told]
        assert sum(epoch.is_restored for epoch in told_again) == after


def test_a_fit_that_has_ended_is_not_fitted_again(storage: ObjectStorage) -> None:
    recipe, data = of_series(architecture="mlp", units=8)
    first, told, batches = fit(FitTask(recipe), data, storage)
    again, told_again, batches_again = fit(FitTask(recipe), data, storage)
    assert_same(again, first)
    assert batches > 0
    assert batches_again == 0
    assert told_again == told
    assert again.seconds >= sum(epoch.seconds for epoch in told)


def test_a_fit_that_goes_on_from_another_continues_too_and_leaves_its_start_alone(storage: ObjectStorage) -> None:
    recipe, data = of_series(architecture="mlp", units=8)
    first = fit(FitTask(recipe), data, None)[0]
    start = make_network(recipe)
    first.give_to(start)
    task = FitTask(replace(recipe, epochs=3, seed=9), "end", start=start)
    expected = fit(task, data, None)[0]
    with pytest.raises(_Killed):
        fit(task, data, storage, kill_after=1)
    assert_same(fit(task, data, storage)[0], expected)
    for kept, before in zip(start.get_weights(), first.weights, strict=True):
        np.testing.assert_array_equal(kept, before)


@pytest.mark.parametrize("damage", ["flipped", "cut", "of another release", "of other data"])
def test_a_checkpoint_that_can_not_be_trusted_is_ignored(
    damage: str, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, data = of_series(architecture="mlp", units=8)
    expected = fit(FitTask(recipe), data, None)[0]
    if damage == "of another release":
        monkeypatch.setattr(records_module, "_release", lambda: {"outfielder": "0.0.1"})
    if damage == "of other data":
        prepared = prepare_panel([50 + 9 * np.sin(np.arange(90) * np.pi / 6)] * 2, recipe)
        fit(FitTask(recipe), PanelWindows(prepared), storage)
    else:
        with pytest.raises(_Killed):
            fit(FitTask(recipe), data, storage, kill_after=2)
    monkeypatch.undo()
    for found in storage.list_objects("job/"):
        content = bytearray(storage.get(found.key))
        if damage == "flipped":
            content[len(content) // 2] ^= 1
        if damage == "cut":
            del content[len(content) // 2 :]
        storage.put(found.key, bytes(content))
    again, told, _ = fit(FitTask(recipe), data, storage)
    assert_same(again, expected)
    assert not any(epoch.is_restored for epoch in told)


def test_the_seconds_of_a_fit_count_those_before_it_was_interrupted(storage: ObjectStorage) -> None:
    recipe, data = of_series(architecture="mlp", units=8)
    recipe = replace(recipe, max_seconds=1000.0)
    with pytest.raises(_Killed):
        fit(FitTask(recipe), data, storage, kill_after=1)
    (found,) = storage.list_objects("job/")
    checkpoints, key = Checkpoints(storage, "job"), found.key.removeprefix("job/")
    standing = checkpoints.read(key)
    assert standing is not None
    checkpoints.write(key, replace(standing, seconds=2000.0))
    outcome, told, batches = fit(FitTask(recipe), data, storage)
    assert len(told) == 1
    assert batches == 0
    assert outcome.seconds >= 2000


def test_the_clock_of_a_job_goes_on_with_its_next_run_and_counts_no_second_twice(storage: ObjectStorage) -> None:
    began = time.monotonic()
    first = Checkpoints(storage, "job")
    first.begin_run()
    standing = Standing([], [], {}, 0.0)
    for _ in range(5):
        first.write("fit", standing)
        assert first.read("fit") is not None
    assert first.clock.elapsed() <= time.monotonic() - began
    first.clock.go_on_from(1000.0)
    first.write("fit", standing)
    # A helper's time is its own.
    helper = Checkpoints(storage, "job")
    helper.clock.go_on_from(50_000.0)
    helper.write("part", standing)
    second = Checkpoints(storage, "job")
    second.begin_run()
    assert second.read("part") is not None
    assert 1000.0 <= second.clock.elapsed() <= 1000.0 + time.monotonic() - began


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=4),
    losses=st.lists(st.floats(allow_nan=False), max_size=5),
    seed=st.integers(0, 2**32),
)
def test_what_is_written_comes_back_bit_by_bit(
    shapes: list[list[int]], losses: list[float], seed: int, storage: ObjectStorage
) -> None:
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    epochs = [Epoch(i + 1, loss, -loss, 0.5) for i, loss in enumerate(losses)]
    facts = {"rng": rng.bit_generator.state, "least": float("inf")}
    checkpoints = Checkpoints(storage, "job")
    checkpoints.write("fit", Standing(arrays, epochs, facts, 3.5))
    standing = checkpoints.read("fit")
    assert standing is not None
    assert (standing.epochs, standing.facts, standing.seconds) == (epochs, facts, 3.5)
    for found, expected in zip(standing.arrays, arrays, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
