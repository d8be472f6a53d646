"""Bodies as operators: what `service.zoo.bodies` computes, for series [batch, time] and lengths int64 [batch]."""

from typing import Protocol

import numpy as np

from service.domain.recipes.recipe import CONV_KERNEL, CONV_STRIDE
from service.training.translation.builder import FLOAT, Builder, Value, ints, scalar
from service.training.translation.recurrent import RecurrentStack, State
from service.training.translation.wavenet import WaveNet
from service.zoo.bodies import AnyBody, LagBody, ValueBody, WindowBody
from service.zoo.recurrent import ConvRecurrentBody, RecurrentBody
from service.zoo.wavenet import WaveNetBody


class Body(Protocol):
    """A body's three ways to read, as in `service.zoo.bodies`; what nobody needs is not computed."""

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        """Series [batch, time] -> features at each row's last point [batch, features], and the state after it."""
        ...

    def last(self, b: Builder, x: Value, lengths: Value) -> Value:
        """The features of `begin` alone."""
        ...

    def resume(self, b: Builder, block: Value, state: State) -> tuple[Value, State]:
        """Further points [batch, k] -> features at the last of them, and the state after it."""
        ...

    def steps(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, Value]:
        """Features at every step [batch, steps, features], and each row's own count of steps int64 [batch]."""
        ...


class Last:
    """The value itself."""

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        value = self.last(b, x, lengths)
        return value, [value]

    def last(self, b: Builder, x: Value, lengths: Value) -> Value:
        return b.pick(x, _ends(b, lengths))

    def resume(self, b: Builder, block: Value, state: State) -> tuple[Value, State]:
        value = b.slice(block, -1, None, 1)
        return value, [value]

    def steps(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, Value]:
        return b.op("Unsqueeze", x, ints(2)), lengths


class Lags:
    """The last `window` values."""

    def __init__(self, window: int) -> None:
        self._window = window

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        values = self.last(b, x, lengths)
        return values, [values]

    def last(self, b: Builder, x: Value, lengths: Value) -> Value:
        return b.pick(x, self._positions(b, lengths))

    def resume(self, b: Builder, block: Value, state: State) -> tuple[Value, State]:
        values = self._slide(b, state[0], block)
        return values, [values]

    def steps(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, Value]:
        padded = b.op("Pad", x, ints(0, self._window - 1, 0, 0), scalar(0))
        starts = b.op("Unsqueeze", b.range(b.size(x, 1)), ints(1))
        return b.op("Gather", padded, b.op("Add", starts, np.arange(self._window)), axis=1), lengths

    def _positions(self, b: Builder, lengths: Value) -> Value:
        """Where each row's last `window` points are; negative before its start: int64 [batch, window]."""
        first = b.op("Sub", b.op("Unsqueeze", lengths, ints(1)), scalar(self._window, np.int64))
        return b.op("Add", first, np.arange(self._window))

    def _slide(self, b: Builder, older: Value, block: Value) -> Value:
        return b.slice(b.op("Concat", older, block, axis=1), -self._window, None, 1)


class Window(Lags):
    """The last `window` values and, for each, whether it is one."""

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        positions = self._positions(b, lengths)
        own = b.cast(b.op("GreaterOrEqual", positions, scalar(0, np.int64)), FLOAT)
        values = b.op("Mul", b.pick(x, b.op("Max", positions, scalar(0, np.int64))), own)
        return b.op("Concat", values, own, axis=1), [values, own]

    def last(self, b: Builder, x: Value, lengths: Value) -> Value:
        return self.begin(b, x, lengths)[0]

    def resume(self, b: Builder, block: Value, state: State) -> tuple[Value, State]:
        values = self._slide(b, state[0], block)
        there = b.op("Expand", scalar(1), b.op("Shape", block))
        own = self._slide(b, state[1], there)
        return b.op("Concat", values, own, axis=1), [values, own]

    def steps(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, Value]:
        values, _ = super().steps(b, x, lengths)
        there = b.op("Expand", scalar(1), b.op("Shape", x))
        own, _ = super().steps(b, there, lengths)
        return b.op("Concat", values, own, axis=2), lengths


