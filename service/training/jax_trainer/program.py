"""Compiled programs: a few batches of training, validation and forecasts, each one call.

A program is compiled once for each shape of network and data and then serves every fit of that shape in the process.
"""

from collections import OrderedDict
from dataclasses import fields
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.networks.jax_operations import JaxOperations
from service.networks.network import Network
from service.training.jax_trainer.optimizers import make_optimizer

Array = jax.Array

# Programs that are kept: an ensemble of every architecture's, a few times over.
MOST_PROGRAMS = 32
# Of a batch. Ordinary ones are a thousandth of that; those of sparse demand can grow from step to step without bound.
LONGEST_GRADIENT = 1000.0
# What of a recipe can't change the program: what is said of data, whose shapes count by themselves, of how weights
# begin, of how long they are fitted, and what a call is handed as a number. All else does.
UNCOMPILED = frozenset(
    {
        *("name", "data", "scaling", "log", "evaluated_horizon", "min_history", "max_windows", "batch_size"),
        *("seed", "kernel_initializer", "learning_rate", "epochs", "patience", "max_seconds"),
        *("chosen_on_validation", "refit", "weight", "members"),
    }
)


class Batches(NamedTuple):
    """Batches of one shape: `x` [batches, batch, time], targets and weights beside; `sizes` [batches] is how many of
    a batch's rows count, the first ones: the others have no weight, and a batch without rows is skipped."""

    x: Any
    targets: Any
    weights: Any
    sizes: Any


class Fit(NamedTuple):
    """Where a fit stands: all weights in Keras' order, the optimiser's state, and the key of what is drawn next."""

    weights: list[Array]
    optimizer: Any
    key: Array


class Losses(NamedTuple):
    """Sums over rows: of their losses, and of those of the last time step alone."""

    whole: Array
    last_step: Array


class Program:
    """The compiled functions of all networks of one shape."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        # The network is kept for its structure: its variables' identities are the places of the weights.
        self._network = network
        self._places = {id(variable): i for i, variable in enumerate(network.weights)}
        fitted = {id(variable) for variable in network.trainable_weights}
        self._fitted = [i for i, variable in enumerate(network.weights) if id(variable) in fitted]
        self._is_absolute = {"mse": False, "mae": True}[recipe.loss]
        # Of series of one's own, targets may be missing.
        self._may_miss = recipe.own_data is not None
        self._begin_optimizer, self._optimize = make_optimizer(recipe.optimizer)
        self.train = jax.jit(self._train)
        self.validate = jax.jit(self._validate)
        self.forecast = jax.jit(self._forecast)

    def begin(self, weights: list[NDArray[np.float32]], seed: int) -> Fit:
        """A fit before its first step."""
        # `jnp.asarray` would compile a program for each shape. On the processor the arrays may share the memory of
        # `weights`: nobody may write there, nor may a program be given it as its own.
        arrays = jax.device_put(weights)
        return Fit(arrays, self._begin_optimizer([arrays[i] for i in self._fitted]), jax.random.key(seed))

    def _train(self, fit: Fit, batches: Batches, rates: Array) -> tuple[Fit, Array]:
        """Steps with one batch after the other, at their learning rates; the sum of all rows' losses."""

        def step(fit: Fit, inputs: tuple[Batches, Array]) -> tuple[Fit, Array]:
            return lax.cond(inputs[0].sizes > 0, self._step, lambda fit, *_: (fit, jnp.float32(0)), fit, *inputs)

        fit, losses = lax.scan(step, fit, (batches, rates))
        return fit, losses.sum()

    def _step(self, fit: Fit, batch: Batches, rate: Array) -> tuple[Fit, Array]:
        key, drawn = jax.random.split(fit.key)

        def measure(fitted: list[Array]) -> tuple[Array, dict[int, Array]]:
            xp = JaxOperations(self._places, self._place(fit.weights, fitted), drawn)
            losses = self._losses(self._network.forward(xp, batch.x), batch)
            return losses.whole / batch.sizes, xp.updates

        fitted = [fit.weights[i] for i in self._fitted]
        (loss, updates), gradients = jax.value_and_grad(measure, has_aux=True)(fitted)
        if self._may_miss:
            gradients = _clip(gradients)
        fitted, state = self._optimize(fitted, gradients, fit.optimizer, rate)
        weights = self._place(fit.weights, fitted)
        for i, value in updates.items():
            weights[i] = value
        return Fit(weights, state, key), loss * batch.sizes

    def _validate(self, weights: list[Array], batch: Batches) -> Losses:
        return self._losses(self._forecast(weights, batch.x), batch)

    def _forecast(self, weights: list[Array], x: Array) -> Array:
        return self._network.forward(JaxOperations(self._places, weights, None), x)

    def _place(self, weights: list[Array], fitted: list[Array]) -> list[Array]:
        placed = list(weights)
        for i, value in zip(self._fitted, fitted, strict=True):
            placed[i] = value
        return placed

    def _losses(self, answers: Array, batch: Batches) -> Losses:
        """As Keras has them: each answer's mean over the horizon, times its weight, over the count of answers.

        Of targets that are NaN no error counts.
        """
        by_answer = self._measure(answers, batch.targets)
        weights = batch.weights
        if by_answer.ndim > weights.ndim:
            weights = weights[:, None]
        weighted = by_answer * weights
        if weighted.ndim == 1:
            return Losses(weighted.sum(), weighted.sum())
        return Losses(weighted.mean(1).sum(), weighted[:, -1].sum())

    def _measure(self, answers: Array, targets: Array) -> Array:
        if not self._may_miss:
            errors = answers - targets
            return (jnp.abs(errors) if self._is_absolute else errors * errors).mean(-1)
        is_known = ~jnp.isnan(targets)
        # Chosen before and after, so that no gradient meets a NaN.
        errors = jnp.where(is_known, answers - jnp.where(is_known, targets, 0), 0)
        sums = (jnp.abs(errors) if self._is_absolute else errors * errors).sum(-1)
        return sums / jnp.maximum(is_known.sum(-1), 1)


def _clip(gradients: list[Array]) -> list[Array]:
    """Gradients no longer than `LONGEST_GRADIENT` together; of a batch that went beyond all numbers none at all.

    Source: R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """
    length = jnp.sqrt(sum(jnp.sum(one * one) for one in gradients))
    share = jnp.where(length > LONGEST_GRADIENT, LONGEST_GRADIENT / length, 1.0)
    return [jnp.where(jnp.isfinite(length), one * share, 0.0) for one in gradients]


_programs: OrderedDict[tuple[Any, ...], Program] = OrderedDict()


def program_key(recipe: Recipe) -> tuple[Any, ...]:
    """What recipes of one program have in common."""
    settled = (field.name for field in fields(recipe) if field.name not in UNCOMPILED)
    return (*((name, getattr(recipe, name)) for name in settled), recipe.own_data is not None)


def find_program(network: Network, recipe: Recipe) -> Program:
    """The program for networks of this shape: one that is there, or a new one."""
    key = program_key(recipe)
    if key not in _programs:
        _programs[key] = Program(network, recipe)
        if len(_programs) > MOST_PROGRAMS:
            _programs.popitem(last=False)
    _programs.move_to_end(key)
    return _programs[key]
