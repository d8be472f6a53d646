"""Fits the combiner to examples: forecasts by their absolute error, the unit of errors by its likelihood."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from pretraining.examples import Examples
from service.networks.experts import EXPERTS
from service.networks.jax_operations import JaxOperations
from service.networks.zero_shot import POWER, Combination, Combiner, ExpertBacktest, weigh

Weights = dict[str, Any]

HIDDEN = (128, 128)
BATCH = 512
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 200
DECAY = 1e-4
LARGEST_GRADIENT = 1.0
# Errors beyond so many units count by their logarithm: a few series that nobody could foresee teach nothing.
LARGEST_LINEAR_ERROR = 4.0
SHARE_OF_UNIT = 0.05
# What keeps weights near those that follow from errors alone, which suit series of any origin.
PULL = 0.1


def fit(examples: Examples, *, steps: int, seed: int, pull: float = PULL) -> Combiner:
    """The combiner that suits examples best; the same for the same seed."""
    center = examples.features.mean(axis=0)
    scale = examples.features.std(axis=0) + np.float32(0.1)
    weights = _initialize(seed, examples.features.shape[1])
    moments = jax.tree.map(jnp.zeros_like, (weights, weights))
    arrays = {name: jnp.asarray(array) for name, array in examples._asdict().items() if name != "kind"}

    @jax.jit
    def step(weights: Weights, moments: Any, count: Any, rows: Any) -> tuple[Weights, Any, Any]:
        batch = {name: array[rows] for name, array in arrays.items()}
        loss, gradient = jax.value_and_grad(_loss)(weights, center, scale, batch, pull)
        norm = jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda leaf: leaf * jnp.minimum(1.0, LARGEST_GRADIENT / norm), gradient)
        rate = LEARNING_RATE * jnp.minimum(1.0, count / WARM_UP_STEPS) * 0.5 * (1 + jnp.cos(jnp.pi * count / steps))
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], gradient)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * (m / (1 - 0.9**count) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8) + DECAY * w),
            weights,
            first,
            second,
        )
        return weights, (first, second), loss

    rng = np.random.default_rng(seed)
    for count in range(1, steps + 1):
        rows = rng.integers(0, len(examples.features), BATCH)
        weights, moments, _ = step(weights, moments, jnp.float32(count), rows)
    return _to_combiner(jax.tree.map(np.asarray, weights), center, scale)


def apply(combiner: Combiner, examples: Examples) -> Combination:
    """The combiner's combinations on examples, in units of their series' magnitude, by JAX."""
    return _apply(combiner, {name: jnp.asarray(array) for name, array in examples._asdict().items()})


@jax.jit
def _apply(combiner: Combiner, batch: Mapping[str, Any]) -> Combination:
    return weigh(JaxOperations({}, [], None), combiner, _backtest(batch), batch["share"])[0]


def _loss(
    weights: Weights, center: NDArray[Any], scale: NDArray[Any], batch: Mapping[str, Any], pull: float
) -> jax.Array:
    combination, answer = weigh(
        JaxOperations({}, [], None), _to_combiner(weights, center, scale), _backtest(batch), batch["share"]
    )
    counted = batch["is_step"]
    error = jnp.abs(batch["targets"] - combination.forecast) / batch["unit"][:, None]
    excess = jnp.maximum(error - LARGEST_LINEAR_ERROR, 0.0)
    error = jnp.minimum(error, LARGEST_LINEAR_ERROR) + jnp.log1p(excess)
    # Errors of a Laplace distribution, whose scale is the unit.
    missed = jnp.abs(batch["targets"] - jax.lax.stop_gradient(combination.forecast))
    surprise = jnp.minimum(missed / combination.unit + jnp.log(combination.unit / batch["unit"][:, None]), 50.0)
    mean = ((error + SHARE_OF_UNIT * surprise) * counted).sum() / counted.sum()
    moved = answer[:, : 2 * len(EXPERTS)] + jnp.tile(weights["preference"], 2)
    return mean + pull * (moved**2).mean()


def _backtest(batch: Mapping[str, Any]) -> ExpertBacktest:
    return ExpertBacktest(
        batch["forecasts"],
        batch["features"],
        batch["log_errors"],
        batch["allowed"],
        batch["best"],
        jnp.ones_like(batch["best"]),
    )


def _initialize(seed: int, n_features: int) -> Weights:
    """Layers whose last one is 0: at first the errors alone decide."""
    sizes = (n_features, *HIDDEN)
    keys = jax.random.split(jax.random.PRNGKey(seed), len(HIDDEN))
    layers = [
        (jax.random.normal(key, (n_in, n_out)) * np.sqrt(2 / n_in), jnp.zeros(n_out))
        for key, n_in, n_out in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]
    n_answers = 2 * len(EXPERTS) + 3
    layers.append((jnp.zeros((HIDDEN[-1], n_answers)), jnp.zeros(n_answers)))
    return {"layers": layers, "power": jnp.float32(POWER), "preference": jnp.zeros(len(EXPERTS))}


def _to_combiner(weights: Weights, center: NDArray[Any], scale: NDArray[Any]) -> Combiner:
    return Combiner(weights["layers"], center, scale, weights["power"], weights["preference"])
