"""Every network's ONNX graphs against the TensorFlow graph that they were made from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.resolve import resolve
from service.engines.onnx import OnnxRuntime, graph_path
from service.training.export import verification
from service.training.export.onnx_export import make_onnx_graphs
from service.training.export.serving_graph import SequenceServingGraph, make_serving_graph
from service.training.export.verification import add_graphs
from tests.networks.samples import calm, fresh, recipe_of
from tests.training.exports import Array, assert_same, waves

EXHAUSTIVE = pytest.mark.exhaustive


def seldom(*architectures: str) -> list[Any]:
    return [pytest.param(name, marks=EXHAUSTIVE) for name in architectures]


# Series that are not scaled reach each kind of backbone as they are.
UNSCALED = ("linear", "gru", "wavenet")
# Of these another preset has the backbone and the cell, or all layers and the base too.
ALIKE = ("simple_rnn", "vector_rnn", "deep_rnn", "ridge", "mlp", "theta")
REQUESTS = [
    *(
        # A preset's own head stands for the others.
        pytest.param(
            {"architecture": name, "head": head, "scaling": "standard"},
            marks=() if head == preset.head and name not in ALIKE else EXHAUSTIVE,
        )
        for name, preset in PRESETS.items()
        for head in preset.heads
    ),
    *(
        pytest.param({"architecture": name, "scaling": "none"}, marks=() if name in UNSCALED else EXHAUSTIVE)
        for name in PRESETS
    ),
]
SCALINGS = [
    {"scaling": "mean"},
    {"scaling": "none", "log": True},
    {"scaling": "robust", "log": True},
    *(
        pytest.param(scaling, marks=EXHAUSTIVE)
        for scaling in (
            {"scaling": "robust"},
            {"scaling": "mean", "log": True},
            {"scaling": "standard", "log": True},
        )
    ),
]
DIFFERENCES = [
    {"scaling": "none", "difference": "first"},
    {"scaling": "standard", "difference": "seasonal", "season": 4},
]


class Exported:
    """A recipe's graph with fresh weights, and the engine that runs its ONNX graphs."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        keras.backend.clear_session()
        members = recipe.members or (recipe,)
        weights = [w for member in members for w in calm(member).get_weights()]
        self.recipe = recipe
        self.graph = make_serving_graph(recipe, weights)
        for call, model in make_onnx_graphs(self.graph.networks, recipe).items():
            path = folder / graph_path(call)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(model)
        self.engine = OnnxRuntime(folder, None if recipe.reads_whole_series else recipe.longest_window)

    def check(self, rows: list[Array], padding: float = np.nan) -> None:
        """Demands TensorFlow's numbers of every call, for the rows in one batch."""
        lengths = np.array([len(row) for row in rows], np.int32)
        values = np.full((len(rows), int(lengths.max())), padding, np.float32)
        for target, row in zip(values, rows, strict=True):
            target[: len(row)] = row
        inputs = {"series": tf.constant(values[:, :, None]), "lengths": tf.constant(lengths)}
        expected = self.graph.forecast_ragged(**inputs)["forecast"].numpy()
        served = self.engine.forecast(values, lengths)
        horizon = self.recipe.horizon
        assert served.shape == (len(rows), horizon)
        for i, row in enumerate(rows):
            assert_same(served[i], expected[i], row)
        for steps in (1, horizon, horizon + 1, 3 * horizon + 2):
            expected = self.graph.rollout(**inputs, horizon=tf.constant(steps))["forecast"].numpy()
            served = self.engine.rollout(values, lengths, steps)
            assert served.shape == (len(rows), steps)
            for i, row in enumerate(rows):
                assert_same(served[i], expected[i], row, share=1e-4)
        if isinstance(self.graph, SequenceServingGraph):
            answer = self.graph.all_steps(**inputs)
            forecast, counts = self.engine.all_steps(values, lengths)
            assert counts.tolist() == answer["steps"].numpy().tolist()
            for i, row in enumerate(rows):
                assert_same(forecast[i], answer["forecast"].numpy()[i], row)


def rows_for(recipe: Recipe) -> list[Array]:
    """Series of the shortest length that the model takes to longer ones than it reads."""
    moved = {} if recipe.scaling == "none" and not recipe.log else {"scale": 40.0, "level": 200.0}
    lengths = [recipe.min_length, recipe.min_length + 1, recipe.min_length + 5, 31, recipe.window, recipe.window + 33]
    return [waves(1, length, seed=length, **moved)[0] for length in lengths if length >= recipe.min_length]


