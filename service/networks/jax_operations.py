"""JAX computes networks, in training: weights are arrays of a list, and dropout and moving statistics are alive."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from service.domain.array_operations import ArrayOperations
from service.networks.jax_recurrences import run
from service.networks.layers import last_of
from service.networks.operations import CellWeights, LoopStep, Operations, ScanStep, State, Tensor

Array = jax.Array


class JaxOperations(Operations, ArrayOperations):
    """One pass through a network: the weights it reads, the key its dropout draws from, and what it learns beside."""

    def __init__(self, places: Mapping[int, int], weights: Sequence[Array], key: Array | None) -> None:
        """Args: `places` where each variable stands in the weights, by its `id`; `key` is None outside of training."""
        ArrayOperations.__init__(self, jnp)
        self._places = places
        self._weights = weights
        self._key = key
        # What training changes without a gradient: moving statistics, by their place.
        self.updates: dict[int, Array] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    def weight(self, variable: Any) -> Array:
        return self._weights[self._places[id(variable)]]

    def minimum(self, x: Any, y: Any) -> Any:
        # Of lengths, which slices want as numbers.
        return min(x, y) if isinstance(x, int) and isinstance(y, int) else jnp.minimum(x, y)

    def maximum(self, x: Any, y: Any) -> Any:
        return max(x, y) if isinstance(x, int) and isinstance(y, int) else jnp.maximum(x, y)

    def relu(self, x: Array) -> Array:
        # The gradient at 0 is 0, as in Keras; that of a maximum is a half.
        return jax.nn.relu(x)

    def sigmoid(self, x: Array) -> Array:
        return jax.nn.sigmoid(x)

    def gelu(self, x: Array) -> Array:
        return jax.nn.gelu(x, approximate=False)

    def batch_moments(self, layer: Any, x: Array) -> tuple[Array, Array]:
        if self._key is None:
            return super().batch_moments(layer, x)
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axes), x.var(axes)
        for variable, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moved = layer.momentum * self.weight(variable) + (1 - layer.momentum) * new
            self.updates[self._places[id(variable)]] = lax.stop_gradient(moved)
        return mean, variance

    def dropout(self, x: Array, rate: float, *, constant_over_time: bool = False) -> Array:
        mask = self._mask((x.shape[0], 1, *x.shape[2:]) if constant_over_time else x.shape, rate)
        return x if mask is None else x * mask

    def dropout_mask(self, rows: Array, units: int, rate: float) -> Array | None:
        return self._mask((rows.shape[0], units), rate)

    def _mask(self, shape: tuple[int, ...], rate: float) -> Array | None:
        """Zeros and, so that the mean stays, `1 / (1 - rate)`."""
        if self._key is None or not rate:
            return None
        self._key, key = jax.random.split(self._key)
        mask: Array = jax.random.bernoulli(key, 1 - rate, shape) / jnp.float32(1 - rate)
        return mask

    def recurrent(
        self, weights: CellWeights, x: Tensor, state: State | None, lengths: Tensor | None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """With gradients of its own. Without a state to begin with, that at the end is the output alone."""
        if state is not None:
            return super().recurrent(weights, x, state, lengths, mask)
        outputs = jnp.swapaxes(run(weights, jnp.swapaxes(x, 0, 1), mask), 0, 1)
        return outputs, [last_of(self, outputs, lengths)]

    def scan(self, step: ScanStep, state: State, values: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        if len(values) == 1:
            state = step(state, values[0])
            return state[0][None], state
        times = jnp.arange(len(values))

        def body(before: State, inputs: tuple[Array, Array]) -> tuple[State, Array]:
            time, value = inputs
            after = step(before, value)
            if lengths is not None:
                is_own = (time < lengths)[:, None]
                after = [jnp.where(is_own, new, old) for new, old in zip(after, before, strict=True)]
            return after, after[0]

        state, outputs = lax.scan(body, state, (times, values))
        return outputs, state

    def loop(self, step: LoopStep, state: State, trips: Any, *, width: int) -> Tensor:
        del width

        def body(carried: State, trip: Array) -> tuple[State, Array]:
            return step(trip, carried)

        _, blocks = lax.scan(body, state, jnp.arange(trips))
        return jnp.swapaxes(blocks, 0, 1)
