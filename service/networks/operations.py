"""What networks are written in: array operations by NumPy's names, and the primitives below.

A network is written once, as functions of `xp`. `service.networks.jax_operations` runs it in training,
`service.networks.tensorflow_operations` in a SavedModel, `service.networks.onnx_operations` as operators of an ONNX
graph, and `NumPyOperations` anywhere. Where one of them computes a primitive in a way of its own, the way is an
override; docs/decisions/0016-networks-once.md has what each earns.

Beside what is below and in `service.domain.array_operations` they have NumPy's `abs`, `arange`, `concatenate`,
`cumsum`, `exp`, `expand_dims`, `floor`, `log`, `matmul`, `max`, `maximum`, `mean`, `min`, `minimum`, `repeat`,
`reshape`, `sort`, `split`, `sqrt`, `sum`, `take`, `tanh`, `transpose` and `where`; arithmetic, comparisons and slices
are Python's own. Sequences are [batch, time, features]; lengths and positions are integers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from service.domain.array_operations import ArrayOperations

# A tensor of whatever library computes; and a state: a flat list of tensors, batch first.
Tensor = Any
State = list[Any]
ScanStep = Callable[[State, Tensor], State]
LoopStep = Callable[[Any, State], tuple[State, Tensor]]


class CellWeights(NamedTuple):
    """The weights of one recurrent layer, in Keras' order of gates.

    `kind` is a key of `service.networks.cells.STEPS`. A GRU's reset gate is applied after `recurrent_bias`, its second
    one. `gamma`, `beta` and `epsilon` are of a cell that normalises.
    """

    kind: str
    kernel: Tensor  # [features, gates x units]
    recurrent: Tensor  # [units, gates x units]
    bias: Tensor  # [gates x units]
    recurrent_bias: Tensor | None = None
    gamma: Tensor | None = None
    beta: Tensor | None = None
    epsilon: float = 0.0


class Operations:
    """The primitives of networks, as far as they follow from the others."""

    # Steps that one trip of a roll-out's loop makes.
    steps_per_trip = 1
    # Whether weights are arrays of NumPy, and what is computed of them alone is computed once and for all.
    folds_weights = False

    def weight(self, variable: Any) -> Tensor:
        """The tensor that stands for a Keras variable."""
        raise NotImplementedError  # only a library knows: not all of its operations are needed of each, so no ABC

    def pick_numbers(self, values: Tensor, positions: Tensor) -> Tensor:
        """As `pick`, of values [batch, time] without further axes."""
        return self.pick(values, positions)

    def multiply_add(self, x: Tensor, weights: Tensor, addend: Tensor) -> Tensor:
        """`x @ weights + addend`, all [.., ..] of two axes."""
        return self.matmul(x, weights) + addend

    def relu(self, x: Tensor) -> Tensor:
        return self.maximum(x, 0.0)

    def softmax(self, x: Tensor) -> Tensor:
        """Along the last axis."""
        powers = self.exp(x - self.max(x, axis=-1, keepdims=True))
        return powers / self.sum(powers, axis=-1, keepdims=True)

    def gelu(self, x: Tensor) -> Tensor:
        """The exact one, by the error function."""
        raise NotImplementedError

    def sigmoid(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def linear(self, x: Tensor) -> Tensor:
        return x

    def layer_normalize(self, x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
        """Features [.., features] from their mean, in units of their standard deviation.

        Source: J. L. Ba et al., "Layer Normalization", 2016.
        """
        centred = x - self.mean(x, axis=-1, keepdims=True)
        variance = self.mean(centred * centred, axis=-1, keepdims=True)
        return centred / self.sqrt(variance + epsilon) * gamma + beta

    def batch_moments(self, layer: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance that a batch normalisation takes: those of the batch in training, else the moving ones."""
        del x
        return self.weight(layer.moving_mean), self.weight(layer.moving_variance)

    def dropout(self, x: Tensor, rate: float, *, constant_over_time: bool = False) -> Tensor:
        """In training, numbers dropped at a rate and the others scaled so that the mean stays; else nothing."""
        del rate, constant_over_time
        return x

    def dropout_mask(self, rows: Tensor, units: int, rate: float) -> Tensor | None:
        """What dropout multiplies [batch, units] with, for as many rows as are given; None where nothing is dropped."""
        del rows, units, rate
        return None

    def recurrent(
        self, weights: CellWeights, x: Tensor, state: State | None, lengths: Tensor | None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Runs a recurrent layer.

        Args:
            x: [batch, time, features].
            state: where to begin; None for zeros.
            lengths: [batch], each row's own steps; None where all are.
            mask: what the state is multiplied with before its product, [batch, units]; None for nothing.

        Returns:
            The output at every step [batch, time, units], anything after a row's own; the state after its last.
        """
        from service.networks.cells import N_STATES, STEPS

        step = STEPS[weights.kind]
        if state is None:
            state = [self.zeros_of(x, weights.recurrent.shape[0]) for _ in range(N_STATES.get(weights.kind, 1))]

        def advance(before: State, projected: Tensor) -> State:
            seen = before[0] if mask is None else before[0] * mask
            after: State = step(self, before, seen, projected, weights)[0]
            return after

        # The products with all inputs at once.
        projected = self.matmul(self.transpose(x, (1, 0, 2)), weights.kernel) + weights.bias
        outputs, after = self.scan(advance, state, projected, lengths)
        return self.transpose(outputs, (1, 0, 2)), after

    def zeros_of(self, rows: Tensor, units: int) -> Tensor:
        """Zeros [batch, units] for as many rows as are given."""
        return self.zeros((self.size(rows, 0), units), np.float32)

    def scan(self, step: ScanStep, state: State, values: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        """Runs a step along time: [time, batch, features] -> the first state at all times, all states at the end.

        With lengths [batch] the end is each row's own.
        """
        raise NotImplementedError

    def loop(self, step: LoopStep, state: State, trips: Any, *, width: int) -> Tensor:
        """Runs a step (the trip's number, state) -> (state, [batch, width]) so often: [batch, trips, width]."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no operation {name!r}")


class NumPyOperations(Operations, ArrayOperations):
    """NumPy computes: slow, and nothing but it is needed."""

    def __init__(self) -> None:
        ArrayOperations.__init__(self, np)

    def __getattr__(self, name: str) -> Any:
        return ArrayOperations.__getattr__(self, name)

    def weight(self, variable: Any) -> Tensor:
        return np.asarray(variable)

    def where(self, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
        # Of numbers alone NumPy would make 64 bits, which no other library does.
        return np.where(condition, np.float32(x) if isinstance(x, float) and isinstance(y, float) else x, y)

    def sigmoid(self, x: Tensor) -> Tensor:
        return 0.5 * (1 + np.tanh(0.5 * x))

    def gelu(self, x: Tensor) -> Tensor:
        from math import sqrt

        from scipy.special import erf

        return (0.5 * x * (1 + erf(x / sqrt(2)))).astype(x.dtype)

    def scan(self, step: ScanStep, state: State, values: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        outputs = []
        for time in range(len(values)):
            after = step(state, values[time])
            if lengths is not None:
                is_own = (time < lengths)[:, None]
                after = [np.where(is_own, new, old) for new, old in zip(after, state, strict=True)]
            state = after
            outputs.append(state[0])
        return np.stack(outputs), state

    def loop(self, step: LoopStep, state: State, trips: Any, *, width: int) -> Tensor:
        blocks = []
        for trip in range(trips):
            state, block = step(trip, state)
            blocks.append(block)
        return np.stack(blocks, axis=1) if blocks else np.zeros((len(state[0]), 0, width), np.float32)
