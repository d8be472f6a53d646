"""One linear forecast for all series: robust least squares on scaled windows of their histories."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.baselines import apply_linear
from service.domain.robust_regression import fit_linear_robustly
from service.domain.scaling import measure

Array = NDArray[np.float64]

# In its own mean and standard deviation a window of one point says nothing.
SHORTEST_WINDOW = 2
# Longer windows gain a linear forecast little, and their least squares cost the square of them.
LONGEST_WINDOW = 200
# With fewer windows for each coefficient the fit would follow their noise.
WINDOWS_PER_COEFFICIENT = 2
# Points of all windows that are fitted to: 64 MB.
MAX_CELLS = 2**23
# Points of histories that are joined to cut windows from: 32 MB.
MAX_JOINED = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class LinearForecaster:
    """Forecasts `horizon` steps from the last `window` points, in each window's own mean and standard deviation."""

    window: int
    coefficients: Array  # [window + 1, horizon]

    def forecast(self, histories: Sequence[Array]) -> Array:
        """Histories [time], continued backwards with their first value where they are short -> [n, horizon]."""
        inputs = np.stack([_last(history, self.window) for history in histories])
        statistics = measure(inputs, "standard")
        scaled = (inputs - statistics.shift) / statistics.scale
        return apply_linear(self.coefficients, scaled) * statistics.scale + statistics.shift


def fit_forecaster(
    histories: Sequence[Array], longest_window: int, horizon: int, measured: Sequence[Array] | None = None
) -> LinearForecaster:
    """Fits to all windows of all histories, or to as many as memory allows, spread evenly.

    Args:
        histories: each [time], of any length, without missing values.
        longest_window: the window, which is shorter where the histories hold too few windows of that length.
        measured: the histories with NaN for what was filled, which nothing is learnt from; by default nothing was.

    Raises:
        ValueError: they hold too few of any length; the message says how many.
    """
    lengths = np.array([len(history) for history in histories])
    window = _choose_window(lengths, min(max(longest_window, SHORTEST_WINDOW), LONGEST_WINDOW), horizon)
    counts = _count_windows(lengths, window, horizon)
    count = int(counts.sum())
    most = max(MAX_CELLS // (window + horizon), WINDOWS_PER_COEFFICIENT * (window + 1))
    rows = np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64)
    series = np.searchsorted(np.cumsum(counts), rows, side="right")
    starts = rows - (np.cumsum(counts) - counts)[series]
    inputs = _cut(histories, lengths, series, starts, window)
    futures = _cut(histories if measured is None else measured, lengths, series, starts + window, horizon)
    statistics = measure(inputs, "standard")
    scaled = [(part - statistics.shift) / statistics.scale for part in (inputs, futures)]
    # A constant window tells nothing of what is to come, and scaled by nearly nothing it would outweigh all others.
    moving = (np.ptp(inputs, axis=1) > 0) & ~np.isnan(futures).all(axis=1)
    if moving.sum() < WINDOWS_PER_COEFFICIENT * (window + 1):
        raise ValueError("Too few windows of the histories before the first origin are not constant.")
    return LinearForecaster(window, fit_linear_robustly(scaled[0][moving], scaled[1][moving]))


def _cut(
    histories: Sequence[Array], lengths: NDArray[np.int64], series: NDArray[np.int64], starts: NDArray[np.int64], n: int
) -> Array:
    """The `n` points from each start on: [rows, n]."""
    if lengths.sum() > MAX_JOINED:
        # Long ones are not joined: that would be a copy of all data.
        pairs = zip(series.tolist(), starts.tolist(), strict=True)
        return np.stack([histories[i][start : start + n] for i, start in pairs])
    places = starts + (np.cumsum(lengths) - lengths)[series]
    cut: Array = np.concatenate(histories)[places[:, None] + np.arange(n)]
    return cut


def _choose_window(lengths: NDArray[np.int64], longest: int, horizon: int) -> int:
    """The longest window of which the histories hold enough."""
    for window in range(longest, SHORTEST_WINDOW - 1, -1):
        if _count_windows(lengths, window, horizon).sum() >= WINDOWS_PER_COEFFICIENT * (window + 1):
            return window
    raise ValueError(
        f"The histories before the first origin hold {_count_windows(lengths, SHORTEST_WINDOW, horizon).sum()} windows "
        f"of {SHORTEST_WINDOW} points with {horizon} steps after them: at least "
        f"{WINDOWS_PER_COEFFICIENT * (SHORTEST_WINDOW + 1)} are needed."
    )


def _count_windows(lengths: NDArray[np.int64], window: int, horizon: int) -> NDArray[np.int64]:
    return np.maximum(lengths - window - horizon + 1, 0)


def _last(history: Array, window: int) -> Array:
    last = history[-window:]
    return last if len(last) == window else np.concatenate([np.full(window - len(last), last[0]), last])
