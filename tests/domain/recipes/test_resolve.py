from typing import Any

import numpy as np
import pytest

from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.resolve import resolve
from service.errors import InvalidRequest


def codes(request: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        resolve(request)
    return [(flaw.pointer, flaw.code) for flaw in caught.value.flaws]


@pytest.mark.parametrize("architecture", PRESETS)
def test_an_architecture_alone_is_a_whole_recipe_that_survives_storage(architecture: str) -> None:
    recipe = resolve({"architecture": architecture})
    assert recipe.name == architecture
    assert recipe.waves.n_steps == recipe.window + recipe.horizon
    assert recipe.scaling == "none"
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_the_presets_keep_the_chapters_rates() -> None:
    rates = {name: resolve({"architecture": name}).learning_rate for name in PRESETS}
    assert rates.pop("simple_rnn") == 0.005
    assert rates.pop("sequence_rnn") == 0.01
    # Fine-tuning takes smaller steps.
    assert rates.pop("zero_shot") == 0.0003
    assert set(rates.values()) == {0.001}


def test_one_step_heads_train_on_51_points_and_others_on_60() -> None:
    assert resolve({"architecture": "deep_rnn"}).waves.n_steps == 51
    assert resolve({"architecture": "lstm"}).waves.n_steps == 60
    assert resolve({"architecture": "lstm", "head": "one_step"}).waves.n_steps == 51


def test_window_follows_from_the_length_of_the_waves() -> None:
    assert resolve({"architecture": "lstm", "data": {"n_steps": 40}}).window == 30
    assert resolve({"architecture": "lstm", "window": 20, "data": {"n_steps": 40}}).window == 20


def test_a_bounded_readout_gives_way_where_it_can_not_reach_the_values() -> None:
    assert resolve({"architecture": "simple_rnn"}).readout == "recurrent"
    assert resolve({"architecture": "simple_rnn", "scaling": "standard"}).readout == "dense"
    assert resolve({"architecture": "deep_rnn", "head": "vector"}).readout == "dense"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"architecture": "transformer"}, [("/architecture", "unknown_architecture")]),
        (
            {"architecture": "naive", "epochs": 3, "units": 3},
            [("/epochs", "option_not_applicable"), ("/units", "option_not_applicable")],
        ),
        ({"architecture": "linear", "dropout": 0.1}, [("/dropout", "option_not_applicable")]),
        ({"architecture": "wavenet", "recurrent_dropout": 0.1}, [("/recurrent_dropout", "option_not_applicable")]),
        ({"architecture": "lstm", "readout": "dense"}, [("/readout", "option_not_applicable")]),
        (
            {"architecture": "deep_rnn", "readout": "recurrent", "scaling": "standard"},
            [("/readout", "option_not_applicable")],
        ),
        ({"architecture": "encoder_decoder", "head": "sequence"}, [("/head", "head_not_available")]),
        ({"architecture": "deep_rnn", "horizon": 5}, [("/horizon", "horizon_not_available")]),
        ({"architecture": "lstm", "window": 55, "data": {"n_steps": 60}}, [("/data/n_steps", "series_too_short")]),
        ({"architecture": "lstm", "data": {"n_steps": 10}}, [("/data/n_steps", "window_too_short")]),
        ({"architecture": "conv_gru", "window": 3}, [("/window", "window_too_short")]),
    ],
)
def test_options_that_do_not_fit_are_named_one_by_one(
    request_: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert codes(request_) == expected


@pytest.mark.parametrize("architecture", ["mlp", "ridge", "zero_shot", "lstm"])
@pytest.mark.parametrize("freq", ["h", "D", "30min"])
@pytest.mark.parametrize("horizon", [1, 24, 300])
@pytest.mark.parametrize("length", [200, 450, 700, 1000, 1500, 3000])
def test_two_seasons_are_taken_only_where_enough_windows_are_left_to_learn_from(
    architecture: str, freq: str, horizon: int, length: int
) -> None:
    data = PanelData("series", "id", "digest", 5, 5 * length, freq)
    lengths = np.full(5, length)
    request = {"architecture": architecture, "horizon": horizon}
    try:
        resolve(request, data, lengths, knows_two_seasons=False)
    except InvalidRequest:
        return
    recipe = resolve(request, data, lengths)
    if recipe.seasons:
        assert length - 3 * horizon - recipe.min_history + 1 >= recipe.seasons[-1]
        if architecture == "zero_shot":
            assert recipe.window >= sum(recipe.seasons) + recipe.seasons[-1]
