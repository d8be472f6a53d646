"""Fits a network with Keras' own loop: on a GPU, where TensorFlow's fused kernels are at their best."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.training.epoch import OVERTIME_SECONDS, Epoch
from service.zoo.network import Network

# Validation answers don't depend on the batch; a large one is merely faster.
VALIDATION_BATCH_SIZE = 500


def fit_keras(
    recipe: Recipe,
    network: Network,
    train: Any,
    validation: Any,
    on_batch: Callable[[], None],
    on_epoch: Callable[[Epoch], None],
) -> list[Epoch]:
    """Fits a network: `service.training.fit.fit` says how. Returns the epochs."""
    drawn = not isinstance(train, tuple)
    steps = recipe.epochs * len(train) if drawn else None
    if network.compiled:
        _rewind(network, recipe, steps)
    else:
        network.learning_rate = recipe.learning_rate if steps is None else HalfCosine(recipe.learning_rate, steps)
        network.compile(
            loss=measured_loss(recipe.loss) if drawn else recipe.loss,
            optimizer=type(keras.optimizers.get(recipe.optimizer))(learning_rate=network.learning_rate),
            # Weights say which step of a drawn window counts; otherwise the last step has a figure of its own.
            metrics=[] if drawn else _metrics(recipe),
            jit_compile=False,
        )
    watch = _Watch(on_batch, on_epoch, recipe.max_seconds)
    callbacks: list[Any] = [watch]
    if recipe.patience is not None:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor="val_loss" if drawn else _monitor(recipe),
                mode="min",
                patience=recipe.patience,
                restore_best_weights=True,
            )
        )
    if drawn:
        inputs: dict[str, Any] = {"x": iter(train), "steps_per_epoch": len(train), "shuffle": False}
    else:
        inputs = {"x": train[0][:, :, None], "y": train[1], "batch_size": recipe.batch_size}
    network.fit(
        **inputs,
        epochs=recipe.epochs,
        validation_data=(validation[0][:, :, None], *validation[1:]),
        validation_batch_size=VALIDATION_BATCH_SIZE,
        callbacks=callbacks,
        verbose=0,
    )
    return watch.epochs


def predict_keras(network: Network, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """All answers of a network: x [n, time] -> [n, horizon], of sequence heads [n, steps, horizon]."""
    answers = network.predict(x[:, :, None], batch_size=VALIDATION_BATCH_SIZE, verbose=0)
    return np.asarray(answers, dtype=np.float32)


def measured_loss(loss: str) -> Callable[[Any, Any], Any]:
    """The loss over the targets that were measured: those that are NaN don't count."""

    def measured(actual: Any, forecast: Any) -> Any:
        is_known = ~keras.ops.isnan(actual)
        errors = keras.ops.where(is_known, forecast - keras.ops.where(is_known, actual, 0.0), 0.0)
        sums = keras.ops.sum(keras.ops.abs(errors) if loss == "mae" else keras.ops.square(errors), axis=-1)
        return sums / keras.ops.maximum(keras.ops.sum(keras.ops.cast(is_known, sums.dtype), axis=-1), 1.0)

    return measured


def last_time_step_loss(loss: str) -> Callable[[Any, Any], Any]:
    """The loss at the last time step alone: what a sequence model is judged by.

    Source: A. Géron, Hands-On Machine Learning, chapter 15 (`last_time_step_mse`).
    """
    function = keras.losses.get(loss)

    def last_time_step(actual: Any, forecast: Any) -> Any:
        return function(actual[:, -1], forecast[:, -1])

    return last_time_step


class HalfCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that falls to zero along half a cosine.

    Its number of steps is a variable, so that a compiled training step serves fits of other lengths too.
    Source: I. Loshchilov and F. Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017 (without restarts).
    """

    def __init__(self, initial: float, steps: int) -> None:
        self.initial = initial
        self.steps = tf.Variable(float(steps), trainable=False)

    def __call__(self, step: Any) -> Any:
        share = tf.minimum(tf.cast(step, tf.float32) / self.steps, 1.0)
        return self.initial * 0.5 * (1.0 + tf.cos(np.pi * share))

    def get_config(self) -> dict[str, Any]:
        return {"initial": self.initial, "steps": int(self.steps.numpy())}


def _rewind(network: Network, recipe: Recipe, steps: int | None) -> None:
    """Makes a network's optimiser as it was before its first step."""
    for variable in network.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    if steps is None:
        network.optimizer.learning_rate = recipe.learning_rate
    else:
        network.learning_rate.steps.assign(float(steps))


def _metrics(recipe: Recipe) -> list[Any]:
    return [last_time_step_loss(recipe.loss)] if recipe.head == "sequence" else []


def _monitor(recipe: Recipe) -> str:
    """The validation figure that counts: of a sequence head only the last step is ever a forecast."""
    return "val_last_time_step" if recipe.head == "sequence" else "val_loss"


class _Watch(keras.callbacks.Callback):
    """Tells the caller of batches and epochs, and ends a fit whose time is up."""

    def __init__(
        self, on_batch: Callable[[], None], on_epoch: Callable[[Epoch], None], max_seconds: float | None
    ) -> None:
        super().__init__()
        self.ends_at = None if max_seconds is None else time.monotonic() + max_seconds
        self.on_batch = on_batch
        self.on_epoch = on_epoch
        self.epochs: list[Epoch] = []
        self.started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.on_batch()
        if self.ends_at is not None and time.monotonic() >= self.ends_at + OVERTIME_SECONDS:
            self.model.stop_training = True

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.on_batch()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        seconds = time.monotonic() - self.started
        done = Epoch(epoch + 1, float(logs["loss"]), float(logs["val_loss"]), seconds)
        self.epochs.append(done)
        self.on_epoch(done)
        if self.ends_at is not None and time.monotonic() >= self.ends_at:
            self.model.stop_training = True
