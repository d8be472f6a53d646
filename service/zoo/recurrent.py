"""Recurrent bodies: stacks of recurrent layers, plain or behind a strided convolution."""

from typing import Any

import keras
from keras import ops

from service.domain.recipes.recipe import CONV_KERNEL, CONV_STRIDE, Recipe
from service.zoo.cells import LayerNormSimpleRNNCell
from service.zoo.normalization import make_normalization
from service.zoo.tensors import State, Tensor, pick


class RecurrentBody(keras.layers.Layer):
    """A stack of recurrent layers. The state is that of each layer, in order."""

    def __init__(self, recipe: Recipe, widths: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.widths = widths
        self.recurrent = [_recurrent_layer(recipe, units) for units in widths]
        # A simple cell normalises within itself (LayerNormSimpleRNNCell); elsewhere normalisation follows the layer.
        between = "none" if normalises_inside(recipe) else recipe.normalization
        self.norms = [make_normalization(between) for _ in widths]

    @property
    def width(self) -> int:
        return self.widths[-1]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        for layer, norm, units in zip(self.recurrent, self.norms, self.widths, strict=True):
            layer.build((None, None, width))
            norm.build((None, None, units))
            width = units
        super().build(input_shape)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """[batch, time, features] -> [batch, time, units]."""
        for layer, norm in zip(self.recurrent, self.norms, strict=True):
            x = norm(layer(x, training=training)[0], training=training)
        return x

    def can_resume(self, block: int) -> bool:
        return True

    def begin(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        return self._run(x, None, _mask(x, lengths))

    def encode(self, x: Tensor, lengths: Tensor | None, training: bool) -> tuple[Tensor, State]:
        """`begin` with dropout where `training` says so; without lengths for series of one length."""
        return self._run(x, None, None if lengths is None else _mask(x, lengths), training=training)

    def resume(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        if block.shape[1] == 1:
            return self._step(block[:, 0], state)
        return self._run(block, state, None)

    def steps(self, x: Tensor, lengths: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        return self(x, training=training), lengths

    def _run(self, x: Tensor, state: State | None, mask: Tensor | None, training: bool = False) -> tuple[Tensor, State]:
        new_state: State = []
        for i, (layer, norm) in enumerate(zip(self.recurrent, self.norms, strict=True)):
            initial = None if state is None else self._layer_state(i, state)
            x, *layer_state = layer(x, initial_state=initial, mask=mask, training=training)
            new_state += layer_state
            x = norm(x, training=training)
        return x[:, -1], new_state

    def _step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One point through the cells themselves, without a loop over time: x [batch, features]."""
        new_state: State = []
        for i, (layer, norm) in enumerate(zip(self.recurrent, self.norms, strict=True)):
            x, layer_state = layer.cell(x, self._layer_state(i, state), training=False)
            new_state += layer_state
            x = norm(ops.expand_dims(x, 1), training=False)[:, 0]
        return x, new_state

    def _layer_state(self, index: int, state: State) -> State:
        per_layer = len(state) // len(self.recurrent)
        return state[index * per_layer : (index + 1) * per_layer]


class ConvRecurrentBody(keras.layers.Layer):
    """A strided convolution that halves the sequence, then recurrent layers.

    Before the stride the oldest (time - 4) mod 2 points are dropped, so that the last window ends at the last point.
    The state is the points that the next window begins with, then the recurrent layers' state.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv1D(
            recipe.units,
            CONV_KERNEL,
            strides=CONV_STRIDE,
            padding="valid",
            kernel_initializer=recipe.kernel_initializer,
        )
        self.recurrent = RecurrentBody(recipe, (recipe.units,) * recipe.layers)

    @property
    def width(self) -> int:
        return self.recurrent.width

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.conv.build((None, None, input_shape[-1]))
        self.recurrent.build((None, None, self.conv.filters))
        super().build(input_shape)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """[batch, time, 1] -> [batch, (time - 4) // 2 + 1, units]."""
        oldest = (ops.shape(x)[1] - CONV_KERNEL) % CONV_STRIDE
        return self.recurrent(self.conv(x[:, oldest:]), training=training)

    def can_resume(self, block: int) -> bool:
        """An odd block would shift all windows by one point."""
        return block % CONV_STRIDE == 0

    def begin(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        downsampled, steps = self._downsample(x, lengths)
        last, state = self.recurrent.begin(downsampled, steps)
        overlap = CONV_KERNEL - CONV_STRIDE
        positions = ops.expand_dims(lengths - overlap, 1) + ops.expand_dims(ops.arange(overlap, dtype=lengths.dtype), 0)
        return last, [pick(x, positions), *state]

    def resume(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        tail, *recurrent_state = state
        x = ops.concatenate([tail, block], axis=1)
        last, recurrent_state = self.recurrent.resume(self.conv(x), recurrent_state)
        return last, [x[:, -(CONV_KERNEL - CONV_STRIDE) :], *recurrent_state]

    def steps(self, x: Tensor, lengths: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        downsampled, steps = self._downsample(x, lengths)
        return self.recurrent(downsampled, training=training), steps

    def _downsample(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Each row without its own oldest points, convolved, and its count of steps."""
        oldest = (lengths - CONV_KERNEL) % CONV_STRIDE  # [batch]
        time = ops.shape(x)[1]
        positions = ops.expand_dims(ops.arange(time, dtype=lengths.dtype), 0) + ops.expand_dims(oldest, 1)
        shifted = pick(x, ops.minimum(positions, ops.cast(time, lengths.dtype) - 1))
        return self.conv(shifted), (lengths - CONV_KERNEL) // CONV_STRIDE + 1


def _mask(x: Tensor, lengths: Tensor) -> Tensor:
    """Which steps are each row's own: [batch, time].

    Under a mask a padded step repeats output and state of the step before it: the last step is each row's own.
    """
    positions = ops.arange(ops.shape(x)[1], dtype=lengths.dtype)
    return ops.expand_dims(positions, 0) < ops.expand_dims(lengths, 1)


def normalises_inside(recipe: Recipe) -> bool:
    """Whether a recipe's recurrent cells normalise their output before its activation."""
    return recipe.preset.body == "simple_rnn" and recipe.normalization == "layer"


def _recurrent_layer(recipe: Recipe, units: int) -> Any:
    options = {
        "kernel_initializer": recipe.kernel_initializer,
        "dropout": recipe.dropout,
        "recurrent_dropout": recipe.recurrent_dropout,
    }
    outputs = {"return_sequences": True, "return_state": True}
    if normalises_inside(recipe):
        return keras.layers.RNN(LayerNormSimpleRNNCell(units, **options), **outputs)
    kinds = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM}
    return kinds.get(recipe.preset.body, keras.layers.GRU)(units, **options, **outputs)
