"""WaveNet's body as operators: what `service.zoo.wavenet` computes."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.training.translation.builder import FLOAT, Builder, Value, ints, scalar
from service.training.translation.layers import normalize
from service.training.translation.recurrent import State
from service.zoo.wavenet import WaveNetBody


class Queues:
    """One further point through dilated convolutions of kernel 2, in as few operators as may be.

    A step is so little arithmetic that it costs what its operators cost. So the past inputs of all layers stand in one
    array, whose oldest are multiplied by all kernels' older halves at once; each layer adds its newest input's share.
    """

    def __init__(self, layers: Sequence[tuple[int, NDArray[Any], NDArray[Any], Any]]) -> None:
        """Args: `layers` are dilations, kernels [2 features, units] whose older halves stand first, biases, norms."""
        widths = [len(kernel) // 2 for _, kernel, *_ in layers]
        self._units = [len(bias) for _, _, bias, _ in layers]
        self._newer = [kernel[width:] for (_, kernel, *_), width in zip(layers, widths, strict=True)]
        self._bias = np.concatenate([bias for _, _, bias, _ in layers])
        # One block for each layer, on the diagonal.
        self._older = np.zeros((sum(widths), sum(self._units)), np.float32)
        oldest: list[NDArray[np.int64]] = []
        order: list[NDArray[np.int64]] = []
        n_kept = sum(dilation * width for (dilation, *_), width in zip(layers, widths, strict=True))
        row = column = queue = 0
        for (dilation, kernel, bias, _), width in zip(layers, widths, strict=True):
            self._older[row : row + width, column : column + len(bias)] = kernel[:width]
            oldest.append(queue + np.arange(width))
            # Each queue moves on by one input, and the newest follows.
            order += [queue + np.arange(width, dilation * width), n_kept + row + np.arange(width)]
            row, column, queue = row + width, column + len(bias), queue + dilation * width
        self._oldest = np.concatenate(oldest)
        self._order = np.concatenate(order)

    def join(self, b: Builder, state: State) -> State:
        """Each layer's last inputs [batch, dilation, features], the oldest first, as one array [batch, all]."""
        return [b.op("Concat", *(b.op("Flatten", inputs, axis=1) for inputs in state), axis=1)]

    def step(self, b: Builder, x: Value, state: State) -> tuple[Value, State]:
        """A point [batch, 1] -> features [batch, features], and the state after it."""
        (queues,) = state
        past = b.op("Gemm", b.op("Gather", queues, self._oldest, axis=1), self._older, self._bias)
        shares = b.ops("Split", len(self._units), past, ints(*self._units), axis=1)
        inputs = []
        for kernel, share in zip(self._newer, shares, strict=True):
            inputs.append(x)
            x = b.op("Relu", b.op("Gemm", x, kernel, share))
        after = b.op("Gather", b.op("Concat", queues, *inputs, axis=1), self._order, axis=1)
        return x, [after]


class WaveNet:
    """Dilated causal convolutions. At a series' end only the points are computed that the forecast depends on."""

    def __init__(self, body: WaveNetBody, block: int) -> None:
        self._layers = [
            (conv.dilation, np.concatenate(list(np.asarray(conv.kernel))), np.asarray(conv.bias), norm)
            for conv, norm in zip(body.convs, body.norms, strict=True)
        ]
        # For each layer the last of its inputs that a resumed one needs: as many as it is dilated.
        self._dilations = [dilation for dilation, *_ in self._layers]
        is_plain = all(isinstance(norm, keras.layers.Identity) for *_, norm in self._layers)
        self._queues = Queues(self._layers) if block == 1 and is_plain else None

    def begin(self, b: Builder, x: Value, lengths: Value) -> tuple[Value, State]:
        last, state = self._from_end(b, x, lengths, with_state=True)
        return last, state if self._queues is None else self._queues.join(b, state)

    def last(self, b: Builder, x: Value, lengths: Value) -> Value:
        return self._from_end(b, x, lengths, with_state=False)[0]

    def resume(self, b: Builder, block: Value, state: State) -> tuple[Value, State]:
        if self._queues is not None:
            return self._queues.step(b, block, state)
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