def check(folder: Path, **request: Any) -> None:
    exported = Exported(folder, recipe_of(**request))
    rows = rows_for(exported.recipe)
    exported.check(rows)
    exported.check(rows[::-1], padding=1e30)
    exported.check(rows[:1])
    exported.check(rows[-1:])
    exported.check(rows * 2)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: "-".join(request.values()))
def test_every_preset_head_and_mode(tmp_path: Path, request_: dict[str, str]) -> None:
    check(tmp_path, **request_)


@pytest.mark.parametrize("architecture", ["lstm", *seldom("ridge")])
@pytest.mark.parametrize("scaling", SCALINGS, ids=str)
def test_every_scaling(tmp_path: Path, architecture: str, scaling: dict[str, Any]) -> None:
    check(tmp_path, architecture=architecture, **scaling)


@pytest.mark.parametrize("architecture", ["theta_mlp", *seldom("ridge", "theta", "mlp")])
@pytest.mark.parametrize("season", [4, pytest.param(13, marks=EXHAUSTIVE)])
def test_every_base_with_a_season(tmp_path: Path, architecture: str, season: int) -> None:
    check(tmp_path, architecture=architecture, scaling="mean", season=season)


@pytest.mark.parametrize("focus", [pytest.param(1, marks=EXHAUSTIVE), 20])
def test_layers_that_read_less_than_their_base(tmp_path: Path, focus: int) -> None:
    check(tmp_path, architecture="theta_mlp", scaling="mean", season=12, focus=focus)


@pytest.mark.parametrize(
    "architecture",
    ["linear", "conv_gru", *seldom("wavenet", "naive", "mlp", "lstm", "gru", "deep_rnn", "ln_rnn", "encoder_decoder")],
)
@pytest.mark.parametrize("difference", DIFFERENCES, ids=str)
def test_every_difference(tmp_path: Path, architecture: str, difference: dict[str, Any]) -> None:
    check(tmp_path, architecture=architecture, **difference)


@pytest.mark.parametrize(
    ("architecture", "normalization"),
    [
        pytest.param(name, kind, marks=() if (name, kind) in (("lstm", "layer"), ("wavenet", "batch")) else EXHAUSTIVE)
        for name in ("lstm", "wavenet", "deep_rnn", "gru", "conv_gru")
        for kind in ("layer", "batch")
    ],
)
def test_every_normalization(tmp_path: Path, architecture: str, normalization: str) -> None:
    check(tmp_path, architecture=architecture, normalization=normalization, scaling="standard", units=20)


@pytest.mark.parametrize("layers", [pytest.param(1, marks=EXHAUSTIVE), 3])
@pytest.mark.parametrize(
    "architecture", ["lstm", "encoder_decoder", *seldom("wavenet", "ln_rnn", "vector_to_sequence", "mlp")]
)
def test_other_sizes(tmp_path: Path, architecture: str, layers: int) -> None:
    check(tmp_path, architecture=architecture, layers=layers, units=7, horizon=3, window=19, scaling="standard")


@pytest.mark.parametrize("horizon", [pytest.param(1, marks=EXHAUSTIVE), 3])
def test_blocks_of_odd_length(tmp_path: Path, horizon: int) -> None:
    check(tmp_path, architecture="conv_gru", horizon=horizon, scaling="standard", difference="first")


def test_an_ensemble_of_different_windows(tmp_path: Path) -> None:
    members = tuple(
        resolve({"architecture": name, "head": "vector", "window": window, "horizon": 6, "scaling": "mean"})
        for name, window in (("ridge", 12), ("mlp", 30), ("lstm", 20), ("theta", 24), ("theta_mlp", 24))
    )
    weighted = tuple(replace(member, weight=weight) for member, weight in zip(members, (1, 2, 0.5, 1, 3), strict=True))
    recipe = replace(members[1], members=weighted)
    exported = Exported(tmp_path, recipe)
    exported.check(rows_for(recipe))


def test_members_compute_once_what_they_have_in_common() -> None:
    recipe = resolve({"architecture": "theta_mlp", "window": 48, "horizon": 6, "scaling": "mean"})

    def count_nodes(*members: Recipe) -> int:
        whole = replace(recipe, members=members)
        graph = make_serving_graph(whole, [w for member in members for w in fresh(member).get_weights()])
        return len(onnx.load_from_string(make_onnx_graphs(graph.networks, graph.recipe)["forecast"]).graph.node)

    first, second, third = (replace(recipe, seed=seed) for seed in (1, 2, 3))
    more = count_nodes(first, second, third) - count_nodes(first, second)
    assert more < count_nodes(first, second) / 4


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
