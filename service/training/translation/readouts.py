"""Readouts as operators: features [batch, features] to forecasts [batch, horizon]."""

from typing import Any

import keras
import numpy as np

from service.training.translation.arrays import Arrays
from service.training.translation.builder import Builder, Value, ints, scalar
from service.training.translation.layers import dense, normalize
from service.training.translation.recurrent import RecurrentLayer, State
from service.zoo.readouts import Affine, Correction, Decoder, Repeat, Residual, Uncorrected, Unrolled


def translate_readout(b: Builder, readout: Any, features: Value, last_value: Value, state: State) -> Value:
    """What a built readout makes of features. A decoder reads the last value [batch, 1] and the state instead.

    Features of all steps [batch, steps, features] give [batch, steps, horizon], where the readout allows it.
    """
    match readout:
        case Repeat():
            return b.op("Concat", *[features] * readout.horizon, axis=-1)
        case keras.layers.Identity():
            return features
        case keras.layers.Dense():
            return dense(b, features, readout)
        case Decoder():
            return _decode(b, readout, last_value, state)
        case Unrolled():
            return _unroll(b, readout, features)
        case Uncorrected():
            return _base(b, readout, features)
        case Affine():
            (values, *_), base = _read(b, readout, features)
            return b.op("Add", dense(b, values, readout.answer), base)
        case Residual():
            return _residual(b, readout, features)
    raise TypeError(f"no operators for the readout {type(readout).__name__}")


def _read(b: Builder, readout: Correction, features: Value) -> tuple[list[Value], Value]:
    """As `Correction.read`."""
    values = b.slice(features, readout.window - readout.focus, readout.window, -1)
    own = b.slice(features, -readout.focus, None, -1)
    count = b.op("Max", b.op("ReduceSum", own, ints(-1), keepdims=1), scalar(1))
    mean = b.op("Div", b.op("ReduceSum", values, ints(-1), keepdims=1), count)
    base = _base(b, readout, features)
    read = [b.op("Mul", b.op("Sub", values, mean), own), own]
    return read + ([] if readout.theta is None else [b.op("Sub", base, mean)]), base


def _base(b: Builder, readout: Correction, features: Value) -> Value:
    values = b.slice(features, 0, readout.window, -1)
    own = b.slice(features, readout.window, None, -1)
    if readout.theta is not None:
        arrays = Arrays(b)
        forecast: Value = readout.theta.forecast(arrays, arrays.traced(values), arrays.traced(own)).value
        return forecast
    season = b.slice(values, readout.window - readout.season, None, -1)
    known = b.op("Greater", b.slice(own, readout.window - readout.season, None, -1), scalar(0))
    season = b.op("Where", known, season, b.slice(values, -1, None, -1))
    return b.op("Gather", season, np.arange(readout.horizon) % readout.season, axis=-1)


def _residual(b: Builder, readout: Residual, features: Value) -> Value:
    read, base = _read(b, readout, features)
    x = dense(b, b.op("Concat", *read, axis=-1), readout.embed)
    for norm, wide, narrow in zip(readout.norms[:-1], readout.wide, readout.narrow, strict=True):
        x = b.op("Add", x, dense(b, dense(b, normalize(b, x, norm), wide), narrow))
    return b.op("Add", dense(b, normalize(b, x, readout.norms[-1]), readout.answer), base)


def _unroll(b: Builder, readout: Unrolled, features: Value) -> Value:
    first = b.op("Unsqueeze", features, ints(0))
    x = b.op("Pad", first, ints(0, 0, 0, readout.horizon - 1, 0, 0), scalar(0))  # [horizon, batch, features]
    for layer in readout.recurrent:
        x, _ = RecurrentLayer(layer.cell).run(b, x, None, None)
    return b.op("Transpose", b.op("Squeeze", dense(b, x, readout.answer), ints(2)), perm=[1, 0])


def _decode(b: Builder, readout: Decoder, last_value: Value, state: State) -> Value:
    """Cells that are fed their own answers, one step after the other."""
    cell = readout.recurrent.cell
    layers = [RecurrentLayer(inner) for inner in cell.cells]

    def step(inner: Builder, number: Value, carried: list[Value]) -> tuple[list[Value], Value]:
        del number
        *states, value = carried
        x = inner.op("Unsqueeze", value, ints(0))  # [1, batch, 1]
        after = []
        for layer, before in zip(layers, states, strict=True):
            x, (new,) = layer.run(inner, x, [before], None)
            after.append(new)
        answer = dense(inner, inner.op("Squeeze", x, ints(0)), cell.answer)  # [batch, 1]
        return [*after, answer], answer

    n_steps = b.op("Identity", ints(readout.horizon))
    answers = b.loop(n_steps, [*state, last_value], step)  # [horizon, batch, 1]
    return b.op("Transpose", b.op("Squeeze", answers, ints(2)), perm=[1, 0])
