"""Recurrent cells that Keras does not ship."""

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable("outfielder")
class LayerNormSimpleRNNCell(keras.layers.SimpleRNNCell):
    """A simple recurrent cell whose output is layer-normalised before its activation.

    `h(t) = tanh(layer_norm(W x(t) + U h(t-1) + b))`. Source: A. Géron, Hands-On Machine Learning, chapter 15, after
    J. L. Ba et al., "Layer Normalization", 2016.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **{**kwargs, "activation": None})
        self.layer_norm = keras.layers.LayerNormalization()

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        self.layer_norm.build((None, self.units))

    def call(self, sequence: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """One time step: sequence [batch, features], states [[batch, units]]."""
        linear, _ = super().call(sequence, states, training=training)
        output = keras.ops.tanh(self.layer_norm(linear))
        return output, [output]


class FeedbackCell(keras.layers.Layer):
    """Cells and a dense layer whose answer is the input of the next step, so its own inputs are not read.

    The state is the state of each cell, then the last answer [batch, 1].
    """

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cells = list(cells)
        self.answer = keras.layers.Dense(1)
        self.state_size = [*(cell.units for cell in self.cells), 1]
        self.output_size = 1

    def build(self, input_shape: Sequence[int | None]) -> None:
        width = 1
        for cell in self.cells:
            cell.build((None, width))
            width = cell.units
        self.answer.build((None, width))
        super().build(input_shape)

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        return [keras.ops.zeros((batch_size, size)) for size in self.state_size]

    def call(self, inputs: Any, states: Sequence[Any], training: bool = False) -> tuple[Any, list[Any]]:
        del inputs
        *cell_states, value = states  # value: [batch, 1]
        new_states = []
        for cell, state in zip(self.cells, cell_states, strict=True):
            value, (state,) = cell(value, [state], training=training)
            new_states.append(state)
        answer = self.answer(value)
        return answer, [*new_states, answer]
