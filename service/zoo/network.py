"""A network: a body, a readout, and the head that says at which steps it answers."""

from typing import Any, cast

import keras
from keras import ops

from service.domain.recipes.recipe import Recipe
from service.zoo.bodies import AnyBody, LagBody, make_body
from service.zoo.readouts import Decoder, make_readout
from service.zoo.recurrent import RecurrentBody
from service.zoo.tensors import State, Tensor, last_of


class Network(keras.Model):
    """A recipe's network, in the model's units. All series are [batch, time, 1].

    `call` answers as the head does, for training: one_step and vector [batch, horizon]; sequence
    [batch, steps, horizon].
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.head = recipe.head
        self.horizon = recipe.horizon
        # A panel's windows may be shorter than the longest: NaN pads them on the right.
        self.is_padded = recipe.own_data is not None
        self.body: AnyBody = make_body(recipe)
        self.readout = make_readout(recipe)
        # From the fit on: a number or a schedule, and a ridge regression's penalty.
        self.learning_rate: Any = None
        self.penalty: float | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.body.build(input_shape)
        self.readout.build((None, self.body.width))
        super().build(input_shape)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        lengths = None
        if self.is_padded:
            own = ops.isfinite(x)
            lengths = ops.sum(ops.cast(own[:, :, 0], "int32"), axis=1)
            x = ops.where(own, x, 0.0)
        if isinstance(self.readout, Decoder):
            _, state = cast(RecurrentBody, self.body).encode(x, lengths, training=training)
            return self.readout(_last(x, lengths), state, training=training)
        if lengths is None:
            features = self.body(x, training=training)
        elif self.head != "sequence" and isinstance(self.body, LagBody):
            # Only the last step answers: no need for the lags of all the others.
            return self.readout(self.body.begin(x, lengths)[0], training=training)
        else:
            features, lengths = self.body.steps(x, lengths, training=training)
        return self.readout(features if self.head == "sequence" else _last(features, lengths), training=training)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of an affine readout what its weights apply to [batch, window], and what their product is added to."""
        own = ops.isfinite(x)
        lengths = ops.sum(ops.cast(own[:, :, 0], "int32"), axis=1)
        features = cast(LagBody, self.body).begin(ops.where(own, x, 0.0), lengths)[0]
        (values, *_), base = self.readout.read(features)
        return values, base

    def begin(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """The forecast after each row's last point, and the state to resume from: x right-padded, lengths [batch].

        Returns:
            Forecast [batch, horizon] and the state.
        """
        last, state = self.body.begin(x, lengths)
        last_value = ops.take_along_axis(x[:, :, 0], ops.expand_dims(lengths, 1) - 1, axis=1)
        return self._answer(last, last_value, state), state

    def resume(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        """The forecast after further points [batch, k, 1], and the state after them."""
        last, state = self.body.resume(block, state)
        return self._answer(last, block[:, -1], state), state

    def all_steps(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """A sequence head's answer at every step [batch, steps, horizon], and each row's count of steps [batch]."""
        features, steps = self.body.steps(x, lengths)
        return self.readout(features), steps

    def _answer(self, last: Tensor, last_value: Tensor, state: State) -> Tensor:
        if isinstance(self.readout, Decoder):
            return self.readout(last_value, state, training=False)
        return self.readout(last)


def _last(values: Tensor, lengths: Tensor | None) -> Tensor:
    """What each row ends with: [batch, time, features] -> [batch, features]; without lengths rows are of one length."""
    return values[:, -1] if lengths is None else last_of(values, lengths)


def make_network(recipe: Recipe) -> Network:
    """Builds a recipe's network with fresh weights from Keras' global seed."""
    network = Network(recipe)
    network.build((None, recipe.window, 1))
    return network
