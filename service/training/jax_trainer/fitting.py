"""Fits a network with compiled programs: on processors, where Keras' own loop costs more than the arithmetic."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from service.domain.panel_windows import TrainingWindows
from service.domain.recipes.recipe import Recipe
from service.networks.network import Network
from service.training.checkpoints import FitCheckpoint, Standing
from service.training.data.training_set import BatchSampler, TrainingSet
from service.training.epoch import OVERTIME_SECONDS, Epoch
from service.training.jax_trainer.program import Batches, Fit, Program, find_program
from service.training.median_rule import Bounds, is_above

Floats = NDArray[np.float32]

# Batches of one call: few enough that a job ends soon when it is told to, enough that a call costs nothing to speak of.
BATCHES_AT_ONCE = 16
# Rows of one call in validation and forecasts, the fewest that hold all: one short series has a few dozen windows. Few
# sizes, for each is a program.
ROWS_AT_ONCE = (32, 128, 500)


def fit_with_jax(
    recipe: Recipe,
    network: Network,
    train: TrainingSet,
    validation: TrainingWindows,
    on_batch: Callable[[], None],
    on_epoch: Callable[[Epoch], None],
    checkpoint: FitCheckpoint | None = None,
    standing: Standing | None = None,
    bounds: Bounds = (),
) -> list[Epoch]:
    """Fits a network: `service.training.fit.fit` says how. Returns the epochs; the network has its new weights.

    Args:
        checkpoint: where the fit's standing is written after an epoch, now and then.
        standing: what it has written before, to go on from there.
        bounds: of the validation loss, by epoch; a fit that is above ends.
    """
    program = find_program(network, recipe)
    state = program.begin(network.get_weights(), recipe.seed)
    # The weights of drawn windows say themselves which steps count.
    stop = _EarlyStop(recipe, by_last_step=recipe.head == "sequence" and isinstance(train, TrainingWindows))
    rng = np.random.default_rng(recipe.seed) if isinstance(train, TrainingWindows) else train.rng
    epochs: list[Epoch] = []
    began = time.monotonic()
    if standing is not None:
        state = _restore(standing, state, stop, rng)
        began -= standing.seconds
        for epoch in standing.epochs:
            epochs.append(epoch)
            on_epoch(epoch)
    if isinstance(train, TrainingWindows):
        source, n_batches = _shuffled(train, recipe, rng), -(-len(train.x) // recipe.batch_size)
        rates = _learning_rates(recipe, n_batches, falls=False)
    else:
        source, n_batches = _drawn(train, recipe), len(train)
        rates = _learning_rates(recipe, n_batches, falls=True)
    ends_at = None if recipe.max_seconds is None else began + recipe.max_seconds
    # What was written last may be the end: the process died before it could tell.
    is_over = standing is not None and (
        stop.is_over or _is_above(epochs, bounds) or (ends_at is not None and time.monotonic() >= ends_at)
    )
    while len(epochs) < recipe.epochs and not is_over:
        started = time.monotonic()
        cut_at = None if ends_at is None else ends_at + OVERTIME_SECONDS
        state, loss = _run_epoch(program, state, source, n_batches, rates[len(epochs)], on_batch, cut_at)
        val_loss, val_last_step = _validate(program, state, validation, on_batch)
        epochs.append(Epoch(len(epochs) + 1, loss, val_loss, time.monotonic() - started))
        on_epoch(epochs[-1])
        out_of_time = ends_at is not None and time.monotonic() >= ends_at
        is_over = stop.after(val_loss, val_last_step, state) or out_of_time or _is_above(epochs, bounds)
        if checkpoint is not None and checkpoint.is_due:
            checkpoint.write(_stand(state, stop, rng, epochs, time.monotonic() - began))
    weights = state.weights if stop.best is None else stop.best
    network.set_weights([np.asarray(one) for one in weights])
    return epochs


def predict_with_jax(network: Network, recipe: Recipe, x: Floats, *, last_only: bool = False) -> Floats:
    """All answers of a network: x [n, time] -> [n, horizon], of sequence heads [n, steps, horizon].

    With `last_only` those from the last point, [n, horizon] of every head: the others take as many times the memory.
    """
    program = find_program(network, recipe)
    weights = jax.device_put(network.get_weights())
    parts = []
    at_once = _choose_rows(len(x))
    for first in range(0, len(x), at_once):
        rows = x[first : first + at_once]
        answers = np.asarray(program.forecast(weights, _fill_up(rows, at_once)))[: len(rows)]
        parts.append(answers[:, -1].copy() if last_only and network.answers_at_every_step else answers)
    return np.concatenate(parts)


class _EarlyStop:
    """Stops when the loss that counts has not fallen for `patience` epochs, and keeps the best weights."""

    def __init__(self, recipe: Recipe, *, by_last_step: bool) -> None:
        self._patience = recipe.patience
        self._by_last_step = by_last_step
        self.least = float("inf")
        self.waited = 0
        self.best: list[jax.Array] | None = None

    @property
    def is_over(self) -> bool:
        return self._patience is not None and self.waited >= self._patience

    def after(self, val_loss: float, val_last_step: float, state: Fit) -> bool:
        if self._patience is None:
            return False
        loss = val_last_step if self._by_last_step else val_loss
        self.waited += 1
        if loss < self.least or self.best is None:
            self.least, self.waited, self.best = loss, 0, state.weights
        return self.is_over


def _is_above(epochs: list[Epoch], bounds: Bounds) -> bool:
    return is_above([epoch.val_loss for epoch in epochs], bounds)


def _stand(state: Fit, stop: _EarlyStop, rng: np.random.Generator, epochs: list[Epoch], seconds: float) -> Standing:
    """Everything that the next epoch depends on."""
    best = [] if stop.best is None else stop.best
    arrays = [*state.weights, *jax.tree.leaves(state.optimizer), jax.random.key_data(state.key), *best]
    facts = {"least": stop.least, "waited": stop.waited, "has_best": bool(best), "rng": rng.bit_generator.state}
    return Standing([np.asarray(array) for array in arrays], list(epochs), facts, seconds)


def _restore(standing: Standing, fresh: Fit, stop: _EarlyStop, rng: np.random.Generator) -> Fit:
    """The state that `_stand` wrote; `fresh`, a beginning of the same fit, says what is what."""
    leaves, structure = jax.tree.flatten(fresh.optimizer)
    arrays = iter(jax.device_put(standing.arrays))
    weights = [next(arrays) for _ in fresh.weights]
    optimizer = jax.tree.unflatten(structure, [next(arrays) for _ in leaves])
    key = jax.random.wrap_key_data(next(arrays))
    stop.least, stop.waited = standing.facts["least"], standing.facts["waited"]
    stop.best = list(arrays) if standing.facts["has_best"] else None
    rng.bit_generator.state = standing.facts["rng"]
    return Fit(weights, optimizer, key)


def _run_epoch(
    program: Program,
    state: Fit,
    source: Iterator[Batches],
    n_batches: int,
    rates: Floats,
    on_batch: Callable[[], None],
    cut_at: float | None,
) -> tuple[Fit, float]:
    losses: list[Any] = []
    n_rows = 0
    for first in range(0, n_batches, BATCHES_AT_ONCE):
        # Drawn while the call before is still being computed.
        batches = next(source)
        here = np.zeros(BATCHES_AT_ONCE, np.float32)
        part = rates[first : first + BATCHES_AT_ONCE]
        here[: len(part)] = part
        if losses:
            losses[-1] = float(losses[-1])
            on_batch()
            if cut_at is not None and time.monotonic() >= cut_at:
                return state, sum(losses) / n_rows
        state, loss = program.train(state, batches, here)
        losses.append(loss)
        n_rows += int(batches.sizes.sum())
    losses[-1] = float(losses[-1])
    on_batch()
    return state, sum(losses) / n_rows


def _validate(
    program: Program, state: Fit, validation: TrainingWindows, on_batch: Callable[[], None]
) -> tuple[float, float]:
    inputs, targets, weights = validation.x, validation.targets, validation.weights
    whole = last_step = 0.0
    at_once = _choose_rows(len(inputs))
    for first in range(0, len(inputs), at_once):
        part = slice(first, first + at_once)
        x, y = (_fill_up(one[part], at_once) for one in (inputs, targets))
        w = np.zeros((at_once, *weights.shape[1:]), np.float32)
        w[: len(weights[part])] = weights[part]
        losses = program.validate(state.weights, Batches(x, y, w, np.int32(0)))
        whole += float(losses.whole)
        last_step += float(losses.last_step)
        on_batch()
    return whole / len(inputs), last_step / len(inputs)


def _choose_rows(count: int) -> int:
    return next((size for size in ROWS_AT_ONCE if count <= size), ROWS_AT_ONCE[-1])


def _learning_rates(recipe: Recipe, n_batches: int, *, falls: bool) -> Floats:
    """Of each batch [epochs, batches]: the recipe's, or from there to zero along half a cosine.

    Source: I. Loshchilov and F. Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017 (without restarts).
    """
    share = np.arange(recipe.epochs * n_batches) / (recipe.epochs * n_batches)
    factor = 0.5 * (1 + np.cos(np.pi * share)) if falls else np.ones_like(share)
    return (recipe.learning_rate * factor).astype(np.float32).reshape(recipe.epochs, n_batches)


def _shuffled(train: TrainingWindows, recipe: Recipe, rng: np.random.Generator) -> Iterator[Batches]:
    """Calls' worth of batches without end; each epoch has all rows once, in an order of its own."""
    inputs, targets = train.x, train.targets
    n, size = len(inputs), recipe.batch_size
    while True:
        order = rng.permutation(n)
        for first in range(0, n, size * BATCHES_AT_ONCE):
            rows = order[first : first + size * BATCHES_AT_ONCE]
            sizes = np.clip(len(rows) - size * np.arange(BATCHES_AT_ONCE), 0, size).astype(np.int32)
            # What fills up the last batch are rows of its own call, without weight.
            filled = np.resize(rows, size * BATCHES_AT_ONCE).reshape(BATCHES_AT_ONCE, size)
            is_own = np.arange(size) < sizes[:, None]
            weights = train.weights[filled] * is_own.reshape(*is_own.shape, *(1,) * (train.weights.ndim - 1))
            yield Batches(inputs[filled], targets[filled], weights, sizes)


def _drawn(train: BatchSampler, recipe: Recipe) -> Iterator[Batches]:
    """Calls' worth of batches without end; `len(train)` of them are an epoch."""
    sampled = iter(train)
    while True:
        for first in range(0, len(train), BATCHES_AT_ONCE):
            batches = [next(sampled) for _ in range(min(BATCHES_AT_ONCE, len(train) - first))]
            x, targets, weights = (
                _fill_up(np.stack([getattr(batch, part) for batch in batches]), BATCHES_AT_ONCE)
                for part in ("x", "targets", "weights")
            )
            sizes = np.where(np.arange(BATCHES_AT_ONCE) < len(batches), recipe.batch_size, 0).astype(np.int32)
            yield Batches(x, targets, weights, sizes)


def _fill_up(rows: NDArray[Any], count: int) -> NDArray[Any]:
    """The rows and, behind them, the first ones again: calls of one shape need no other program."""
    return rows if len(rows) == count else np.resize(rows, (count, *rows.shape[1:]))
