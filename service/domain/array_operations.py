"""Array operations under one set of names, in which formulas are written that several libraries compute.

`xp` has NumPy's functions by NumPy's names, and the few of this module that NumPy lacks. Here NumPy computes them; for
networks `service.networks.operations` says what else there is, and JAX, TensorFlow and ONNX graphs compute them too.
"""

from typing import Any

import numpy as np

Array = Any


class ArrayOperations:
    """The operations of a module with NumPy's functions: NumPy itself, or `jax.numpy`."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def cast(self, x: Array, dtype: str) -> Array:
        """An array in another type: `float32`, `float64` or `int32`."""
        return self._module.asarray(x).astype(dtype)

    def constant(self, x: Array) -> Array:
        """An array of NumPy, where it is to be cut at positions that the library computes."""
        return self._module.asarray(x)

    def size(self, x: Array, axis: int) -> Any:
        """The length of an axis."""
        return x.shape[axis]

    def pick(self, values: Array, positions: Array) -> Array:
        """Each row's own positions: values [batch, time, ..], positions [batch, k] -> [batch, k, ..]."""
        positions = positions.reshape(*positions.shape, *(1,) * (values.ndim - 2))
        return self._module.take_along_axis(values, positions, axis=1)

    def pad(self, x: Array, before: Any, after: Any, axis: int = 1) -> Array:
        """Zeros before and after along an axis."""
        pads = [(0, 0)] * x.ndim
        pads[axis] = (before, after)
        return self._module.pad(x, pads)


NUMPY = ArrayOperations(np)
