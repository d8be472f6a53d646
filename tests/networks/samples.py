"""Networks with weights, and what they answer."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.presets import PRESETS
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.resolve import resolve
from service.networks.network import Network, make_network
from service.networks.operations import NumPyOperations

Array = NDArray[np.float32]

# What only recipes for series of one's own may ask for, or nobody.
BESIDE = frozenset({"readout", "season", "focus", "log", "difference"})


def recipe_of(**options: Any) -> Recipe:
    """A recipe for waves with small networks, and with options that a request for waves can't have."""
    given = {key: value for key, value in options.items() if key not in BESIDE}
    if PRESETS[options["architecture"]].units > 1:
        given = {"units": 7, **given}
    return replace(resolve(given), **{key: options[key] for key in BESIDE & options.keys()})


def fresh(recipe: Recipe, seed: int = 5, *, noise: float = 0.02) -> Network:
    """A network with initial weights, moved a little so that none is zero; no variance is negative."""
    keras.utils.set_random_seed(seed)
    network = make_network(recipe)
    rng = np.random.default_rng(seed)
    moved = [w + noise * rng.standard_normal(w.shape).astype(np.float32) for w in network.get_weights()]
    network.set_weights(
        [np.abs(w) + 0.5 if "variance" in v.path else w for v, w in zip(network.weights, moved, strict=True)]
    )
    return network


def calm(recipe: Recipe, seed: int = 5) -> Network:
    """As `fresh`, with weights under which rounding fades: before training a layer-normalised cell magnifies it at
    every step."""
    network = fresh(recipe, seed)
    if recipe.architecture == "ln_rnn":
        square = (recipe.units, recipe.units)
        network.set_weights([w * np.float32(0.01) if w.shape == square else w for w in network.get_weights()])
    return network


class FixedWeights(NumPyOperations):
    """NumPy, for networks whose weights stay: each is asked of Keras once, which takes longer than what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self._weights: dict[int, tuple[Any, Array]] = {}

    def weight(self, variable: Any) -> Array:
        # The variable is kept too: another one can't get its number.
        if id(variable) not in self._weights:
            self._weights[id(variable)] = (variable, np.asarray(variable))
        return self._weights[id(variable)][1]


def answer(network: Network, x: Any, xp: NumPyOperations | None = None) -> Array:
    """What NumPy computes for series [batch, time]: [batch, horizon], of sequence heads [batch, steps, horizon]."""
    return np.asarray(network.forward(xp or FixedWeights(), np.asarray(x, np.float32)))


def series(n: int, time: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n, time)).astype(np.float32)
