"""Fits the gate to trials: forecasts by their absolute error, the unit of errors by its likelihood."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from pretraining.trials import Trials
from service.networks.experts import EXPERTS
from service.networks.jax_operations import JaxOperations
from service.networks.zero_shot import POWER, Gate, Trial, Verdict, weigh

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


def fit(trials: Trials, *, steps: int, seed: int, pull: float = PULL) -> Gate:
    """The gate that suits trials best; the same for the same seed."""
    center = trials.features.mean(axis=0)
    scale = trials.features.std(axis=0) + np.float32(0.1)
    weights = _initialize(seed, trials.features.shape[1])
    moments = jax.tree.map(jnp.zeros_like, (weights, weights))
    arrays = {name: jnp.asarray(array) for name, array in trials._asdict().items() if name != "kind"}

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
        rows = rng.integers(0, len(trials.features), BATCH)
        weights, moments, _ = step(weights, moments, jnp.float32(count), rows)
    return _to_gate(jax.tree.map(np.asarray, weights), center, scale)


def apply(gate: Gate, trials: Trials) -> Verdict:
    """The gate's verdicts on trials, in units of their series' magnitude, by JAX."""
    return _apply(gate, {name: jnp.asarray(array) for name, array in trials._asdict().items()})


@jax.jit
def _apply(gate: Gate, batch: Mapping[str, Any]) -> Verdict:
    return weigh(JaxOperations({}, [], None), gate, _trial(batch), batch["share"])[0]


def _loss(
    weights: Weights, center: NDArray[Any], scale: NDArray[Any], batch: Mapping[str, Any], pull: float
) -> jax.Array:
    verdict, answer = weigh(
        JaxOperations({}, [], None), _to_gate(weights, center, scale), _trial(batch), batch["share"]
    )
    counted = batch["is_step"]
    error = jnp.abs(batch["targets"] - verdict.forecast) / batch["unit"][:, None]
    excess = jnp.maximum(error - LARGEST_LINEAR_ERROR, 0.0)
    error = jnp.minimum(error, LARGEST_LINEAR_ERROR) + jnp.log1p(excess)
    # Errors of a Laplace distribution, whose scale is the unit.
    missed = jnp.abs(batch["targets"] - jax.lax.stop_gradient(verdict.forecast))
    surprise = jnp.minimum(missed / verdict.unit + jnp.log(verdict.unit / batch["unit"][:, None]), 50.0)
    mean = ((error + SHARE_OF_UNIT * surprise) * counted).sum() / counted.sum()
    return mean + pull * (answer[:, : 2 * len(EXPERTS)] ** 2).mean()


def _trial(batch: Mapping[str, Any]) -> Trial:
    return Trial(
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


def _to_gate(weights: Weights, center: NDArray[Any], scale: NDArray[Any]) -> Gate:
    return Gate(weights["layers"], center, scale, weights["power"], weights["preference"])
