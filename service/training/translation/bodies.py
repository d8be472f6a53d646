"""Bodies as operators: what `service.zoo.bodies` computes, for series [batch, time] and lengths int64 [batch]."""

from typing import Protocol

import numpy as np

from service.domain.recipe import CONV_KERNEL, CONV_STRIDE
from service.training.translation.builder import FLOAT, INT32, Builder, Value, ints, scalar
from service.training.translation.layers import normalize
from service.training.translation.recurrent import RecurrentStack, State
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
        raise NotImplementedError("no head of this body answers at every step")


class Recurrent:
    """A stack of recurrent layers."""

    def __init__(self, body: RecurrentBody) -> None:
        self._stack = RecurrentStack(body)

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        _, last, state = self._stack.run(b, self._by_time(b, x), None, b.cast(lengths, INT32))
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

    def __init__(self, body: ConvRecurrentBody) -> None:
        self._stack = RecurrentStack(body.recurrent)
        self._kernel = np.asarray(body.conv.kernel).transpose(2, 1, 0)
        self._bias = np.asarray(body.conv.bias)

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        shorter, steps = self._downsample(b, x, lengths)
        _, last, state = self._stack.run(b, shorter, None, b.cast(steps, INT32))
        overlap = CONV_KERNEL - CONV_STRIDE
        first = b.op("Sub", b.op("Unsqueeze", lengths, ints(1)), scalar(overlap, np.int64))
        return last, [b.pick(x, b.op("Add", first, np.arange(overlap))), *state]

    def last(self, b: Builder, x: Value, lengths: Value) -> Value:
        shorter, steps = self._downsample(b, x, lengths)
        return self._stack.run(b, shorter, None, b.cast(steps, INT32))[1]

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


class WaveNet:
    """Dilated causal convolutions. At a series' end only the points are computed that the forecast depends on."""

    def __init__(self, body: WaveNetBody) -> None:
        self._layers = [
            (conv.dilation, np.concatenate(list(np.asarray(conv.kernel))), np.asarray(conv.bias), norm)
            for conv, norm in zip(body.convs, body.norms, strict=True)
        ]
        # For each layer the last of its inputs that a resumed one needs: as many as it is dilated.
        self._dilations = [dilation for dilation, *_ in self._layers]

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        return self._from_end(b, x, lengths, with_state=True)

    def last(self, b: Builder, x: Value, lengths: Value) -> Value:
        return self._from_end(b, x, lengths, with_state=False)[0]

    def resume(self, b: Builder, block: Value, state: State) -> tuple[Value, State]:
        x = b.op("Unsqueeze", block, ints(2))
        after: State = []
        for (dilation, *weights), older in zip(self._layers, state, strict=True):
            padded = b.op("Concat", older, x, axis=1)
            after.append(b.slice(padded, -dilation, None, 1))
            x = self._convolve(b, b.slice(padded, 0, -dilation, 1), x, *weights)
        return b.op("Squeeze", b.slice(x, -1, None, 1), ints(1)), after

    def steps(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, Value]:
        x = b.op("Unsqueeze", x, ints(2))
        for dilation, *weights in self._layers:
            padded = b.op("Pad", x, ints(0, dilation, 0, 0, 0, 0), scalar(0))
            x = self._convolve(b, b.slice(padded, 0, -dilation, 1), x, *weights)
        return x, lengths

    def _from_end(self, b: Builder, x: Value, lengths: Value, *, with_state: bool) -> tuple[Value, State]:
        """Features at the end, computed from it backwards. Points are named by how far before the end they are."""
        needed = self._needed(with_state)
        width = needed[0][-1] + 1
        first = b.op("Sub", b.op("Unsqueeze", lengths, ints(1)), scalar(width, np.int64))
        positions = b.op("Add", first, np.arange(width))  # [batch, width]
        own = b.cast(b.op("GreaterOrEqual", positions, scalar(0, np.int64)), FLOAT)
        own = b.op("Unsqueeze", own, ints(2))
        x = b.op("Unsqueeze", b.pick(x, b.op("Max", positions, scalar(0, np.int64))), ints(2))
        x = b.op("Mul", x, own)  # [batch, width, 1]
        state: State = []
        for i, (dilation, *weights) in enumerate(self._layers):
            inputs, outputs = needed[i], needed[i + 1]
            if with_state:
                state.append(self._take(b, x, inputs, list(range(dilation - 1, -1, -1))))
            older = self._take(b, x, inputs, [p + dilation for p in reversed(outputs)])
            newer = self._take(b, x, inputs, list(reversed(outputs)))
            x = self._convolve(b, older, newer, *weights)
            if i + 1 < len(self._layers):
                # Before a series' start every layer reads zeros, whatever the layer before it made of them.
                x = b.op("Mul", x, self._take(b, own, list(range(width)), list(reversed(outputs))))
        return b.op("Squeeze", self._take(b, x, needed[-1], [0]), ints(1)), state

    def _needed(self, with_state: bool) -> list[list[int]]:
        """For the input of each layer, and the output of the last, which points are needed: ascending."""
        needed = [[0]]
        for dilation in reversed(self._dilations):
            outputs = needed[0]
            kept = range(dilation) if with_state else ()
            needed.insert(0, sorted({*outputs, *(p + dilation for p in outputs), *kept}))
        return needed

    def _take(self, b: Builder, x: Value, there: list[int], wanted: list[int]) -> Value:
        """Some of the points that there are; the oldest stands first."""
        index = {point: len(there) - 1 - i for i, point in enumerate(there)}
        positions = [index[point] for point in wanted]
        if positions == list(range(len(there))):
            return x
        if positions == list(range(positions[0], positions[-1] + 1)):
            return b.slice(x, positions[0], positions[-1] + 1, 1)
        return b.op("Gather", x, ints(*positions), axis=1)

    def _convolve(self, b: Builder, older: Value, newer: Value, kernel: object, bias: object, norm: object) -> Value:
        both = b.op("Concat", older, newer, axis=2)
        linear = b.op("Add", b.op("MatMul", both, np.asarray(kernel)), np.asarray(bias))
        return normalize(b, b.op("Relu", linear), norm)


def translate_body(body: AnyBody) -> Body:
    """The operators of a built body."""
    match body:
        case ValueBody():
            return Last()
        case WindowBody():
            return Window(body.window)
        case LagBody():
            return Lags(body.window)
        case RecurrentBody():
            return Recurrent(body)
        case ConvRecurrentBody():
            return ConvRecurrent(body)
        case WaveNetBody():
            return WaveNet(body)


def _ends(b: Builder, lengths: Value) -> Value:
    """Where each row's last point is: [batch, 1]."""
    return b.op("Unsqueeze", b.op("Sub", lengths, scalar(1, np.int64)), ints(1))
