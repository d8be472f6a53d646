"""Every network's ONNX graphs against the TensorFlow graph that they were made from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.resolve import resolve
from service.training.export import verification
from service.training.export.onnx_export import make_onnx_graphs
from service.training.export.serving_graph import make_serving_graph
from service.training.export.verification import add_graphs
from tests.networks.samples import calm, fresh, recipe_of
from tests.training.exports import compare_engines_in_batches, make_engine, waves

EXHAUSTIVE = pytest.mark.exhaustive


# Every option of a graph once; the sweeps below have them one by one. Every preset's own head, scaled, is compared in
# test_serving_graph, whose exports are there already.
TOGETHER = [
    {"architecture": "lstm", "scaling": "mean", "normalization": "layer", "layers": 2, "horizon": 3, "window": 19},
    {"architecture": "lstm", "scaling": "none", "log": True},
    {"architecture": "encoder_decoder", "scaling": "standard", "layers": 2, "horizon": 3, "window": 19},
    {"architecture": "wavenet", "scaling": "standard", "normalization": "batch", "difference": "seasonal", "season": 4},
    {"architecture": "linear", "scaling": "standard", "difference": "seasonal", "season": 4},
    {"architecture": "linear", "scaling": "none", "difference": "first"},
    # Blocks of odd length.
    {"architecture": "conv_gru", "scaling": "robust", "log": True, "difference": "first", "horizon": 3},
    # Layers that read less than their base.
    {"architecture": "theta_mlp", "scaling": "mean", "season": 12, "focus": 20},
]
REQUESTS = [
    *(
        {"architecture": name, "head": head, "scaling": "standard"}
        for name, preset in PRESETS.items()
        for head in preset.heads
    ),
    *({"architecture": name, "scaling": "none"} for name in PRESETS),
]
SCALINGS = [
    {"scaling": "mean"},
    {"scaling": "robust"},
    {"scaling": "none", "log": True},
    {"scaling": "robust", "log": True},
    {"scaling": "mean", "log": True},
    {"scaling": "standard", "log": True},
]
DIFFERENCES = [
    {"scaling": "none", "difference": "first"},
    {"scaling": "standard", "difference": "seasonal", "season": 4},
]


def check(folder: Path, **request: Any) -> None:
    recipe = recipe_of(**request)
    check_recipe(folder, recipe)


def check_recipe(folder: Path, recipe: Recipe) -> None:
    members = recipe.members or (recipe,)
    graph = make_serving_graph(recipe, [w for member in members for w in calm(member).get_weights()])
    compare_engines_in_batches(graph.signatures(), make_engine(graph, recipe, folder), recipe)


@pytest.mark.parametrize("request_", TOGETHER, ids=lambda request: "-".join(map(str, request.values())))
def test_every_option_in_some_graph(tmp_path: Path, request_: dict[str, Any]) -> None:
    check(tmp_path, **request_)


@EXHAUSTIVE
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: "-".join(request.values()))
def test_every_preset_head_and_mode(tmp_path: Path, request_: dict[str, str]) -> None:
    check(tmp_path, **request_)


@EXHAUSTIVE
@pytest.mark.parametrize("architecture", ["lstm", "ridge"])
@pytest.mark.parametrize("scaling", SCALINGS, ids=str)
def test_every_scaling(tmp_path: Path, architecture: str, scaling: dict[str, Any]) -> None:
    check(tmp_path, architecture=architecture, **scaling)


@EXHAUSTIVE
@pytest.mark.parametrize("architecture", ["theta_mlp", "ridge", "theta", "mlp"])
@pytest.mark.parametrize("season", [4, 13])
def test_every_base_with_a_season(tmp_path: Path, architecture: str, season: int) -> None:
    check(tmp_path, architecture=architecture, scaling="mean", season=season)


@EXHAUSTIVE
@pytest.mark.parametrize("focus", [1, 20])
def test_layers_that_read_less_than_their_base(tmp_path: Path, focus: int) -> None:
    check(tmp_path, architecture="theta_mlp", scaling="mean", season=12, focus=focus)


@EXHAUSTIVE
@pytest.mark.parametrize(
    "architecture",
    ["linear", "conv_gru", "wavenet", "naive", "mlp", "lstm", "gru", "deep_rnn", "ln_rnn", "encoder_decoder"],
)
@pytest.mark.parametrize("difference", DIFFERENCES, ids=str)
def test_every_difference(tmp_path: Path, architecture: str, difference: dict[str, Any]) -> None:
    check(tmp_path, architecture=architecture, **difference)


@EXHAUSTIVE
@pytest.mark.parametrize("architecture", ["lstm", "wavenet", "deep_rnn", "gru", "conv_gru"])
@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_every_normalization(tmp_path: Path, architecture: str, normalization: str) -> None:
    check(tmp_path, architecture=architecture, normalization=normalization, scaling="standard", units=20)


@EXHAUSTIVE
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("architecture", ["lstm", "encoder_decoder", "wavenet", "ln_rnn", "vector_to_sequence", "mlp"])
def test_other_sizes(tmp_path: Path, architecture: str, layers: int) -> None:
    check(tmp_path, architecture=architecture, layers=layers, units=7, horizon=3, window=19, scaling="standard")


@EXHAUSTIVE
@pytest.mark.parametrize("horizon", [1, 3])
def test_blocks_of_odd_length(tmp_path: Path, horizon: int) -> None:
    check(tmp_path, architecture="conv_gru", horizon=horizon, scaling="standard", difference="first")


def test_an_ensemble_of_different_windows(tmp_path: Path) -> None:
    members = tuple(
        resolve({"architecture": name, "head": "vector", "window": window, "horizon": 6, "scaling": "mean"})
        for name, window in (("ridge", 12), ("mlp", 30), ("lstm", 20), ("theta_mlp", 24))
    )
    weighted = tuple(replace(member, weight=weight) for member, weight in zip(members, (1, 2, 0.5, 3), strict=True))
    recipe = replace(members[1], members=weighted)
    check_recipe(tmp_path, recipe)


def test_members_compute_once_what_they_have_in_common() -> None:
    recipe = resolve({"architecture": "theta_mlp", "window": 48, "horizon": 6, "scaling": "mean"})

    def count_nodes(*members: Recipe) -> int:
        graphs = make_onnx_graphs([fresh(member) for member in members], replace(recipe, members=members))
        return len(onnx.load_from_string(graphs["forecast"]).graph.node)

    first, second, third = (replace(recipe, seed=seed) for seed in (1, 2, 3))
    of_two = count_nodes(first, second)
    assert count_nodes(first, second, third) - of_two < of_two / 4


SERIES = [waves(8, 50), waves(8, 90)]


def test_graphs_with_other_numbers_are_left_out_and_it_is_said_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = resolve({"architecture": "gru"})
    graph = make_serving_graph(recipe, fresh(recipe).get_weights())
    other = make_serving_graph(recipe, [w + 0.01 for w in fresh(recipe).get_weights()])
    graphs = make_onnx_graphs(other.networks, recipe)
    monkeypatch.setattr(verification, "make_onnx_graphs", lambda *_: graphs)
    engines = add_graphs(graph, recipe, tmp_path, SERIES)
    assert "differ from the SavedModel's" in engines["onnx"]["reason"]
    assert list(tmp_path.rglob("*.onnx")) == []
    monkeypatch.undo()
    engines = add_graphs(graph, recipe, tmp_path, SERIES)
    assert 0 <= engines["onnx"]["difference"] < 1e-5
    assert sorted(path.name for path in tmp_path.rglob("*.onnx")) == ["all_steps.onnx", "forecast.onnx", "rollout.onnx"]


def test_only_simple_cells_have_graphs_of_their_own_for_many_rows(tmp_path: Path) -> None:
    for architecture, expected in (("sequence_rnn", 3), ("deep_rnn", 2), ("lstm", 0), ("ln_rnn", 0)):
        graph = make_serving_graph(recipe := resolve({"architecture": architecture}), fresh(recipe).get_weights())
        assert sum(name.endswith("_many") for name in make_onnx_graphs(graph.networks, recipe)) == expected, (
            architecture
        )


def test_a_graph_for_many_rows_is_proved_by_few_series_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = resolve({"architecture": "sequence_rnn"})
    graph = make_serving_graph(recipe, fresh(recipe).get_weights())
    other = make_serving_graph(recipe, [w + 0.01 for w in fresh(recipe).get_weights()])
    wrong = {k: v for k, v in make_onnx_graphs(other.networks, recipe).items() if k.endswith("_many")}
    graphs = make_onnx_graphs(graph.networks, recipe) | wrong
    monkeypatch.setattr(verification, "make_onnx_graphs", lambda *_: graphs)
    engines = add_graphs(graph, recipe, tmp_path, [waves(1, 50)])
    assert "differ from the SavedModel's" in engines["onnx"]["reason"]
