"""Readouts: what turns features into forecasts."""

from typing import Any

import keras
from keras import ops

from service.domain.recipes.recipe import Recipe
from service.zoo.cells import FeedbackCell
from service.zoo.tensors import State, Tensor
from service.zoo.theta import Theta


class Repeat(keras.layers.Layer):
    """The last value, `horizon` times (naive)."""

    def __init__(self, horizon: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon

    def call(self, features: Tensor, training: bool = False) -> Tensor:
        """[.., 1] -> [.., horizon]."""
        return ops.repeat(features, self.horizon, axis=-1)


class Correction(keras.layers.Layer):
    """What is added to the forecast of a base: Theta, or seasonal naive (naive where the window holds no season).

    Features are a window's values and, for each, whether it is one (`service.zoo.bodies.WindowBody`).
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = recipe.window
        self.focus = recipe.focus or recipe.window
        self.horizon = recipe.horizon
        self.season = recipe.season
        is_theta = recipe.preset.base == "theta"
        self.theta = Theta(recipe.window, recipe.season, recipe.horizon) if is_theta else None
        # How many numbers the layers read.
        self.width = 2 * self.focus + (recipe.horizon if is_theta else 0)
        # With weights of zero the forecast is that of the base: where fitting starts from.
        self.answer = keras.layers.Dense(recipe.horizon, kernel_initializer="zeros")

    def read(self, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """What the layers read of features [batch, 2 window], and the forecast that they correct [batch, horizon].

        They read the newest values from their mean, zero where there is none, whether there is one, and, of Theta, its
        forecast.
        """
        values, own = features[..., self.window - self.focus : self.window], features[..., -self.focus :]
        count = ops.sum(own, axis=-1, keepdims=True)
        mean = ops.sum(values, axis=-1, keepdims=True) / ops.maximum(count, 1.0)
        base = self.base(features)
        return [(values - mean) * own, own] + ([] if self.theta is None else [base - mean]), base

    def base(self, features: Tensor) -> Tensor:
        """[batch, 2 window] -> [batch, horizon]."""
        values, own = features[..., : self.window], features[..., self.window :]
        if self.theta is not None:
            return self.theta.forecast(ops, values, own)
        season = values[..., self.window - self.season :]
        known = own[..., self.window - self.season :]
        season = ops.where(known > 0, season, values[..., -1:])
        repeats = -(-self.horizon // self.season)
        return ops.concatenate([season] * repeats, axis=-1)[..., : self.horizon]


class Uncorrected(Correction):
    """The forecast of the base by itself."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True

    def call(self, features: Tensor, training: bool = False) -> Tensor:
        """[batch, 2 window] -> [batch, horizon]."""
        del training
        return self.base(features)


class Affine(Correction):
    """An affine function of the window corrects the base."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.answer.build((None, self.window))
        super().build(input_shape)

    def call(self, features: Tensor, training: bool = False) -> Tensor:
        """[batch, 2 window] -> [batch, horizon]."""
        del training
        (values, *_), base = self.read(features)
        return self.answer(values) + base


class Residual(Correction):
    """Residual layers whose answer corrects the base.

    Blocks are normalised before they begin, as in R. Xiong et al., "On Layer Normalization in the Transformer
    Architecture", 2020.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(recipe, **kwargs)
        kernel = recipe.kernel_initializer
        self.embed = keras.layers.Dense(recipe.units, kernel_initializer=kernel)
        self.norms = [keras.layers.LayerNormalization() for _ in range(recipe.layers + 1)]
        # Twice as wide inside as between the blocks.
        self.wide = [
            keras.layers.Dense(2 * recipe.units, activation="gelu", kernel_initializer=kernel)
            for _ in range(recipe.layers)
        ]
        self.dropouts = [keras.layers.Dropout(recipe.dropout) for _ in range(recipe.layers)]
        self.narrow = [keras.layers.Dense(recipe.units, kernel_initializer=kernel) for _ in range(recipe.layers)]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.embed.build((None, self.width))
        units = self.embed.units
        for norm in self.norms:
            norm.build((None, units))
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            wide.build((None, units))
            narrow.build((None, 2 * units))
        self.answer.build((None, units))
        super().build(input_shape)

    def call(self, features: Tensor, training: bool = False) -> Tensor:
        """[batch, 2 window] -> [batch, horizon]."""
        read, base = self.read(features)
        x = self.embed(ops.concatenate(read, axis=-1))
        for norm, wide, dropout, narrow in zip(self.norms[:-1], self.wide, self.dropouts, self.narrow, strict=True):
            x = x + narrow(dropout(wide(norm(x)), training=training))
        return self.answer(self.norms[-1](x)) + base


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
        case "base":
            return Uncorrected(recipe)
        case "affine":
            return Affine(recipe)
        case "residual":
            return Residual(recipe)
        case "dense":
            # At every step of a sequence: the chapter's TimeDistributed(Dense), and WaveNet's Conv1D of kernel 1.
            return keras.layers.Dense(recipe.horizon, kernel_initializer=recipe.kernel_initializer)
