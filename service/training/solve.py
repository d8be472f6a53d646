"""Ridge regression: the weights of an affine readout as the solution of an equation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.training.draws import Draws
from service.zoo.network import Network

Array = NDArray[np.float64]

# Shares of the features' mean variance, tried on the validation windows.
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
# Multiplications that the normal equations may take: some ten seconds.
MOST_WORK = 2e11
MOST_WINDOWS = 200_000
FEWEST_WINDOWS = 4000


@dataclass(slots=True)
class _Sums:
    """Weighted sums over windows of features x, what is still to be explained y, and their products."""

    weight: float
    x: Array
    y: Array
    xx: Array
    xy: Array


def solve(network: Network, train: Any, validation: Any, on_batch: Callable[[], None]) -> tuple[float, float]:
    """Gives an affine readout the weights with the least weighted squared error and penalised squared size.

    The penalty is the one that validates best in mean absolute error; a network that was solved before keeps its own.
    With an infinite one the forecast would be seasonal naive plus a constant for each step.
    Source: A. E. Hoerl and R. W. Kennard, Ridge Regression, 1970.

    Args:
        network: one with an affine readout.
        train, validation, on_batch: as of `service.training.fit.fit`.

    Returns:
        The mean squared errors of training and validation windows, in the model's units.
    """
    sums = _add_up(network, train, on_batch)
    variances, directions, moments = _diagonalize(sums)
    inputs, targets, weights = _examples(validation)
    x, base = _parts(network, inputs)
    penalties = PENALTIES if network.penalty is None else (network.penalty,)
    best, least = (np.zeros_like(sums.xy), np.zeros_like(sums.y)), np.inf
    for penalty in penalties:
        kernel = directions @ (moments / (variances + penalty * variances.mean() + np.finfo(float).tiny)[:, None])
        bias = (sums.y - sums.x @ kernel) / sums.weight
        loss = float(np.average(np.abs(x @ kernel + bias + base - targets).mean(axis=1), weights=weights))
        if loss < least:
            best, least, network.penalty = (kernel, bias), loss, penalty
    network.readout.answer.set_weights(list(best))
    losses = [_mean_squared_error(network, part) for part in (next(_chunks(train)), (inputs, targets, weights))]
    return losses[0], losses[1]


def _add_up(network: Network, train: Any, on_batch: Callable[[], None]) -> _Sums:
    width, horizon = network.readout.window, network.horizon
    sums = _Sums(0.0, np.zeros(width), np.zeros(horizon), np.zeros((width, width)), np.zeros((width, horizon)))
    for inputs, targets, weights in _chunks(train):
        x, base = _parts(network, inputs)
        y = targets - base
        weighted = x * weights[:, None]
        sums.weight += float(weights.sum())
        sums.x += weighted.sum(axis=0)
        sums.y += weights @ y
        sums.xx += weighted.T @ x
        sums.xy += weighted.T @ y
        on_batch()
    return sums


def _diagonalize(sums: _Sums) -> tuple[Array, Array, Array]:
    """Variances of the features along their principal directions, these, and the moments with y along them."""
    mean = sums.x / sums.weight
    variances, directions = np.linalg.eigh(sums.xx / sums.weight - np.outer(mean, mean))
    moments = directions.T @ (sums.xy / sums.weight - np.outer(mean, sums.y / sums.weight))
    return np.maximum(variances, 0.0), directions, moments


def _chunks(train: Any) -> Iterator[tuple[Array, Array, Array]]:
    if not isinstance(train, Draws):
        yield _examples(train)
        return
    most = int(min(MOST_WINDOWS, max(FEWEST_WINDOWS, MOST_WORK / train.width**2)))
    for one in train.every(most):
        yield _examples((one.x, one.targets, one.weights))


def _examples(part: Any) -> tuple[Array, Array, Array]:
    inputs, targets, *rest = (one.astype(np.float64) for one in part)
    return inputs, targets, rest[0] if rest else np.ones(len(inputs))


def _parts(network: Network, inputs: Array) -> tuple[Array, Array]:
    features, base = network.parts(inputs[:, :, None].astype(np.float32))
    return np.asarray(features, np.float64), np.asarray(base, np.float64)


def _mean_squared_error(network: Network, part: tuple[Array, Array, Array]) -> float:
    inputs, targets, weights = part
    answers = np.asarray(network(inputs[:, :, None].astype(np.float32)), np.float64)
    return float(np.average(np.square(answers - targets).mean(axis=1), weights=weights))
