"""Recurrent layers over whole sequences, with gradients of their own.

Differentiated step by step, a loop adds up the gradient of its weights at every step. Here the loop backwards gives
only the gradients of what went into the gates; those of weights, biases and inputs are then one matrix product each
over all steps: backpropagation through time, with the sum over time taken at once.

Sequences are [time, batch, features]; a mask on the recurrent state [batch, units], for recurrent dropout, is constant
over time, as in Keras.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
# What a layer's operator needs of the forward pass to go backwards.
Saved = Any


class Weights(NamedTuple):
    """Of one recurrent layer; `gamma` and `beta` of a layer-normalised cell alone.

    `recurrent_bias` is a GRU's second one, which the reset gate is applied after.
    """

    kernel: Array  # [features, gates x units]
    recurrent: Array  # [units, gates x units]
    bias: Array  # [gates x units]
    recurrent_bias: Array | None = None
    gamma: Array | None = None
    beta: Array | None = None


def run(kind: str, weights: Weights, x: Array, mask: Array | None, epsilon: float = 0.0) -> Array:
    """All outputs of a layer that begins with a state of zeros.

    Args:
        kind: `simple`, `layer_norm`, `lstm` or `gru`, with Keras' equations and order of gates.
        x: [time, batch, features].
        mask: what the state is multiplied with before its product, [batch, units]; None for none.
        epsilon: what keeps a layer normalisation from dividing by zero.

    Returns:
        [time, batch, units].
    """
    projected = x @ weights.kernel + weights.bias
    rest = {"simple": (), "lstm": (), "gru": (weights.recurrent_bias,), "layer_norm": (weights.gamma, weights.beta)}
    return _recur(kind, epsilon, projected, mask, (weights.recurrent, *rest[kind]))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _recur(kind: str, epsilon: float, projected: Array, mask: Array | None, weights: tuple[Array, ...]) -> Array:
    return _forward(kind, epsilon, projected, mask, weights)[0]


def _forward(
    kind: str, epsilon: float, projected: Array, mask: Array | None, weights: tuple[Array, ...]
) -> tuple[Array, Saved]:
    step = _FORWARD[kind]
    units = weights[0].shape[0]
    zeros = jnp.zeros((projected.shape[1], units), projected.dtype)

    def body(state: tuple[Array, ...], inputs: Array) -> tuple[tuple[Array, ...], tuple[Array, Saved]]:
        before = state[0] if mask is None else state[0] * mask
        after, saved = step(state, before, inputs, weights, epsilon)
        return after, (after[0], saved)

    _, (outputs, saved) = lax.scan(body, (zeros,) * (2 if kind == "lstm" else 1), projected)
    return outputs, (outputs, saved, mask, weights)


def _backward(kind: str, epsilon: float, residuals: Saved, gradient: Array) -> Any:
    del epsilon
    outputs, saved, mask, weights = residuals
    step = _BACKWARD[kind]
    zeros = jnp.zeros_like(outputs[0])
    before = jnp.concatenate([zeros[None], outputs[:-1]])  # [time, batch, units]
    recurrent = weights[0]

    def body(carry: tuple[Array, ...], inputs: Any) -> tuple[tuple[Array, ...], Any]:
        of_output, of_step, state_before = inputs
        later, *rest = carry
        of_state, of_projected, of_product, *more = step(of_output + later, rest, of_step, state_before, weights)
        through = of_product @ recurrent.T
        if mask is not None:
            through = through * mask
        direct, *rest = of_state
        return (direct + through, *rest), (of_projected, of_product, *more)

    carry = (zeros,) * (2 if kind == "lstm" else 1)
    _, (of_projected, of_product, *more) = lax.scan(body, carry, (gradient, saved, before), reverse=True)
    masked = before if mask is None else before * mask
    of_recurrent = jnp.einsum("tbu,tbg->ug", masked, of_product)
    of_rest: tuple[Array, ...] = ()
    if kind == "gru":
        of_rest = (of_product.sum((0, 1)),)
    elif kind == "layer_norm":
        of_rest = tuple(one.sum((0, 1)) for one in more)
    return of_projected, None if mask is None else jnp.zeros_like(mask), (of_recurrent, *of_rest)


_recur.defvjp(_forward, _backward)


def _simple(state: Any, before: Array, projected: Array, weights: Any, epsilon: float) -> Any:
    del state, epsilon
    after = jnp.tanh(projected + before @ weights[0])
    return (after,), (after,)


def _simple_back(of_output: Array, rest: Any, saved: Any, before: Array, weights: Any) -> Any:
    del rest, before, weights
    (after,) = saved
    of_linear = of_output * (1 - after * after)
    return (jnp.zeros_like(after),), of_linear, of_linear


def _layer_norm(state: Any, before: Array, projected: Array, weights: Any, epsilon: float) -> Any:
    del state
    recurrent, gamma, beta = weights
    linear = projected + before @ recurrent
    centred = linear - linear.mean(-1, keepdims=True)
    inverse = lax.rsqrt((centred * centred).mean(-1, keepdims=True) + epsilon)
    normal = centred * inverse
    after = jnp.tanh(normal * gamma + beta)
    return (after,), (after, normal, inverse)


def _layer_norm_back(of_output: Array, rest: Any, saved: Any, before: Array, weights: Any) -> Any:
    del rest, before
    after, normal, inverse = saved
    of_normalised = of_output * (1 - after * after)
    of_normal = of_normalised * weights[1]
    of_linear = inverse * (
        of_normal - of_normal.mean(-1, keepdims=True) - normal * (of_normal * normal).mean(-1, keepdims=True)
    )
    return (jnp.zeros_like(after),), of_linear, of_linear, of_normalised * normal, of_normalised


def _lstm(state: Any, before: Array, projected: Array, weights: Any, epsilon: float) -> Any:
    del epsilon
    cell = state[1]
    units = cell.shape[-1]
    linear = projected + before @ weights[0]
    gates = jax.nn.sigmoid(linear)
    candidate = jnp.tanh(linear[:, 2 * units : 3 * units])
    new_cell = gates[:, units : 2 * units] * cell + gates[:, :units] * candidate
    squashed = jnp.tanh(new_cell)
    return (gates[:, 3 * units :] * squashed, new_cell), (gates, candidate, squashed, cell)


def _lstm_back(of_output: Array, rest: Any, saved: Any, before: Array, weights: Any) -> Any:
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


def _gru(state: Any, before: Array, projected: Array, weights: Any, epsilon: float) -> Any:
    del epsilon
    units = before.shape[-1]
    product = before @ weights[0] + weights[1]
    gates = jax.nn.sigmoid(projected[:, : 2 * units] + product[:, : 2 * units])
    update, reset = gates[:, :units], gates[:, units:]
    recurrent = product[:, 2 * units :]
    candidate = jnp.tanh(projected[:, 2 * units :] + reset * recurrent)
    after = candidate + update * (state[0] - candidate)
    return (after,), (gates, recurrent, candidate)


def _gru_back(of_output: Array, rest: Any, saved: Any, before: Array, weights: Any) -> Any:
    del rest, weights
    gates, recurrent, candidate = saved
    update, reset = jnp.split(gates, 2, axis=-1)
    of_update = of_output * (before - candidate) * update * (1 - update)
    of_candidate = of_output * (1 - update) * (1 - candidate * candidate)
    of_reset = of_candidate * recurrent * reset * (1 - reset)
    of_projected = jnp.concatenate([of_update, of_reset, of_candidate], axis=-1)
    of_product = jnp.concatenate([of_update, of_reset, of_candidate * reset], axis=-1)
    return (of_output * update,), of_projected, of_product


_FORWARD = {"simple": _simple, "layer_norm": _layer_norm, "lstm": _lstm, "gru": _gru}
_BACKWARD = {"simple": _simple_back, "layer_norm": _layer_norm_back, "lstm": _lstm_back, "gru": _gru_back}