class Recurrent:
    """A stack of recurrent layers."""

    def __init__(self, body: RecurrentBody, *, many: bool) -> None:
        self._stack = RecurrentStack(body, many=many)

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        _, last, state = self._stack.run(b, self._by_time(b, x), None, lengths)
        return last, state

    def last(self, b: Builder, x: Value, lengths: Value) -> Value:
        return self.begin(b, x, lengths)[0]

    def resume(self, b: Builder, block: Value, state: State) -> tuple[Value, State]:
        _, last, after = self._stack.run(b, self._by_time(b, block), state, None)
        return last, after

    def steps(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, Value]:
        outputs, _, _ = self._stack.run(b, self._by_time(b, x), None, None)
        return b.op("Transpose", outputs, perm=[1, 0, 2]), lengths

    def _by_time(self, b: Builder, x: Value) -> Value:
        return b.op("Unsqueeze", b.op("Transpose", x, perm=[1, 0]), ints(2))


class ConvRecurrent:
    """A strided convolution that halves the sequence, then recurrent layers."""

    def __init__(self, body: ConvRecurrentBody, *, many: bool) -> None:
        self._stack = RecurrentStack(body.recurrent, many=many)
        self._kernel = np.asarray(body.conv.kernel).transpose(2, 1, 0)
        self._bias = np.asarray(body.conv.bias)

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        shorter, steps = self._downsample(b, x, lengths)
        _, last, state = self._stack.run(b, shorter, None, steps)
        overlap = CONV_KERNEL - CONV_STRIDE
        first = b.op("Sub", b.op("Unsqueeze", lengths, ints(1)), scalar(overlap, np.int64))
        return last, [b.pick(x, b.op("Add", first, np.arange(overlap))), *state]

    def last(self, b: Builder, x: Value, lengths: Value) -> Value:
        shorter, steps = self._downsample(b, x, lengths)
        return self._stack.run(b, shorter, None, steps)[1]

    def resume(self, b: Builder, block: Value, state: State) -> tuple[Value, State]:
        tail, *recurrent = state
        x = b.op("Concat", tail, block, axis=1)
        _, last, after = self._stack.run(b, self._convolve(b, x), recurrent, None)
        return last, [b.slice(x, -(CONV_KERNEL - CONV_STRIDE), None, 1), *after]

    def steps(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, Value]:
        shorter, steps = self._downsample(b, x, lengths)
        outputs, _, _ = self._stack.run(b, shorter, None, None)
        return b.op("Transpose", outputs, perm=[1, 0, 2]), steps

    def _downsample(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, Value]:
        """Each row without its own oldest points, convolved [steps, batch, units], and its count of steps."""
        rest = b.op("Sub", lengths, scalar(CONV_KERNEL, np.int64))
        oldest = b.op("Unsqueeze", b.op("Mod", rest, scalar(CONV_STRIDE, np.int64)), ints(1))
        time = b.size(x, 1)
        positions = b.op("Add", b.op("Unsqueeze", b.range(time), ints(0)), oldest)
        shifted = b.pick(x, b.op("Min", positions, b.op("Sub", time, scalar(1, np.int64))))
        halves = b.op("Div", rest, scalar(CONV_STRIDE, np.int64))
        return self._convolve(b, shifted), b.op("Add", halves, scalar(1, np.int64))

    def _convolve(self, b: Builder, x: Value) -> Value:
        """[batch, time] -> [steps, batch, units]."""
        channels = b.op(
            "Conv", b.op("Unsqueeze", x, ints(1)), self._kernel, self._bias, strides=[CONV_STRIDE]
        )  # [batch, units, steps]
        return b.op("Transpose", channels, perm=[2, 0, 1])


def translate_body(body: AnyBody, block: int, *, many: bool) -> Body:
    """The operators of a built body.

    Args:
        block: how many points are fed back at a time.
        many: whether they are for large batches.
    """
    match body:
        case ValueBody():
            return Last()
        case WindowBody():
            return Window(body.window)
        case LagBody():
            return Lags(body.window)
        case RecurrentBody():
            return Recurrent(body, many=many)
        case ConvRecurrentBody():
            return ConvRecurrent(body, many=many)
        case WaveNetBody():
            return WaveNet(body, block)


def _ends(b: Builder, lengths: Value) -> Value:
    """Where each row's last point is: [batch, 1]."""
    return b.op("Unsqueeze", b.op("Sub", lengths, scalar(1, np.int64)), ints(1))
