"""A network's forward pass as a pure function of its weights: what `service.zoo` computes, in JAX.

The zoo's layers are read, never called: they say what there is, and their variables where in the list of weights each
array stands. Sequences are [batch, time, features], inside recurrent stacks [time, batch, features].
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import keras

from service.domain.recipes.recipe import CONV_KERNEL, CONV_STRIDE
from service.training.compiled.recurrences import Weights, run
from service.zoo.bodies import AnyBody, LagBody, ValueBody, WindowBody
from service.zoo.cells import LayerNormSimpleRNNCell
from service.zoo.network import Network
from service.zoo.readouts import Affine, Decoder, Repeat, Residual, Uncorrected, Unrolled
from service.zoo.recurrent import ConvRecurrentBody, RecurrentBody
from service.zoo.wavenet import WaveNetBody

Array = jax.Array
_KINDS = {"SimpleRNNCell": "simple", "LSTMCell": "lstm", "GRUCell": "gru", "LayerNormSimpleRNNCell": "layer_norm"}
_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
}


class Pass:
    """One forward pass: the weights it reads, the key that its dropout draws from, and what it learns on the way."""

    def __init__(self, places: dict[int, int], weights: list[Array], key: Array | None) -> None:
        """Args: `places` where each variable stands, by its `id`; `key` is None outside of training."""
        self._places = places
        self._weights = weights
        self._key = key
        # What training changes without a gradient: moving statistics, by their place.
        self.updates: dict[int, Array] = {}

    @property
    def is_training(self) -> bool:
        return self._key is not None

    def of(self, variable: Any) -> Array:
        """The array that stands for a variable."""
        return self._weights[self._places[id(variable)]]

    def update(self, variable: Any, value: Array) -> None:
        self.updates[self._places[id(variable)]] = value

    def dropped(self, shape: tuple[int, ...], rate: float) -> Array | None:
        """A mask of zeros and, so that the mean stays, `1 / (1 - rate)`; None where nothing is dropped."""
        if self._key is None or not rate:
            return None
        self._key, key = jax.random.split(self._key)
        return jax.random.bernoulli(key, 1 - rate, shape) / jnp.float32(1 - rate)


def answer(network: Network, p: Pass, x: Array) -> Array:
    """As `Network.call`: x [batch, time, 1] -> [batch, horizon], of sequence heads [batch, steps, horizon]."""
    lengths = None
    if network.is_padded:
        own = jnp.isfinite(x)
        lengths = own[:, :, 0].sum(axis=1)
        x = jnp.where(own, x, 0.0)
    if isinstance(network.readout, Decoder):
        return _decode(p, network.readout, cast(RecurrentBody, network.body), x, lengths)
    if network.head == "sequence":
        return _read_out(p, network.readout, _steps(p, network.body, x, lengths)[0])
    if isinstance(network.body, LagBody) and (lengths is not None or isinstance(network.body, WindowBody)):
        return _read_out(p, network.readout, _last_window(network.body, x, lengths))
    features, lengths = _steps(p, network.body, x, lengths)
    return _read_out(p, network.readout, _last(features, lengths))


def _last(features: Array, lengths: Array | None) -> Array:
    """[batch, time, features] -> [batch, features]."""
    if lengths is None:
        return features[:, -1]
    return jnp.take_along_axis(features, (lengths - 1)[:, None, None], axis=1)[:, 0]


def _last_window(body: LagBody, x: Array, lengths: Array | None) -> Array:
    """The last `window` values of each row as the body's features: [batch, width]."""
    series = x[:, :, 0]
    if lengths is None:
        lengths = jnp.full(len(series), series.shape[1])
    positions = lengths[:, None] - body.window + jnp.arange(body.window)
    if not isinstance(body, WindowBody):
        # Differenced windows are shorter: positions before the start count from the end, as in `LagBody.begin`.
        return jnp.take_along_axis(series, positions, axis=1)
    own = (positions >= 0).astype(series.dtype)
    values = jnp.take_along_axis(series, jnp.maximum(positions, 0), axis=1) * own
    return jnp.concatenate([values, own], axis=1)


