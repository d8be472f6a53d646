"""The chapter's series: two sine waves of random frequency and phase, and a little noise."""

import numpy as np
from numpy.typing import NDArray

# 7,000, 2,000 and 1,000 of the chapter's 10,000 series.
TRAIN_FRACTION = 0.7
VALIDATION_FRACTION = 0.2


def generate_waves(n_series: int, n_steps: int, *, noise: float = 0.1, seed: int = 42) -> NDArray[np.float32]:
    """Makes series of `0.5 sin((t - o1)(10 f1 + 10)) + 0.2 sin((t - o2)(20 f2 + 20)) + noise (u - 0.5)`.

    f1, f2, o1, o2 are uniform on [0, 1) for each series, u for each point, and t is `n_steps` points evenly spaced over
    [0, 1]: the sampling step depends on the length. Source: A. Géron, Hands-On Machine Learning, chapter 15.

    Returns:
        float32 [n_series, n_steps].
    """
    rng = np.random.default_rng(seed)
    series = draw_waves(rng, n_series, n_steps)
    series += noise * (rng.random((n_series, n_steps)) - 0.5)
    return series.astype(np.float32)


def draw_waves(rng: np.random.Generator, n_series: int, n_steps: int) -> NDArray[np.float64]:
    """Series as of `generate_waves` without their noise: [n_series, n_steps]."""
    frequency_1, frequency_2, offset_1, offset_2 = rng.random((4, n_series, 1))
    time = np.linspace(0, 1, n_steps)
    series = 0.5 * np.sin((time - offset_1) * (frequency_1 * 10 + 10))
    series += 0.2 * np.sin((time - offset_2) * (frequency_2 * 20 + 20))
    waves: NDArray[np.float64] = series
    return waves


def split_rows(n_series: int) -> tuple[slice, slice, slice]:
    """The rows for training, validation and test: 70, 20 and 10 %, at least one series each.

    Raises:
        ValueError: fewer than 3 series.
    """
    if n_series < 3:
        raise ValueError(f"expected at least 3 series to split, got {n_series}.")
    n_validation = max(1, int(n_series * VALIDATION_FRACTION))
    n_train = min(max(1, int(n_series * TRAIN_FRACTION)), n_series - n_validation - 1)
    return (
        slice(0, n_train),
        slice(n_train, n_train + n_validation),
        slice(n_train + n_validation, n_series),
    )
