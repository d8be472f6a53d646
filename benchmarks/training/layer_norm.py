"""The chapter's recurrent cell that normalises, for Keras' own loop."""

from typing import Any

import keras


class LayerNormCell(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A simple recurrent cell that normalises its product before its activation.

    Source: A. Géron, Hands-On Machine Learning, chapter 15 (`LNSimpleRNNCell`).
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_size = self.output_size = units
        self.cell = keras.layers.SimpleRNNCell(units, activation=None)
        self.layer_norm = keras.layers.LayerNormalization()

    def build(self, input_shape: Any) -> None:
        self.cell.build(input_shape)
        self.layer_norm.build((None, self.output_size))
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:
        outputs, _ = self.cell(inputs, states)
        outputs = keras.ops.tanh(self.layer_norm(outputs))
        return outputs, [outputs]
