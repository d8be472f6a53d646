"""TensorFlow computes networks, in the graphs of a SavedModel. Rows and steps may be of any number."""

from typing import Any

import numpy as np
import tensorflow as tf

from service.networks.operations import LoopStep, Operations, ScanStep, State, Tensor


class TensorFlowOperations(Operations):
    """NumPy's names for TensorFlow's functions, and its loops."""

    abs = staticmethod(tf.abs)
    arange = staticmethod(tf.range)
    cast = staticmethod(tf.cast)
    constant = staticmethod(tf.constant)
    equal = staticmethod(tf.equal)
    exp = staticmethod(tf.exp)
    expand_dims = staticmethod(tf.expand_dims)
    floor = staticmethod(tf.floor)
    full = staticmethod(tf.fill)
    isfinite = staticmethod(tf.math.is_finite)
    log = staticmethod(tf.math.log)
    maximum = staticmethod(tf.maximum)
    minimum = staticmethod(tf.minimum)
    ones_like = staticmethod(tf.ones_like)
    repeat = staticmethod(tf.repeat)
    reshape = staticmethod(tf.reshape)
    relu = staticmethod(tf.nn.relu)
    sigmoid = staticmethod(tf.sigmoid)
    softmax = staticmethod(tf.nn.softmax)
    sort = staticmethod(tf.sort)
    split = staticmethod(tf.split)
    sqrt = staticmethod(tf.sqrt)
    tanh = staticmethod(tf.tanh)
    transpose = staticmethod(tf.transpose)
    where = staticmethod(tf.where)
    zeros = staticmethod(tf.zeros)
    zeros_like = staticmethod(tf.zeros_like)
    mean = staticmethod(tf.reduce_mean)
    sum = staticmethod(tf.reduce_sum)
    max = staticmethod(tf.reduce_max)
    min = staticmethod(tf.reduce_min)
    cumsum = staticmethod(tf.cumsum)

    def weight(self, variable: Any) -> Tensor:
        return tf.convert_to_tensor(variable)

    def gelu(self, x: Tensor) -> Tensor:
        return tf.nn.gelu(x, approximate=False)

    def size(self, x: Tensor, axis: int) -> Tensor:
        static = x.shape[axis]
        return tf.shape(x)[axis] if static is None else static

    def concatenate(self, tensors: list[Tensor], axis: int) -> Tensor:
        return tf.concat(tensors, axis)

    def take(self, x: Tensor, indices: Tensor, axis: int) -> Tensor:
        return tf.gather(x, indices, axis=axis)

    def pick(self, values: Tensor, positions: Tensor) -> Tensor:
        return tf.gather(values, positions, batch_dims=1)

    def pad(self, x: Tensor, before: Any, after: Any, axis: int = 1) -> Tensor:
        pads: list[Any] = [[0, 0]] * x.shape.rank
        pads[axis] = [before, after]
        return tf.pad(x, pads)

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        if not len(x.shape) > len(y.shape) == 2:
            return tf.matmul(x, y)
        # One product for all steps: the batched one would compute each row's by itself. What `tf.tensordot` computes,
        # which a dozen operations tell the shapes of.
        width, units = self.size(y, 0), self.size(y, 1)
        product = tf.matmul(tf.reshape(x, [-1, width]), y)
        return tf.reshape(product, [*self._sizes_before_last(x), units])

    def scan(self, step: ScanStep, state: State, values: Tensor, lengths: Tensor | None) -> tuple[Tensor, State]:
        if values.shape[0] == 1:
            state = step(state, values[0])
            return state[0][None], state
        time = self.size(values, 0)
        inputs = tf.TensorArray(tf.float32, size=time).unstack(values)
        outputs = tf.TensorArray(tf.float32, size=time, element_shape=[None, state[0].shape[-1]])

        def body(i: Tensor, before: State, outputs: Any) -> tuple[Any, ...]:
            after = step(before, tf.ensure_shape(inputs.read(i), [None, values.shape[-1]]))
            if lengths is not None:
                is_own = (i < lengths)[:, None]
                after = [tf.where(is_own, new, old) for new, old in zip(after, before, strict=True)]
            return i + 1, _as(before, after), outputs.write(i, after[0])

        start = (tf.constant(0), state, outputs)
        _, state, outputs = tf.while_loop(lambda i, *_: i < time, body, start)
        return outputs.stack(), state

    def loop(self, step: LoopStep, state: State, trips: Any, *, width: int) -> Tensor:
        # Without a trip nothing would tell the shape of what is stacked: one block of zeros does, and is cut off.
        zeros = self.zeros_of(state[0], width)
        blocks = tf.TensorArray(tf.float32, size=tf.maximum(trips, 1), element_shape=[None, width]).write(0, zeros)

        def body(i: Tensor, carried: State, blocks: Any) -> tuple[Any, ...]:
            after, block = step(i, carried)
            return i + 1, _as(carried, after), blocks.write(i, block)

        start = (tf.constant(0), state, blocks)
        stacked = tf.while_loop(lambda i, *_: i < trips, body, start)[-1].stack()
        return tf.transpose(stacked, [1, 0, 2])[:, :trips]

    def _sizes_before_last(self, x: Tensor) -> list[Tensor]:
        """A shape's sizes but the last, with -1 for the only one that the graph does not know."""
        known = list(x.shape)[:-1]
        if known.count(None) <= 1:
            return [-1 if size is None else size for size in known]
        return tf.unstack(tf.shape(x)[:-1], num=len(known))

    def zeros_of(self, rows: Tensor, units: int) -> Tensor:
        return tf.zeros(tf.stack([tf.shape(rows)[0], units]), np.float32)


def _as(before: State, after: State) -> State:
    """A step's tensors, with the static shapes of those before it."""
    return [tf.ensure_shape(new, old.shape) for new, old in zip(after, before, strict=True)]
