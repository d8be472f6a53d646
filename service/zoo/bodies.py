"""Bodies: what turns a series into features, at every step, and can go on from where it stopped.

`width` is the count of features. `call(x)` gives the features of all output steps, for training; `steps(x, lengths)`
does for right-padded series of different lengths, with each one's count of steps. No step depends on what comes after
it, so padding on the right changes none that counts. `begin(x, lengths)` gives the
features at each series' last point and the state after it, `resume(block, state)` reads more points from that state:
`begin` then `resume` gives what `begin` on the whole would, for blocks whose length `can_resume` allows.
"""

import keras
from keras import ops

from service.domain.recipes.recipe import Recipe
from service.zoo.recurrent import ConvRecurrentBody, RecurrentBody
from service.zoo.tensors import State, Tensor, last_of, pick
from service.zoo.wavenet import WaveNetBody


class ValueBody(keras.layers.Layer):
    """The value itself (naive)."""

    width = 1

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        del training
        return x

    def can_resume(self, block: int) -> bool:
        return True

    def begin(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        last = last_of(x, lengths)  # [batch, 1]
        return last, [last]

    def resume(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        return block[:, -1], [block[:, -1]]

    def steps(self, x: Tensor, lengths: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        return x, lengths


class LagBody(keras.layers.Layer):
    """The last `window` values, zeros before the start (linear, vector-to-sequence). Its state slides."""

    def __init__(self, window: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.window = window

    @property
    def width(self) -> int:
        return self.window

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """[batch, time, 1] -> [batch, time, window]."""
        del training
        padded = ops.pad(x[:, :, 0], [[0, 0], [self.window - 1, 0]])
        time = ops.shape(x)[1]
        lags = ops.expand_dims(ops.arange(time), 1) + ops.expand_dims(ops.arange(self.window), 0)
        return ops.take(padded, lags, axis=1)

    def can_resume(self, block: int) -> bool:
        return True

    def begin(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        positions = ops.expand_dims(lengths - self.window, 1) + ops.expand_dims(
            ops.arange(self.window, dtype=lengths.dtype), 0
        )
        last = pick(x, positions)[:, :, 0]  # [batch, window]
        return last, [last]

    def resume(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        last = ops.concatenate([state[0], block[:, :, 0]], axis=1)[:, -self.window :]
        return last, [last]

    def steps(self, x: Tensor, lengths: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        return self(x), lengths


class WindowBody(LagBody):
    """The last `window` values, zeros before the start, and for each whether it is a value (mlp). Its state slides."""

    @property
    def width(self) -> int:
        return 2 * self.window

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """[batch, time, 1] -> [batch, time, 2 window]."""
        return ops.concatenate([super().call(x), super().call(ops.ones_like(x))], axis=-1)

    def begin(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        positions = ops.expand_dims(lengths - self.window, 1) + ops.expand_dims(
            ops.arange(self.window, dtype=lengths.dtype), 0
        )
        own = ops.cast(positions >= 0, x.dtype)  # [batch, window]
        last = pick(x, ops.maximum(positions, 0))[:, :, 0] * own
        return ops.concatenate([last, own], axis=1), [last, own]

    def resume(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        last, own = state
        last = ops.concatenate([last, block[:, :, 0]], axis=1)[:, -self.window :]
        own = ops.concatenate([own, ops.ones_like(block[:, :, 0])], axis=1)[:, -self.window :]
        return ops.concatenate([last, own], axis=1), [last, own]


AnyBody = ValueBody | LagBody | RecurrentBody | ConvRecurrentBody | WaveNetBody


def make_body(recipe: Recipe) -> AnyBody:
    """The body that a recipe asks for, not yet built."""
    match recipe.preset.body:
        case "naive":
            return ValueBody()
        case "linear":
            return LagBody(recipe.window)
        case "window":
            return WindowBody(recipe.window)
        case "wavenet":
            return WaveNetBody(recipe)
        case "conv_gru":
            return ConvRecurrentBody(recipe)
        case _:
            return RecurrentBody(recipe, _widths(recipe))


def _widths(recipe: Recipe) -> tuple[int, ...]:
    """Units of each layer. A recurrent readout is a last layer of one unit, whose output is the forecast."""
    widths = (recipe.units,) * recipe.layers
    if recipe.readout == "recurrent" and widths[-1] != 1:
        widths += (1,)
    return widths
