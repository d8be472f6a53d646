"""The operators of ONNX that run a recurrent cell, and Keras' weights in their order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.networks.operations import CellWeights

# Keras' gates are input, forget, cell, output; the operator's are input, output, forget, cell.
_LSTM_GATES = (0, 3, 1, 2)


def native_operator(weights: CellWeights) -> tuple[str, list[NDArray[np.float32]], dict[str, Any]]:
    """The native operator of a cell, its weights and attributes."""
    kernel, recurrent, bias = weights.kernel, weights.recurrent, weights.bias
    match weights.kind:
        case "simple":
            second, operator, attributes = np.zeros_like(bias), "RNN", {}
        case "gru":
            # The gates stand in the same order. Keras applies the reset gate after the recurrent product.
            second, operator, attributes = weights.recurrent_bias, "GRU", {"linear_before_reset": 1}
        case "lstm":
            kernel, recurrent, bias = (_to_lstm_operator(one) for one in (kernel, recurrent, bias))
            second, operator, attributes = np.zeros_like(bias), "LSTM", {}
        case _:
            raise ValueError(f"no operator runs a cell of the kind {weights.kind!r}")
    both = np.concatenate([bias, second])[None]
    return operator, [kernel.T[None], recurrent.T[None], both], attributes


def _to_lstm_operator(array: NDArray[np.float32]) -> NDArray[np.float32]:
    gates = np.split(array, 4, axis=-1)
    return np.concatenate([gates[i] for i in _LSTM_GATES], axis=-1)
