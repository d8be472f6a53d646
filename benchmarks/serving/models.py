"""The models that all servers serve, with the same weights: a store of ours, and Keras models for the tutorial."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
import tensorflow as tf

from service.domain.recipes.recipe import Recipe
from service.domain.recipes.resolve import resolve
from service.networks.network import make_network
from service.store.manifest import Manifest
from service.store.publish import publish, staging
from service.training.export.process import export
from service.training.export.verification import add_graphs

ARCHITECTURES = ("lstm", "sequence_rnn", "gru", "wavenet")
# Models of one step ahead, by name: for autoregression.
ONE_STEP = {
    "deep_rnn": {"architecture": "deep_rnn"},
    **{f"{name}_one_step": {"architecture": name, "head": "one_step"} for name in ("lstm", "gru", "wavenet")},
}


def make_models(store: Path) -> None:
    """Publishes models with weights as they are initialised: serving costs the same as with trained ones."""
    for name, request in {**{name: {"architecture": name} for name in ARCHITECTURES}, **ONE_STEP}.items():
        make_model(store, name, request)


def make_model(store: Path, name: str, request: dict[str, str]) -> None:
    """Publishes a model with weights as they are initialised."""
    # Each model is traced for several shapes, on purpose.
    tf.get_logger().setLevel("ERROR")
    keras.utils.set_random_seed(42)
    recipe = resolve(request)
    network = make_network(recipe)
    folder = staging(store, name)
    graph = export(recipe, network.get_weights(), folder)
    rng = np.random.default_rng(42)
    engines = add_graphs(graph, recipe, folder, [rng.normal(size=(4, n)).astype(np.float32) for n in (50, 90)])
    if name in ARCHITECTURES:
        model = _plain(name)
        model.set_weights(network.get_weights())
        model.save(folder / "assets.extra" / "plain.keras")
    publish(store, folder, _describe(name, recipe, engines, network.count_params()))


def _plain(architecture: str) -> keras.Model:
    """The chapter's own code for it."""
    layers = keras.layers
    recurrent = {"lstm": layers.LSTM, "sequence_rnn": layers.SimpleRNN, "gru": layers.GRU}
    series = keras.Input((None, 1))
    x = series
    if architecture in recurrent:
        for _ in range(2):
            x = recurrent[architecture](20, return_sequences=True)(x)
    else:
        for rate in (1, 2, 4, 8) * 2:
            x = layers.Conv1D(20, 2, padding="causal", activation="relu", dilation_rate=rate)(x)
    return keras.Model(series, layers.Dense(10)(x))


def _describe(name: str, recipe: Recipe, engines: dict[str, object], parameters: int) -> Manifest:
    return Manifest(
        name=name,
        version=0,
        created_at="2026-01-01T00:00:00.000Z",
        architecture=recipe.architecture,
        head=recipe.head,
        hyper_parameters=recipe.to_dict(),
        modes=list(recipe.modes),
        window=recipe.window,
        horizon=recipe.horizon,
        min_length=recipe.min_length,
        scaling=recipe.scaling,
        reads_whole_series=recipe.reads_whole_series,
        data={"kind": "synthetic"},
        seed=42,
        metrics={},
        gate=None,
        epochs_run=0,
        seconds=0.0,
        device="cpu",
        library_versions={},
        job_id=None,
        parameters=parameters,
        engines=engines,
    )
