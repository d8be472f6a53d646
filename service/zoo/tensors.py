"""Tensors as the bodies pass them on, and picking rows' own positions out of padded ones."""

from typing import Any

from keras import ops

# A tensor, and a state: a flat list of tensors, batch first.
Tensor = Any
State = list[Any]


def pick(values: Tensor, positions: Tensor) -> Tensor:
    """Rows' own positions: values [batch, time, features], positions [batch, k] -> [batch, k, features]."""
    return ops.take_along_axis(values, ops.expand_dims(positions, -1), axis=1)


def last_of(values: Tensor, lengths: Tensor) -> Tensor:
    """Values at each row's last point: [batch, time, features], [batch] -> [batch, features]."""
    return pick(values, ops.expand_dims(lengths, 1) - 1)[:, 0]
