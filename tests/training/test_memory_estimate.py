"""What a training is estimated to take, against the networks themselves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.memory_estimate import check_memory, estimate
from service.domain.recipes.network_size import count_weights
from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import PanelData, Recipe
from service.errors import InvalidRequest
from service.networks.network import make_network

PANEL = PanelData("series", "id", "digest", 10, 2000, "D")
LENGTHS = np.full(10, 200)
GIB = 2**30


def recipe_of(architecture: str, *, own: bool = False, **options: Any) -> Recipe:
    request = {"architecture": architecture, **options}
    return (make_training_plan(request, PANEL, LENGTHS) if own else make_training_plan(request)).recipes[0]


SIZES: list[dict[str, Any]] = [{}, {"units": 7}, {"units": 33, "layers": 3}]
HEADS: list[tuple[str, dict[str, Any]]] = [
    (name, {**({} if head == preset.head else {"head": head}), **(sizes if preset.units else {})})
    for name, preset in PRESETS.items()
    for head in preset.heads
    for sizes in SIZES
    if (preset.units or not sizes) and preset.readout not in ("recurrent", "decoder", "unrolled")
]
HEADS += [(name, sizes) for name in ("deep_rnn", "encoder_decoder", "vector_to_sequence") for sizes in SIZES[:2]]


# Every preset with every head and size on waves; on series of one's own, which may have another window, as it is.
CASES = [
    pytest.param(
        architecture, options, own, marks=pytest.mark.exhaustive if own and {"units", "head"} & options.keys() else ()
    )
    for own in (False, True)
    for architecture, options in HEADS
]


@pytest.mark.parametrize(("architecture", "options", "own"), CASES)
def test_weights_are_counted_as_networks_have_them(architecture: str, options: dict[str, Any], own: bool) -> None:
    if own and architecture == "flagship":
        options = {**options, "window": 20}
    try:
        recipe = recipe_of(architecture, own=own, **options)
    except InvalidRequest:
        pytest.skip("not to be had so")
    actual = make_network(recipe).count_params()
    counted = count_weights(recipe)
    assert actual <= counted <= 2 * actual + 200


@given(
    architecture=st.sampled_from(
        ["lstm", "gru", "simple_rnn", "ln_rnn", "conv_gru", "wavenet", "patchtst", "flagship"]
    ),
    field=st.sampled_from(["units", "layers", "batch_size", "window", "horizon"]),
    factor=st.integers(2, 20),
)
@settings(max_examples=50, deadline=None)
def test_more_of_anything_takes_no_less(architecture: str, field: str, factor: int) -> None:
    made = make_training_plan({"architecture": architecture})
    more = replace(made, recipes=(replace(made.recipes[0], **{field: getattr(made.recipes[0], field) * factor}),))
    assert estimate(more).total >= estimate(made).total


@pytest.mark.parametrize("architecture", sorted(PRESETS))
def test_every_preset_fits_into_two_gigabytes_and_a_half(architecture: str) -> None:
    check_memory(make_training_plan({"architecture": architecture}), 5 * 2**29)
    check_memory(make_training_plan({"architecture": architecture}, PANEL, LENGTHS), 5 * 2**29)


@pytest.mark.parametrize("architecture", ["auto", "flagship"])
def test_ensembles_of_own_series_fit_as_well(architecture: str) -> None:
    check_memory(make_training_plan({"architecture": architecture}, PANEL, LENGTHS), 5 * 2**29)


@pytest.mark.parametrize(
    ("request_", "least"),
    [
        # Twelve layers of four gates, each 2048 x 4096: with the optimiser's state, gradients and copies many times.
        ({"architecture": "lstm", "units": 2048, "layers": 12}, 15 * GIB),
        # A million series of 200 doubles are 1.6 GB each time that they are held.
        (
            {"architecture": "lstm", "head": "one_step", "window": 199, "data": {"n_series": 10**6, "n_steps": 200}},
            6 * GIB,
        ),
        # What 4 layers of LSTM keep for the way back: 4 x 13 numbers for each of 20,000 rows, 50 steps and 64 units.
        ({"architecture": "lstm", "units": 64, "layers": 4, "batch_size": 20_000}, 12 * GIB),
        # A window of 2,000 before each of 2,000 steps, for 32 rows of a batch and 500 of a validation.
        ({"architecture": "linear", "head": "sequence", "window": 2000}, 8 * GIB),
    ],
)
def test_what_does_not_fit_is_known_for_it(request_: dict[str, Any], least: int) -> None:
    if "data" not in request_:
        request_ = {**request_, "data": {"n_series": 100}}
    found = estimate(make_training_plan(request_))
    assert found.total > least
    with pytest.raises(InvalidRequest) as refused:
        check_memory(make_training_plan(request_), least)
    assert found.describe() in refused.value.flaws[0].message


def test_a_search_is_estimated_by_its_largest_trial_and_an_ensemble_by_its_members() -> None:
    alone = estimate(make_training_plan({"architecture": "lstm", "units": 200}))
    searched = estimate(make_training_plan({"architecture": "lstm", "tune": {"trials": 5}}))
    assert searched.activations > estimate(make_training_plan({"architecture": "lstm"})).activations
    several = estimate(make_training_plan({"architecture": "lstm", "units": 200, "ensemble": {"members": 10}}))
    assert alone.weights < several.weights < 10 * alone.weights
    assert several.program == alone.program
