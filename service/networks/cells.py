"""Recurrent cells: the equations of a step, with Keras' order of gates. Their weights are those of Keras' own cells.

A step takes the state before it, the first state as its product reads it (through a dropout mask, where there is one),
the input's product with the kernel and the weights. It gives the state after it, and what the way back needs to know
(`service.training.jax_trainer.recurrences`).
"""

from typing import Any

import keras

from service.domain.recipes.recipe import Recipe
from service.networks.operations import CellWeights, State, Tensor

Step = tuple[State, tuple[Tensor, ...]]
# Cells with more than one state.
N_STATES = {"lstm": 2}


def simple_step(xp: Any, state: State, seen: Tensor, projected: Tensor, w: CellWeights) -> Step:
    """`h = tanh(W x + U h + b)`."""
    del state
    after = xp.tanh(xp.multiply_add(seen, w.recurrent, projected))
    return [after], (after,)


def layer_norm_step(xp: Any, state: State, seen: Tensor, projected: Tensor, w: CellWeights) -> Step:
    """`h = tanh(layer_norm(W x + U h + b))`.

    Source: A. Géron, Hands-On Machine Learning, chapter 15, after J. L. Ba et al., "Layer Normalization", 2016.
    """
    del state
    linear = xp.multiply_add(seen, w.recurrent, projected)
    after = xp.tanh(xp.layer_normalize(linear, w.gamma, w.beta, w.epsilon))
    return [after], (after, linear)


def lstm_step(xp: Any, state: State, seen: Tensor, projected: Tensor, w: CellWeights) -> Step:
    """Input, forget and output gate `i`, `f`, `o`, candidate `g`: `c = f c + i g`, `h = o tanh(c)`.

    Source: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", 1997; gates in the order i, f, g, o.
    """
    cell = state[1]
    units = w.recurrent.shape[0]
    linear = xp.multiply_add(seen, w.recurrent, projected)
    gates = xp.sigmoid(linear)
    candidate = xp.tanh(linear[:, 2 * units : 3 * units])
    new_cell = gates[:, units : 2 * units] * cell + gates[:, :units] * candidate
    squashed = xp.tanh(new_cell)
    return [gates[:, 3 * units :] * squashed, new_cell], (gates, candidate, squashed, cell)


def gru_step(xp: Any, state: State, seen: Tensor, projected: Tensor, w: CellWeights) -> Step:
    """Update and reset gate `z`, `r`, candidate `g`: `h = z h + (1 - z) g`, the reset gate after the product.

    Source: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014; as cuDNN and Keras have
    it, gates in the order z, r, g.
    """
    units = w.recurrent.shape[0]
    product = xp.matmul(seen, w.recurrent) + w.recurrent_bias
    gates = xp.sigmoid(projected[:, : 2 * units] + product[:, : 2 * units])
    recurrent = product[:, 2 * units :]
    candidate = xp.tanh(projected[:, 2 * units :] + gates[:, units:] * recurrent)
    after = candidate + gates[:, :units] * (state[0] - candidate)
    return [after], (gates, recurrent, candidate)


STEPS: dict[str, Any] = {"simple": simple_step, "layer_norm": layer_norm_step, "lstm": lstm_step, "gru": gru_step}
_KERAS_CELLS: dict[str, Any] = {
    "simple": keras.layers.SimpleRNNCell,
    "layer_norm": keras.layers.SimpleRNNCell,
    "lstm": keras.layers.LSTMCell,
    "gru": keras.layers.GRUCell,
}


class Cell(keras.layers.Layer):
    """The weights of a recurrent layer, made as those of Keras' cell of this kind are (a key of `STEPS`)."""

    def __init__(self, kind: str, units: int, recipe: Recipe, *, with_dropout: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.units = units
        self.input_dropout = recipe.dropout if with_dropout else 0.0
        self.recurrent_dropout = recipe.recurrent_dropout if with_dropout else 0.0
        self.cell = _KERAS_CELLS[kind](units, kernel_initializer=recipe.kernel_initializer)
        self.layer_norm = keras.layers.LayerNormalization() if kind == "layer_norm" else None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.cell.build((None, input_shape[-1]))
        if self.layer_norm is not None:
            self.layer_norm.build((None, self.units))
        self.built = True

    def weights_of(self, xp: Any) -> CellWeights:
        cell = self.cell
        bias = xp.weight(cell.bias)
        second = None
        if self.kind == "gru":
            bias, second = bias[0], bias[1]
        found = CellWeights(self.kind, xp.weight(cell.kernel), xp.weight(cell.recurrent_kernel), bias, second)
        if self.layer_norm is None:
            return found
        norm = self.layer_norm
        return found._replace(gamma=xp.weight(norm.gamma), beta=xp.weight(norm.beta), epsilon=float(norm.epsilon))

    def run(
        self, xp: Any, x: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The layer along time, as `service.networks.operations.Operations.recurrent`.

        One dropout mask each for all steps and gates: Y. Gal and Z. Ghahramani, "A Theoretically Grounded Application
        of Dropout in Recurrent Neural Networks", 2016.
        """
        x = xp.dropout(x, self.input_dropout, constant_over_time=True)
        mask = xp.dropout_mask(x, self.units, self.recurrent_dropout)
        outputs: tuple[Tensor, State] = xp.recurrent(self.weights_of(xp), x, state, lengths, mask)
        return outputs
