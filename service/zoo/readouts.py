"""Readouts: what turns features into forecasts."""

from typing import Any

import keras
from keras import ops

from service.domain.recipe import Recipe
from service.zoo.cells import FeedbackCell
from service.zoo.tensors import State, Tensor


class Repeat(keras.layers.Layer):
    """The last value, `horizon` times (naive)."""

    def __init__(self, horizon: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon

    def call(self, features: Tensor) -> Tensor:
        """[.., 1] -> [.., horizon]."""
        return ops.repeat(features, self.horizon, axis=-1)


class Unrolled(keras.layers.Layer):
    """Vector-to-sequence: the features are the input of a GRU's first step, zeros that of the others."""

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = recipe.horizon
        self.recurrent = [
            keras.layers.GRU(recipe.units, return_sequences=True, kernel_initializer=recipe.kernel_initializer)
            for _ in range(recipe.layers)
        ]
        self.answer = keras.layers.Dense(1, kernel_initializer=recipe.kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        for layer in self.recurrent:
            layer.build((None, self.horizon, width))
            width = layer.units
        self.answer.build((None, self.horizon, width))
        super().build(input_shape)

    def call(self, features: Tensor, training: bool = False) -> Tensor:
        """[batch, features] -> [batch, horizon]."""
        x = ops.pad(ops.expand_dims(features, 1), [[0, 0], [0, self.horizon - 1], [0, 0]])
        for layer in self.recurrent:
            x = layer(x, training=training)
        return self.answer(x)[:, :, 0]


class Decoder(keras.layers.Layer):
    """The second half of an encoder-decoder: GRU cells start from the encoder's state and are fed their own answers.

    The first input is the last value of the series. Training feeds back answers too, not the true values, so that what
    it learns is what it does when it forecasts.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = recipe.horizon
        cells = [
            keras.layers.GRUCell(recipe.units, kernel_initializer=recipe.kernel_initializer)
            for _ in range(recipe.layers)
        ]
        self.recurrent = keras.layers.RNN(FeedbackCell(cells), return_sequences=True)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.recurrent.build((None, self.horizon, 1))
        super().build(input_shape)

    def call(self, last_value: Tensor, state: State, training: bool = False) -> Tensor:
        """Last value [batch, 1] and the encoder's state -> [batch, horizon]."""
        unread = ops.repeat(ops.expand_dims(ops.zeros_like(last_value), 1), self.horizon, axis=1)
        answers = self.recurrent(unread, initial_state=[*state, last_value], training=training)
        return answers[:, :, 0]


def make_readout(recipe: Recipe) -> Any:
    """The readout that a recipe asks for, not yet built."""
    match recipe.readout:
        case "repeat":
            return Repeat(recipe.horizon)
        case "recurrent":
            return keras.layers.Identity()
        case "decoder":
            return Decoder(recipe)
        case "unrolled":
            return Unrolled(recipe)
        case "dense":
            # At every step of a sequence: the chapter's TimeDistributed(Dense), and WaveNet's Conv1D of kernel 1.
            return keras.layers.Dense(recipe.horizon, kernel_initializer=recipe.kernel_initializer)