def _steps(p: Pass, body: AnyBody, x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
    """Features at every step [batch, steps, features], and each row's count of steps."""
    match body:
        case ValueBody():
            return x, lengths
        case LagBody():
            lags = _lags(x[:, :, 0], body.window)
            if isinstance(body, WindowBody):
                lags = jnp.concatenate([lags, _lags(jnp.ones_like(x[:, :, 0]), body.window)], axis=-1)
            return lags, lengths
        case RecurrentBody():
            return _recur(p, body, x), lengths
        case ConvRecurrentBody():
            shorter, lengths = _downsample(p, body, x, lengths)
            return _recur(p, body.recurrent, shorter), lengths
        case WaveNetBody():
            return _convolve(p, body, x), lengths


def _lags(series: Array, window: int) -> Array:
    """The last `window` values at every step, zeros before the start: [batch, time] -> [batch, time, window]."""
    padded = jnp.pad(series, [(0, 0), (window - 1, 0)])
    return padded[:, jnp.arange(series.shape[1])[:, None] + jnp.arange(window)]


def _recur(p: Pass, body: RecurrentBody, x: Array) -> Array:
    x = jnp.swapaxes(x, 0, 1)
    for layer, norm in zip(body.recurrent, body.norms, strict=True):
        x = _normalize(p, norm, _recurrent_layer(p, layer.cell, x))
    return jnp.swapaxes(x, 0, 1)


def _recurrent_layer(p: Pass, cell: Any, x: Array) -> Array:
    """[time, batch, features] -> [time, batch, units]."""
    batch = x.shape[1]
    # One mask each for all steps and gates: Y. Gal and Z. Ghahramani, A Theoretically Grounded Application of Dropout
    # in Recurrent Neural Networks, 2016.
    dropped = p.dropped((batch, x.shape[2]), cell.dropout)
    if dropped is not None:
        x = x * dropped
    mask = p.dropped((batch, cell.units), cell.recurrent_dropout)
    kind = _KINDS[type(cell).__name__]
    bias = p.of(cell.bias)
    weights = Weights(p.of(cell.kernel), p.of(cell.recurrent_kernel), bias)
    if kind == "gru":
        weights = weights._replace(bias=bias[0], recurrent_bias=bias[1])
    if isinstance(cell, LayerNormSimpleRNNCell):
        norm = cell.layer_norm
        weights = weights._replace(gamma=p.of(norm.gamma), beta=p.of(norm.beta))
        return run(kind, weights, x, mask, float(norm.epsilon))
    return run(kind, weights, x, mask)


def _downsample(p: Pass, body: ConvRecurrentBody, x: Array, lengths: Array | None) -> tuple[Array, Array | None]:
    """Each row without its own oldest points, convolved, and its count of steps."""
    time = x.shape[1]
    if lengths is None:
        x = x[:, (time - CONV_KERNEL) % CONV_STRIDE :]
    else:
        positions = jnp.arange(time) + ((lengths - CONV_KERNEL) % CONV_STRIDE)[:, None]
        x = jnp.take_along_axis(x, jnp.minimum(positions, time - 1)[:, :, None], axis=1)
        lengths = (lengths - CONV_KERNEL) // CONV_STRIDE + 1
    n_steps = (x.shape[1] - CONV_KERNEL) // CONV_STRIDE + 1
    windows = jnp.arange(n_steps)[:, None] * CONV_STRIDE + jnp.arange(CONV_KERNEL)
    kernel = p.of(body.conv.kernel)[:, 0]  # [kernel, filters]
    return x[:, windows, 0] @ kernel + p.of(body.conv.bias), lengths


def _convolve(p: Pass, body: WaveNetBody, x: Array) -> Array:
    """Each causal convolution as one product: of the steps beside the steps before them."""
    for conv, norm, dropout in zip(body.convs, body.norms, body.dropouts, strict=True):
        older = jnp.pad(x, [(0, 0), (conv.dilation, 0), (0, 0)])[:, : x.shape[1]]
        kernel = p.of(conv.kernel).reshape(-1, conv.filters)  # [2 features, filters]
        x = jax.nn.relu(jnp.concatenate([older, x], axis=-1) @ kernel + p.of(conv.bias))
        x = _drop(p, dropout, _normalize(p, norm, x))
    return x


def _decode(p: Pass, readout: Decoder, body: RecurrentBody, x: Array, lengths: Array | None) -> Array:
    """An encoder's states begin a decoder's, which is fed its own answers."""
    last_value = _last(x, lengths)
    features = x
    states = []
    for layer, norm in zip(body.recurrent, body.norms, strict=True):
        outputs = jnp.swapaxes(_recurrent_layer(p, layer.cell, jnp.swapaxes(features, 0, 1)), 0, 1)
        # A GRU's state is its output.
        states.append(_last(outputs, lengths))
        features = _normalize(p, norm, outputs)
    cell = readout.recurrent.cell
    cells = [
        Weights(p.of(one.kernel), p.of(one.recurrent_kernel), p.of(one.bias)[0], p.of(one.bias)[1])
        for one in cell.cells
    ]

    def step(carry: tuple[list[Array], Array], _: None) -> tuple[tuple[list[Array], Array], Array]:
        before, value = carry
        after = []
        for weights, state in zip(cells, before, strict=True):
            value = _gru_step(weights, value, state)
            after.append(value)
        value = _dense(p, cell.answer, value)
        return (after, value), value

    _, answers = jax.lax.scan(step, (states, last_value), None, length=readout.horizon)
    return jnp.swapaxes(answers[:, :, 0], 0, 1)


def _gru_step(weights: Weights, x: Array, state: Array) -> Array:
    units = state.shape[-1]
    given = x @ weights.kernel + weights.bias
    product = state @ weights.recurrent
    if weights.recurrent_bias is not None:
        product = product + weights.recurrent_bias
    gates = jax.nn.sigmoid(given[:, : 2 * units] + product[:, : 2 * units])
    candidate = jnp.tanh(given[:, 2 * units :] + gates[:, units:] * product[:, 2 * units :])
    return candidate + gates[:, :units] * (state - candidate)


def _read_out(p: Pass, readout: Any, features: Array) -> Array:
    """[.., features] -> [.., horizon]."""
    match readout:
        case Repeat():
            return jnp.repeat(features, readout.horizon, axis=-1)
        case Uncorrected():
            return _base(readout, features)
        case Affine():
            (values, *_), base = _read(readout, features)
            return _dense(p, readout.answer, values) + base
        case Residual():
            read, base = _read(readout, features)
            x = _dense(p, readout.embed, jnp.concatenate(read, axis=-1))
            blocks = zip(readout.norms[:-1], readout.wide, readout.dropouts, readout.narrow, strict=True)
            for norm, wide, dropout, narrow in blocks:
                x = x + _dense(p, narrow, _drop(p, dropout, _dense(p, wide, _normalize(p, norm, x))))
            return _dense(p, readout.answer, _normalize(p, readout.norms[-1], x)) + base
        case Unrolled():
            x = jnp.pad(features[None], [(0, readout.horizon - 1), (0, 0), (0, 0)])  # [time, batch, features]
            for layer in readout.recurrent:
                x = _recurrent_layer(p, layer.cell, x)
            return jnp.swapaxes(_dense(p, readout.answer, x)[:, :, 0], 0, 1)
        case keras.layers.Dense():
            return _dense(p, readout, features)
        case _:
            return features


def _read(readout: Any, features: Array) -> tuple[list[Array], Array]:
    """As `Correction.read`."""
    values, own = features[..., readout.window - readout.focus : readout.window], features[..., -readout.focus :]
    mean = values.sum(-1, keepdims=True) / jnp.maximum(own.sum(-1, keepdims=True), 1.0)
    base = _base(readout, features)
    return [(values - mean) * own, own] + ([] if readout.theta is None else [base - mean]), base


def _base(readout: Any, features: Array) -> Array:
    values, own = features[..., : readout.window], features[..., readout.window :]
    if readout.theta is not None:
        return cast(Array, readout.theta.forecast(jnp, values, own))
    first = readout.window - readout.season
    season = jnp.where(own[..., first:] > 0, values[..., first:], values[..., -1:])
    repeats = -(-readout.horizon // readout.season)
    return jnp.concatenate([season] * repeats, axis=-1)[..., : readout.horizon]


def _dense(p: Pass, layer: Any, x: Array) -> Array:
    return _ACTIVATIONS[layer.activation.__name__](x @ p.of(layer.kernel) + p.of(layer.bias))


def _drop(p: Pass, layer: Any, x: Array) -> Array:
    mask = p.dropped(x.shape, layer.rate)
    return x if mask is None else x * mask


def _normalize(p: Pass, layer: Any, x: Array) -> Array:
    """What a layer of `service.zoo.normalization` makes of features [.., features]."""
    if isinstance(layer, keras.layers.LayerNormalization):
        centred = x - x.mean(-1, keepdims=True)
        normal = centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + layer.epsilon)
        return normal * p.of(layer.gamma) + p.of(layer.beta)
    if not isinstance(layer, keras.layers.BatchNormalization):
        return x
    mean, variance = p.of(layer.moving_mean), p.of(layer.moving_variance)
    if p.is_training:
        axes = tuple(range(x.ndim - 1))
        old_mean, old_variance = mean, variance
        mean, variance = x.mean(axes), x.var(axes)
        for variable, old, new in (
            (layer.moving_mean, old_mean, mean),
            (layer.moving_variance, old_variance, variance),
        ):
            p.update(variable, jax.lax.stop_gradient(layer.momentum * old + (1 - layer.momentum) * new))
    factor = jax.lax.rsqrt(variance + layer.epsilon) * p.of(layer.gamma)
    return (x - mean) * factor + p.of(layer.beta)
