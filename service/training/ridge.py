"""Ridge regression: the weights of an affine readout as the solution of an equation."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.panel_windows import TrainingWindows
from service.domain.robust_regression import FILLINGS, RobustFit, fit_robustly
from service.networks.network import Network
from service.networks.operations import NumPyOperations
from service.training.data.training_set import BatchSampler, TrainingSet
from service.training.data.window_sampler import WindowSampler

Array = NDArray[np.float64]

# Shares of the features' mean variance, tried on the validation windows.
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
# Multiplications that the normal equations may take: some ten seconds.
MOST_WORK = 2e11
MOST_WINDOWS = 200_000
FEWEST_WINDOWS = 4000
# Where the base tries what it is made of on each window's own past, which takes a tenth of a millisecond.
MOST_TRIED_WINDOWS = 40_000
# Of the features' mean square: a variance below is that of 32-bit numbers. Of ramps, whose windows are all alike, there
# is no other, and weights that fit it would be any that cancel each other.
ROUNDING = 1e-12
# Of the validation windows, this share that errs most may cost the others no more than that.
TRIMMED = 0.1
MOST_LOSS = 0.05
# Windows that say what a usual error is: those that err by many times as much are left out of all.
ROBUST_WINDOWS = 4000


@dataclass(slots=True)
class _Sums:
    """Weighted sums over windows of features x, what is still to be explained y, and their products."""

    weight: float
    x: Array
    y: Array
    xx: Array
    xy: Array
    is_incomplete: bool = False


def solve(
    network: Network,
    train: TrainingSet,
    validation: TrainingWindows,
    on_batch: Callable[[], None],
    *,
    by_squares: bool = False,
) -> tuple[float, float]:
    """Gives an affine readout the weights with the least weighted squared error and penalised squared size.

    The penalty is the one that validates best, in mean absolute error if not told otherwise; a network that was solved
    before keeps its own. With an infinite one the forecast would be seasonal naive plus a constant for each step.
    Windows that are outliers don't count (`service.domain.robust_regression`), nor do targets that were not measured.
    Source: A. E. Hoerl and R. W. Kennard, Ridge Regression, 1970.

    Args:
        network: one with an affine readout.
        train, validation, on_batch: as of `service.training.fit.fit`.
        by_squares: choose the penalty by squared errors, for demand whose median is zero.

    Returns:
        The mean squared errors of training and validation windows, in the model's units.
    """
    usual = _fit_usual(network, train)
    inputs, targets, weights = _examples(validation)
    x, base = _parts(network, inputs)
    weights = usual.reweight(x, targets - base, weights)
    filled = usual
    for _ in range(FILLINGS):
        sums = _add_up(network, train, usual, filled, on_batch)
        kernel, bias = _choose_penalty(network, sums, x, targets - base, weights, by_squares)
        if not sums.is_incomplete:
            break
        filled = RobustFit(np.vstack([kernel, bias]), usual.deviation)
    network.head.answer.set_weights([kernel, bias])
    losses = [_mean_squared_error(network, part) for part in (next(_chunks(train)), (inputs, targets, weights))]
    return losses[0], losses[1]


def _choose_penalty(
    network: Network, sums: "_Sums", x: Array, y: Array, weights: Array, by_squares: bool
) -> tuple[Array, Array]:
    """Kernel and bias with the penalty under which windows x, y validate best; the network remembers it."""
    variances, directions, moments = _diagonalize(sums)
    penalties = PENALTIES if network.penalty is None else (network.penalty,)
    rounding = ROUNDING * np.trace(sums.xx) / len(sums.xx) / sums.weight + np.finfo(float).tiny
    known = ~np.isnan(y).all(axis=1)
    total = max(weights[known].sum(), np.finfo(float).tiny)
    tried, losses, trimmed = [], [], []
    for penalty in penalties:
        kernel = directions @ (moments / (variances + penalty * variances.mean() + rounding)[:, None])
        bias = (sums.y - sums.x @ kernel) / sums.weight
        errors = np.abs(x[known] @ kernel + bias - y[known])
        errors = np.nanmean(np.square(errors) if by_squares else errors, axis=1) * weights[known]
        tried.append((kernel, bias))
        losses.append(errors.sum() / total)
        trimmed.append(np.sort(errors)[: math.ceil((1 - TRIMMED) * len(errors))].sum() / total)
    best = int(np.argmin(losses))
    if trimmed[best] > min(trimmed) * (1 + MOST_LOSS):
        # A few windows would decide for all others.
        best = int(np.argmin(trimmed))
    network.penalty = penalties[best]
    return tried[best]


def _fit_usual(network: Network, train: TrainingSet) -> RobustFit:
    """What most of some windows agree on."""
    if isinstance(train, TrainingWindows):
        inputs, targets, weights = _examples(train)
        some = np.linspace(0, len(inputs) - 1, min(ROBUST_WINDOWS, len(inputs))).astype(int)
        chunks = [(inputs[some], targets[some], weights[some])]
    else:
        chunks = [_examples(windows) for windows in _sampler(train).every(ROBUST_WINDOWS)]
    parts = [_parts(network, inputs) for inputs, _, _ in chunks]
    x = np.concatenate([x for x, _ in parts])
    y = np.concatenate([targets - base for (_, targets, _), (_, base) in zip(chunks, parts, strict=True)])
    return fit_robustly(x, y, np.concatenate([weights for _, _, weights in chunks]))


def _add_up(
    network: Network, train: TrainingSet, usual: RobustFit, filled: RobustFit, on_batch: Callable[[], None]
) -> _Sums:
    """The sums of all windows that are no outliers to `usual`; targets that are missing are what `filled` says."""
    width, horizon = network.head.focus, network.horizon
    sums = _Sums(0.0, np.zeros(width), np.zeros(horizon), np.zeros((width, width)), np.zeros((width, horizon)))
    for inputs, targets, given in _chunks(train):
        x, base = _parts(network, inputs)
        y = targets - base
        missing = np.isnan(y)
        weights = usual.reweight(x, y, np.where(missing.all(axis=1), 0.0, given))
        sums.is_incomplete |= bool((missing.any(axis=1) & (weights > 0)).any())
        y = filled.complete(x, y)
        weighted = x * weights[:, None]
        sums.weight += float(weights.sum())
        sums.x += weighted.sum(axis=0)
        sums.y += weights @ y
        sums.xx += weighted.T @ x
        sums.xy += weighted.T @ y
        on_batch()
    if not sums.weight > 0:
        # Nothing was learnt from constant series: the base by itself is right.
        sums.weight = 1.0
    return sums


def _diagonalize(sums: _Sums) -> tuple[Array, Array, Array]:
    """Variances of the features along their principal directions, these, and the moments with y along them."""
    mean = sums.x / sums.weight
    variances, directions = np.linalg.eigh(sums.xx / sums.weight - np.outer(mean, mean))
    moments = directions.T @ (sums.xy / sums.weight - np.outer(mean, sums.y / sums.weight))
    return np.maximum(variances, 0.0), directions, moments


def _chunks(train: TrainingSet) -> Iterator[tuple[Array, Array, Array]]:
    if isinstance(train, TrainingWindows):
        yield _examples(train)
        return
    sampler = _sampler(train)
    most = int(min(MOST_WINDOWS, max(FEWEST_WINDOWS, MOST_WORK / sampler.width**2)))
    yield from map(_examples, sampler.every(min(most, MOST_TRIED_WINDOWS) if sampler.is_tried else most))


def _sampler(train: BatchSampler) -> WindowSampler:
    if not isinstance(train, WindowSampler):
        raise TypeError(
            f"a ridge regression is fitted to windows of which each comes once, not to {type(train).__name__}"
        )
    return train


def _examples(windows: TrainingWindows) -> tuple[Array, Array, Array]:
    return windows.x.astype(np.float64), windows.targets.astype(np.float64), windows.weights.astype(np.float64)


def _parts(network: Network, inputs: Array) -> tuple[Array, Array]:
    features, base = network.regressors(NumPyOperations(), inputs.astype(np.float32))
    return np.asarray(features, np.float64), np.asarray(base, np.float64)


def _mean_squared_error(network: Network, part: tuple[Array, Array, Array]) -> float:
    inputs, targets, weights = part
    answers = np.asarray(network.forward(NumPyOperations(), inputs.astype(np.float32)), np.float64)
    known = ~np.isnan(targets).all(axis=1)
    squares = np.nanmean(np.square(answers[known] - targets[known]), axis=1)
    return float(squares @ weights[known] / max(weights[known].sum(), np.finfo(float).tiny))
