"""The convolutional backbone: WaveNet in the chapter's form."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.networks.backbone import Backbone
from service.networks.layers import make_normalization, normalize
from service.networks.operations import State, Tensor

DILATIONS = (1, 2, 4, 8)


class DilatedConv(keras.layers.Layer):
    """A causal convolution of kernel 2 with ReLU, as one product: of the steps beside the steps before them.

    The same arithmetic and weights as `Conv1D(filters, 2, dilation_rate, activation="relu")`.
    """

    def __init__(self, filters: int, dilation: int, kernel_initializer: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.dilation = dilation
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.width = int(input_shape[-1] or 1)
        shape = (2, self.width, self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        self.built = True

    def convolve(self, xp: Any, older: Tensor, newer: Tensor) -> Tensor:
        """Steps `dilation` before, and the steps themselves: [batch, time, features] -> [batch, time, filters]."""
        kernel = xp.reshape(xp.weight(self.kernel), (2 * self.width, self.filters))
        return xp.relu(xp.matmul(xp.concatenate([older, newer], axis=2), kernel) + xp.weight(self.bias))


class WaveNetBackbone(Backbone):
    """Stacks of causal convolutions with dilations 1, 2, 4, 8.

    The state is each layer's last inputs, as many as it is dilated: [batch, dilation, features].
    Source: A. van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016, in the chapter's plain form.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        dilations = DILATIONS * recipe.layers
        self.convs = [DilatedConv(recipe.units, d, recipe.kernel_initializer) for d in dilations]
        self.norms = [make_normalization(recipe.normalization) for _ in dilations]
        self.rate = recipe.dropout
        self.width = recipe.units
        self._feeds_single_points = recipe.horizon == 1 and recipe.normalization == "none"

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            conv.build((None, None, width))
            norm.build((None, None, conv.filters))
            width = conv.filters
        self.built = True

    def steps(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = xp.expand_dims(x, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            older = xp.pad(x, conv.dilation, 0)[:, : -conv.dilation]
            x = xp.dropout(normalize(xp, norm, conv.convolve(xp, older, x)), self.rate)
        return x, lengths

    def begin(self, xp: Any, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        last, state = self._read_end(xp, x, lengths, with_state=True)
        if self._has_queues(xp):
            state = [xp.concatenate([xp.reshape(kept, (xp.size(kept, 0), -1)) for kept in state], axis=1)]
        return last, state

    def last(self, xp: Any, x: Tensor, lengths: Tensor | None) -> Tensor:
        return self._read_end(xp, x, lengths, with_state=False)[0]

    def _read_end(self, xp: Any, x: Tensor, lengths: Tensor | None, *, with_state: bool) -> tuple[Tensor, State]:
        """From the end backwards: only the points that the forecast, or the state, depends on."""
        needed = self._needed(with_state)
        width = needed[0][-1] + 1
        ends = xp.full((xp.size(x, 0),), xp.size(x, 1)) if lengths is None else lengths
        positions = xp.expand_dims(ends - width, 1) + xp.expand_dims(xp.arange(width), 0)  # [batch, width]
        own = xp.expand_dims(xp.cast(positions >= 0, "float32"), 2)
        x = xp.expand_dims(xp.pick(x, xp.maximum(positions, 0)), 2) * own  # [batch, width, 1]
        state: State = []
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            inputs, outputs = needed[i], needed[i + 1]
            if with_state:
                state.append(_take(xp, x, inputs, range(conv.dilation)))
            older = _take(xp, x, inputs, [point + conv.dilation for point in outputs])
            x = normalize(xp, norm, conv.convolve(xp, older, _take(xp, x, inputs, outputs)))
            if i + 1 < len(self.convs):
                # Before a series' start every layer reads zeros, whatever the layer before it made of them.
                x = x * _take(xp, own, range(width), outputs)
        return _take(xp, x, needed[-1], [0])[:, 0], state

    def resume(self, xp: Any, block: Tensor, state: State) -> tuple[Tensor, State]:
        if self._has_queues(xp):
            return self._step(xp, block, state[0])
        x = xp.expand_dims(block, 2)
        after: State = []
        for conv, norm, before in zip(self.convs, self.norms, state, strict=True):
            padded = xp.concatenate([before, x], axis=1)
            after.append(padded[:, -conv.dilation :])
            x = normalize(xp, norm, conv.convolve(xp, padded[:, : -conv.dilation], x))
        return x[:, -1], after

    def _has_queues(self, xp: Any) -> bool:
        """Whether single points go through all layers' queues at once, which earns something where weights fold."""
        return self._feeds_single_points and bool(xp.folds_weights)

    def _step(self, xp: Any, x: Tensor, queues: Tensor) -> tuple[Tensor, State]:
        """One further point [batch, 1] through all layers, in as few operations as may be.

        A step is so little arithmetic that it costs what its operations cost. So the oldest inputs of all layers are
        multiplied by all kernels' older halves at once, one block for each layer on a diagonal; each layer adds its
        newest input's share.
        """
        oldest, order = self._places()
        kernels = [xp.weight(conv.kernel) for conv in self.convs]
        bias = np.concatenate([xp.weight(conv.bias) for conv in self.convs])
        older = np.zeros((len(oldest), len(bias)), np.float32)
        row = 0
        for i, kernel in enumerate(kernels):
            older[row : row + len(kernel[0]), i * self.width : (i + 1) * self.width] = kernel[0]
            row += len(kernel[0])
        past = xp.multiply_add(xp.take(queues, oldest, axis=1), older, bias)
        inputs = []
        for kernel, share in zip(kernels, xp.split(past, len(kernels), axis=1), strict=True):
            inputs.append(x)
            x = xp.relu(xp.multiply_add(x, kernel[1], share))
        return x, [xp.take(xp.concatenate([queues, *inputs], axis=1), order, axis=1)]

    def _places(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Where each layer's oldest input stands in the queues; and where what the queues hold next does, in the
        queues with all layers' newest inputs behind them."""
        n_kept = sum(conv.dilation * conv.width for conv in self.convs)
        oldest: list[NDArray[np.int64]] = []
        order: list[NDArray[np.int64]] = []
        queue = newest = 0
        for conv in self.convs:
            oldest.append(queue + np.arange(conv.width))
            # Each queue moves on by one input, and the newest follows.
            order += [queue + np.arange(conv.width, conv.dilation * conv.width)]
            order += [n_kept + newest + np.arange(conv.width)]
            queue, newest = queue + conv.dilation * conv.width, newest + conv.width
        return np.concatenate(oldest).astype(np.int32), np.concatenate(order).astype(np.int32)

    def _needed(self, with_state: bool) -> list[list[int]]:
        """For the input of each layer, and the output of the last, which points are needed: how far before the end."""
        needed = [[0]]
        for conv in reversed(self.convs):
            outputs = needed[0]
            kept = range(conv.dilation) if with_state else ()
            needed.insert(0, sorted({*outputs, *(point + conv.dilation for point in outputs), *kept}))
        return needed


def _take(xp: Any, x: Tensor, there: Any, wanted: Any) -> Tensor:
    """Some of the points that there are, both told by how far before the end they are; the oldest stands first."""
    index = {point: len(there) - 1 - i for i, point in enumerate(there)}
    positions = [index[point] for point in reversed(list(wanted))]
    first, last = positions[0], positions[-1]
    if positions != list(range(first, last + 1)):
        return xp.take(x, np.array(positions, np.int32), axis=1)
    return x if len(positions) == len(there) else x[:, first : last + 1]
