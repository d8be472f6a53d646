"""Heads: what turns features into forecasts. `forward(xp, features)` gives [.., features] -> [.., horizon]."""

from typing import Any, assert_never

import keras
import numpy as np

from service.domain.recipes.recipe import Recipe
from service.networks.cells import Cell
from service.networks.combiner_head import CombinerHead
from service.networks.layers import dense, normalize
from service.networks.operations import State, Tensor
from service.networks.theta import Theta
from service.networks.two_season_theta import TwoSeasonTheta
from service.networks.two_seasons import TwoSeasons


class RepeatHead(keras.layers.Layer):
    """The last value, `horizon` times (naive)."""

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = recipe.horizon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True

    def forward(self, xp: Any, features: Tensor) -> Tensor:
        return xp.repeat(features, self.horizon, axis=-1)


class RecurrentHead(keras.layers.Layer):
    """The output of a last recurrent layer of one unit, as it is."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True

    def forward(self, xp: Any, features: Tensor) -> Tensor:
        del xp
        return features


class DenseHead(keras.layers.Layer):
    """A dense layer; at every step of a sequence the chapter's TimeDistributed(Dense), WaveNet's Conv1D of kernel 1."""

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.answer = keras.layers.Dense(recipe.horizon, kernel_initializer=recipe.kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.answer.build(input_shape)
        self.built = True

    def forward(self, xp: Any, features: Tensor) -> Tensor:
        return dense(xp, self.answer, features)


class BaseHead(keras.layers.Layer):
    """The forecast of a base: Theta, repetitions of two seasons, or seasonal naive (naive where there is no season).

    Features are a window's values and, for each, whether it is one (`service.networks.backbones.WindowBackbone`).
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = recipe.window
        self.focus = recipe.focus or recipe.window
        self.horizon = recipe.horizon
        self.season = recipe.season
        self.formula = _make_formula(recipe)
        # How many numbers the layers read that correct it.
        self.width = 2 * self.focus + (0 if self.formula is None else recipe.horizon)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True

    def forward(self, xp: Any, features: Tensor) -> Tensor:
        return self.base(xp, features)

    def base(self, xp: Any, features: Tensor) -> Tensor:
        """[.., 2 window] -> [.., horizon]; of another than seasonal naive [batch, 2 window]."""
        values, own = features[..., : self.window], features[..., self.window :]
        if self.formula is not None:
            return self.formula.forecast(xp, values, own)
        season = values[..., self.window - self.season :]
        known = own[..., self.window - self.season :]
        season = xp.where(known > 0, season, values[..., -1:])
        return xp.take(season, (np.arange(self.horizon) % self.season).astype(np.int32), axis=-1)

    def read(self, xp: Any, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """What the layers read that correct the base, and the forecast of the base [.., horizon].

        They read the newest values from their mean, zero where there is none, whether there is one, and the forecast of
        a base that is more than one of them again.
        """
        values, own = features[..., self.window - self.focus : self.window], features[..., -self.focus :]
        count = xp.sum(own, axis=-1, keepdims=True)
        mean = xp.sum(values, axis=-1, keepdims=True) / xp.maximum(count, 1.0)
        base = self.base(xp, features)
        return [(values - mean) * own, own] + ([] if self.formula is None else [base - mean]), base


def _make_formula(recipe: Recipe) -> Theta | TwoSeasonTheta | TwoSeasons | None:
    """What computes the base; None for seasonal naive."""
    is_theta = {"seasonal_naive": False, "theta": True}[recipe.preset.base]
    if recipe.seasons:
        short, long = recipe.seasons
        formula = TwoSeasonTheta if is_theta else TwoSeasons
        return formula(recipe.window, short, long, recipe.horizon)
    return Theta(recipe.window, recipe.season, recipe.horizon) if is_theta else None


class AffineHead(BaseHead):
    """An affine function of the window corrects the base."""

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(recipe, **kwargs)
        # With weights of zero the forecast is that of the base: where fitting starts from.
        self.answer = keras.layers.Dense(recipe.horizon, kernel_initializer="zeros")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.answer.build((None, self.focus))
        self.built = True

    def forward(self, xp: Any, features: Tensor) -> Tensor:
        (values, *_), base = self.read(xp, features)
        return dense(xp, self.answer, values) + base


class ResidualHead(BaseHead):
    """Residual layers whose answer corrects the base.

    Blocks are normalised before they begin, as in R. Xiong et al., "On Layer Normalization in the Transformer
    Architecture", 2020.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(recipe, **kwargs)
        kernel = recipe.kernel_initializer
        self.answer = keras.layers.Dense(recipe.horizon, kernel_initializer="zeros")
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
        self.built = True

    def forward(self, xp: Any, features: Tensor) -> Tensor:
        read, base = self.read(xp, features)
        x = dense(xp, self.embed, xp.concatenate(read, axis=-1))
        for norm, wide, dropout, narrow in zip(self.norms[:-1], self.wide, self.dropouts, self.narrow, strict=True):
            inside = xp.dropout(dense(xp, wide, normalize(xp, norm, x)), dropout.rate)
            x = x + dense(xp, narrow, inside)
        return dense(xp, self.answer, normalize(xp, self.norms[-1], x)) + base


class UnrolledHead(keras.layers.Layer):
    """Vector-to-sequence: the features are the input of a GRU's first step, zeros that of the others."""

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = recipe.horizon
        self.cells = [Cell("gru", recipe.units, recipe, with_dropout=False) for _ in range(recipe.layers)]
        self.answer = keras.layers.Dense(1, kernel_initializer=recipe.kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        for cell in self.cells:
            cell.build((None, width))
            width = cell.units
        self.answer.build((None, width))
        self.built = True

    def forward(self, xp: Any, features: Tensor) -> Tensor:
        x = xp.pad(xp.expand_dims(features, 1), 0, self.horizon - 1)
        for cell in self.cells:
            x, _ = cell.run(xp, x)
        return dense(xp, self.answer, x)[:, :, 0]


class DecoderHead(keras.layers.Layer):
    """The second half of an encoder-decoder: GRU cells start from the encoder's state and are fed their own answers.

    The first input is the last value of the series. Training feeds back answers too, not the true values, so that what
    it learns is what it does when it forecasts.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = recipe.horizon
        self.cells = [Cell("gru", recipe.units, recipe, with_dropout=False) for _ in range(recipe.layers)]
        self.answer = keras.layers.Dense(1)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = 1
        for cell in self.cells:
            cell.build((None, width))
            width = cell.units
        self.answer.build((None, width))
        self.built = True

    def decode(self, xp: Any, last_value: Tensor, state: State) -> Tensor:
        """Last value [batch, 1] and the encoder's state -> [batch, horizon]."""

        def step(trip: Any, carried: State) -> tuple[State, Tensor]:
            del trip
            *states, value = carried
            after = []
            for cell, before in zip(self.cells, states, strict=True):
                # A GRU's state is its output.
                _, (value,) = cell.run(xp, xp.expand_dims(value, 1), [before])
                after.append(value)
            answer = dense(xp, self.answer, value)  # [batch, 1]
            return [*after, answer], answer

        answers = xp.loop(step, [*state, last_value], self.horizon, width=1)  # [batch, horizon, 1]
        return answers[:, :, 0]


Head = RepeatHead | RecurrentHead | DenseHead | BaseHead | CombinerHead | UnrolledHead | DecoderHead


def make_head(recipe: Recipe) -> Head:
    """The head that a recipe's `readout` asks for, not yet built."""
    match recipe.readout:
        case "repeat":
            return RepeatHead(recipe)
        case "recurrent":
            return RecurrentHead()
        case "decoder":
            return DecoderHead(recipe)
        case "unrolled":
            return UnrolledHead(recipe)
        case "base":
            return BaseHead(recipe)
        case "affine":
            return AffineHead(recipe)
        case "residual":
            return ResidualHead(recipe)
        case "experts":
            return CombinerHead(recipe)
        case "dense":
            return DenseHead(recipe)
        case readout:
            assert_never(readout)
