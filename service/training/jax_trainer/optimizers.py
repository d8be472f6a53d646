"""Keras' optimisers as pure functions of weights, gradients and a state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from service.domain.recipes.options import Optimizer

Array = jax.Array
Arrays = list[Array]
# Each optimiser's own: arrays like the weights, and numbers that go on from step to step.
State = Any
Update = Callable[[Arrays, Arrays, State, Array], tuple[Arrays, State]]

# Keras' own settings.
_BETA_1, _BETA_2, _RHO, _EPSILON = 0.9, 0.999, 0.9, 1e-7


def make_optimizer(name: Optimizer) -> tuple[Callable[[Arrays], State], Update]:
    """What begins an optimiser's state, and its step: (weights, gradients, state, learning rate) -> (weights, state).

    Formulas are those of Keras 3, with its default settings: D. Kingma and J. Ba, Adam, 2015; T. Dozat, Incorporating
    Nesterov Momentum into Adam, 2015; G. Hinton's RMSprop, 2012.
    """
    return {
        "adam": (_moments, _adam),
        "nadam": (_moments, _nadam),
        "rmsprop": (_squares, _rmsprop),
        "sgd": (_none, _sgd),
    }[name]


def _zeros(weights: Arrays) -> Arrays:
    zeros: Arrays = jax.device_put([np.zeros(one.shape, one.dtype) for one in weights])
    return zeros


def _moments(weights: Arrays) -> State:
    # The count of steps, Nadam's product of momenta, and both moments.
    step, product = jax.device_put((np.float32(0), np.float32(1)))
    return step, product, _zeros(weights), _zeros(weights)


def _squares(weights: Arrays) -> State:
    return _zeros(weights)


def _none(weights: Arrays) -> State:
    del weights
    return ()


def _mix(before: Arrays, now: Arrays, share: float) -> Arrays:
    return [old + (new - old) * share for old, new in zip(before, now, strict=True)]


def _squared(gradients: Arrays) -> Arrays:
    return [one * one for one in gradients]


def _adam(weights: Arrays, gradients: Arrays, state: State, rate: Array) -> tuple[Arrays, State]:
    step, product, first, second = state
    step = step + 1
    first = _mix(first, gradients, 1 - _BETA_1)
    second = _mix(second, _squared(gradients), 1 - _BETA_2)
    alpha = rate * jnp.sqrt(1 - _BETA_2**step) / (1 - _BETA_1**step)
    moved = [w - alpha * m / (jnp.sqrt(v) + _EPSILON) for w, m, v in zip(weights, first, second, strict=True)]
    return moved, (step, product, first, second)


def _nadam(weights: Arrays, gradients: Arrays, state: State, rate: Array) -> tuple[Arrays, State]:
    step, product, first, second = state
    step = step + 1
    now, later = (_BETA_1 * (1 - 0.5 * 0.96**at) for at in (step, step + 1))
    product = product * now
    first = _mix(first, gradients, 1 - _BETA_1)
    second = _mix(second, _squared(gradients), 1 - _BETA_2)
    ahead, here = later / (1 - product * later), (1 - now) / (1 - product)
    moved = [
        w - rate * (ahead * m + here * g) / (jnp.sqrt(v / (1 - _BETA_2**step)) + _EPSILON)
        for w, g, m, v in zip(weights, gradients, first, second, strict=True)
    ]
    return moved, (step, product, first, second)


def _rmsprop(weights: Arrays, gradients: Arrays, state: State, rate: Array) -> tuple[Arrays, State]:
    squares = _mix(state, _squared(gradients), 1 - _RHO)
    moved = [w - rate * g / jnp.sqrt(v + _EPSILON) for w, g, v in zip(weights, gradients, squares, strict=True)]
    return moved, squares


def _sgd(weights: Arrays, gradients: Arrays, state: State, rate: Array) -> tuple[Arrays, State]:
    return [w - rate * g for w, g in zip(weights, gradients, strict=True)], state
