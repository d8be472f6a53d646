"""Intermittent demand: every architecture trains and publishes, and no finished job is lost."""

from typing import Any

import pytest

from service.domain.recipes.presets import PRESETS
from tests.training.bench import Bench, sparse

# Solved, recurrent and neither: the others learn and publish as these do.
QUICK = ("ridge", "gru", "mlp")


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.exhaustive)
        for name in PRESETS
        if name != "flagship"
    ],
)
def test_every_architecture_publishes_what_it_learnt_from_spare_parts(bench: Bench, architecture: str) -> None:
    preset = PRESETS[architecture]
    small: dict[str, Any] = {"horizon": 3, "window": 14, "season": 1}
    if preset.is_fitted and not preset.is_solved:
        small |= {"epochs": 1, "max_windows": 100, "batch_size": 50}
    if preset.units:
        small |= {"units": min(4, preset.units)}
    version = bench.train(sparse(12, 80), architecture=architecture, **small)
    assert version.engines is not None
    assert version.hyper_parameters["loss"] == "mse" or not preset.is_fitted
    assert version.gate is None or version.gate["scores"]["metric"] == "rmsse"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (1, 2))])
def test_zeros_with_a_sale_in_twelve_days_are_no_reason_to_lose_a_network(bench: Bench, seed: int) -> None:
    """`export_mismatch` in seven of ten seeds once."""
    bench.train(sparse(8, 200, 1 / 12), architecture="gru", seed=seed, epochs=1, max_windows=400, units=8, layers=1)
