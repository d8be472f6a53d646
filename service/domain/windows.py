"""Input windows and their targets."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from service.domain.recipes.presets import Head, Preset

Array = NDArray[np.floating]


def split_window(series: Array, window: int, horizon: int) -> tuple[Array, Array]:
    """The last `window + horizon` points as input and future.

    Args:
        series: [n, at least window + horizon].

    Returns:
        inputs [n, window] and futures [n, horizon].
    """
    last = series[:, series.shape[1] - window - horizon :]
    return last[:, :window], last[:, window:]


def make_targets(values: Array, window: int, horizon: int, head: Head, preset: Preset) -> Array:
    """What a network with this head learns to answer.

    Args:
        values: [n, window + horizon], input and future in the model's units.

    Returns:
        one_step and vector heads: the future [n, horizon]. Sequence heads: at each output step the `horizon` values
        after it, [n, steps, horizon].
    """
    if head != "sequence":
        return values[:, window:]
    every_step = sliding_window_view(values[:, 1:], horizon, axis=1)  # [n, window, horizon]
    return every_step[:, output_steps(window, preset)]


def output_steps(window: int, preset: Preset) -> slice:
    """The input steps at which a sequence head answers.

    A strided convolution answers at every second step, counted back from the last point.
    """
    first = (window - preset.kernel) % preset.stride + preset.kernel - 1
    return slice(first, window, preset.stride)
