"""Recurrent layers over whole sequences in JAX, with gradients of their own.

Differentiated step by step, a loop adds up the gradient of its weights at every step. Here the loop backwards gives
only the gradients of what went into the gates; those of weights, biases and inputs are then one matrix product each
over all steps: backpropagation through time, with the sum over time taken at once. Forwards it runs the steps of
`service.networks.cells`.

Sequences are [time, batch, features]; a mask on the recurrent state [batch, units], for recurrent dropout, is constant
over time, as in Keras.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from service.networks.cells import N_STATES, STEPS
from service.networks.operations import CellWeights, Operations

Array = jax.Array
# What a layer's operator needs of the forward pass to go backwards.
Saved = Any


class _StepOperations(Operations):
    """What the equations of a step are computed by."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    def sigmoid(self, x: Array) -> Array:
        return jax.nn.sigmoid(x)


_XP = _StepOperations()


def run(weights: CellWeights, x: Array, mask: Array | None) -> Array:
    """All outputs of a layer that begins with a state of zeros.

    Args:
        x: [time, batch, features].
        mask: what the state is multiplied with before its product, [batch, units]; None for none.

    Returns:
        [time, batch, units].
    """
    projected = x @ weights.kernel + weights.bias
    arrays = (weights.recurrent, weights.recurrent_bias, weights.gamma, weights.beta)
    return _recur(weights.kind, weights.epsilon, projected, mask, arrays)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _recur(kind: str, epsilon: float, projected: Array, mask: Array | None, arrays: Any) -> Array:
    return _forward(kind, epsilon, projected, mask, arrays)[0]


def _forward(kind: str, epsilon: float, projected: Array, mask: Array | None, arrays: Any) -> tuple[Array, Saved]:
    weights = _weights(kind, epsilon, arrays)
    zeros = jnp.zeros((projected.shape[1], weights.recurrent.shape[0]), projected.dtype)

    def body(state: list[Array], inputs: Array) -> tuple[list[Array], tuple[Array, Saved]]:
        seen = state[0] if mask is None else state[0] * mask
        after, saved = STEPS[kind](_XP, state, seen, inputs, weights)
        return after, (after[0], saved)

    _, (outputs, saved) = lax.scan(body, [zeros] * N_STATES.get(kind, 1), projected)
    return outputs, (outputs, saved, mask, arrays)


def _backward(kind: str, epsilon: float, residuals: Saved, gradient: Array) -> Any:
    outputs, saved, mask, arrays = residuals
    weights = _weights(kind, epsilon, arrays)
    zeros = jnp.zeros_like(outputs[0])
    before = jnp.concatenate([zeros[None], outputs[:-1]])  # [time, batch, units]

    def body(carry: tuple[Array, ...], inputs: Any) -> tuple[tuple[Array, ...], Any]:
        of_output, of_step, state_before = inputs
        later, *rest = carry
        of_state, of_projected, of_product, *more = _BACKWARD[kind](
            of_output + later, rest, of_step, state_before, weights
        )
        through = of_product @ weights.recurrent.T
        if mask is not None:
            through = through * mask
        direct, *rest = of_state
        return (direct + through, *rest), (of_projected, of_product, *more)

    carry = (zeros,) * N_STATES.get(kind, 1)
    _, (of_projected, of_product, *more) = lax.scan(body, carry, (gradient, saved, before), reverse=True)
    masked = before if mask is None else before * mask
    of_recurrent = jnp.einsum("tbu,tbg->ug", masked, of_product)
    of_bias = of_product.sum((0, 1)) if kind == "gru" else None
    of_gamma, of_beta = (part.sum((0, 1)) for part in more) if kind == "layer_norm" else (None, None)
    return of_projected, None if mask is None else jnp.zeros_like(mask), (of_recurrent, of_bias, of_gamma, of_beta)


_recur.defvjp(_forward, _backward)


def _weights(kind: str, epsilon: float, arrays: Any) -> CellWeights:
    recurrent, recurrent_bias, gamma, beta = arrays
    return CellWeights(kind, None, recurrent, None, recurrent_bias, gamma, beta, epsilon)


def _simple(of_output: Array, rest: Any, saved: Any, before: Array, weights: CellWeights) -> Any:
    del rest, before, weights
    (after,) = saved
    of_linear = of_output * (1 - after * after)
    return (jnp.zeros_like(after),), of_linear, of_linear


def _layer_norm(of_output: Array, rest: Any, saved: Any, before: Array, weights: CellWeights) -> Any:
    del rest, before
    after, linear = saved
    centred = linear - linear.mean(-1, keepdims=True)
    inverse = lax.rsqrt((centred * centred).mean(-1, keepdims=True) + weights.epsilon)
    normal = centred * inverse
    of_normalised = of_output * (1 - after * after)
    of_normal = of_normalised * weights.gamma
    of_linear = inverse * (
        of_normal - of_normal.mean(-1, keepdims=True) - normal * (of_normal * normal).mean(-1, keepdims=True)
    )
    return (jnp.zeros_like(after),), of_linear, of_linear, of_normalised * normal, of_normalised


def _lstm(of_output: Array, rest: Any, saved: Any, before: Array, weights: CellWeights) -> Any:
    del before, weights
    gates, candidate, squashed, cell = saved
    input_gate, forget_gate, _, output_gate = jnp.split(gates, 4, axis=-1)
    of_cell = rest[0] + of_output * output_gate * (1 - squashed * squashed)
    of_linear = jnp.concatenate(
        [
            of_cell * candidate * input_gate * (1 - input_gate),
            of_cell * cell * forget_gate * (1 - forget_gate),
            of_cell * input_gate * (1 - candidate * candidate),
            of_output * squashed * output_gate * (1 - output_gate),
        ],
        axis=-1,
    )
    return (jnp.zeros_like(of_output), of_cell * forget_gate), of_linear, of_linear


def _gru(of_output: Array, rest: Any, saved: Any, before: Array, weights: CellWeights) -> Any:
    del rest, weights
    gates, recurrent, candidate = saved
    update, reset = jnp.split(gates, 2, axis=-1)
    of_update = of_output * (before - candidate) * update * (1 - update)
    of_candidate = of_output * (1 - update) * (1 - candidate * candidate)
    of_reset = of_candidate * recurrent * reset * (1 - reset)
    of_projected = jnp.concatenate([of_update, of_reset, of_candidate], axis=-1)
    of_product = jnp.concatenate([of_update, of_reset, of_candidate * reset], axis=-1)
    return (of_output * update,), of_projected, of_product


_BACKWARD = {"simple": _simple, "layer_norm": _layer_norm, "lstm": _lstm, "gru": _gru}
