"""Waves that never come again, and the flagship that learns from them."""

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest

from service.domain.panel_windows import TrainingWindows
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import PanelData
from service.domain.recipes.resolve import resolve
from service.domain.recipes.training_plan import TrainingPlan
from service.training.data.wave_sampler import WaveSampler
from service.training.fits import Fits
from service.training.wave_training import train_on_waves

FLAGSHIP: dict[str, Any] = {"architecture": "flagship", "units": 32, "layers": 1, "batch_size": 64}


class Silent:
    """Reports to nobody."""

    def epoch(self, epoch: Any) -> None:
        pass


def batches(n: int, **request: Any) -> list[TrainingWindows]:
    return list(islice(WaveSampler(resolve({**FLAGSHIP, **request})), n))


@pytest.mark.parametrize(
    ("head", "shape"), [("one_step", (64, 1)), ("vector", (64, 10)), ("sequence", (64, 50, 10))], ids=str
)
def test_batches_have_the_shapes_of_the_head_and_none_comes_again(head: str, shape: tuple[int, ...]) -> None:
    first, again = batches(2, head=head), batches(2, head=head)
    batch = first[0]
    assert batch.x.shape == (64, 50)
    assert batch.targets.shape == shape
    assert batch.weights.shape == shape[:-1]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.x, other.x)
        assert np.array_equal(one.targets, other.targets)
    assert not np.array_equal(first[0].x, first[1].x)
    assert not np.array_equal(batch.x, batches(1, head=head, seed=1)[0].x)


def test_inputs_have_noise_and_what_is_to_be_answered_has_none() -> None:
    quiet = {"data": {"noise": 0.0}}
    noisy, clean = batches(1)[0], batches(1, **quiet)[0]
    assert np.array_equal(noisy.targets, clean.targets)
    noise = noisy.x - clean.x
    assert np.abs(noise).max() <= 0.05 + 1e-6
    assert noise.var() == pytest.approx(0.01 / 12, rel=0.1)


def test_targets_are_in_the_units_of_their_input() -> None:
    batch = batches(1, scaling="standard", data={"noise": 0.0})[0]
    np.testing.assert_allclose(batch.x.std(axis=1), 1, rtol=1e-5)
    # A wave goes on where its window ended.
    assert np.abs(batch.targets[:, 0] - batch.x[:, -1]).max() < 1.0


@pytest.mark.exhaustive
def test_the_flagship_beats_the_same_network_on_waves_that_come_again() -> None:
    recipe = resolve({**FLAGSHIP, "epochs": 4, "data": {"n_series": 300}, "max_windows": 20_000})
    kept = replace(recipe, max_windows=0, epochs=4 * 20_000 // 210)
    losses = []
    for one in (recipe, kept):
        outcome = train_on_waves(TrainingPlan("flagship", (one,)), Fits(lambda: None), Silent())  # type: ignore[arg-type]
        losses.append(outcome.metrics["validation"]["mse"])
    assert losses[0] < 0.8 * losses[1]


def test_on_series_of_ones_own_it_is_what_auto_fits_unless_it_is_told() -> None:
    data, lengths = PanelData("series", "kept", "digest", 4, 480, "MS"), np.full(4, 120)
    flagship, auto = (make_training_plan({"architecture": name}, data, lengths) for name in ("flagship", "auto"))

    def sizes(of: TrainingPlan) -> list[tuple[Any, ...]]:
        return [
            (one.readout, one.window, one.scaling, one.units, one.layers, one.dropout, one.epochs) for one in of.recipes
        ]

    assert sizes(flagship) == sizes(auto)
    assert flagship.max_seconds is None
    (told,) = make_training_plan(
        {"architecture": "flagship", "window": 24, "scaling": "standard"}, data, lengths
    ).recipes
    assert (told.window, told.scaling, told.units) == (24, "standard", auto.recipes[0].units)
