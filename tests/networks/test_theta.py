"""The Theta method against its formulas written out for one series, and against what must hold of any forecast."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.networks.theta import LEAST_RATIO, RATES, SPANS, Theta
from tests.networks.formulas import by_jax, by_numpy, by_onnx, by_tensorflow

Array = NDArray[np.float64]


def written_out(history: Array, window: int, season: int, horizon: int) -> Array:
    """One series' forecast, step by step: the mean over histories of several lengths."""
    spans = {min(window, max(round(share * window), 2 * season)) for share in SPANS}
    return np.asarray(np.mean([_forecast(history[-span:], season, horizon) for span in spans], axis=0))


def _forecast(y: Array, season: int, horizon: int) -> Array:
    factors, is_ratio = _season(y, season)
    phase = (np.arange(len(y)) - len(y)) % season
    z = y / factors[phase] if is_ratio else y - factors[phase]
    time = np.arange(len(z))
    slope = np.polyfit(time, z, 1)[0] if len(z) > 1 else 0.0
    forecasts, likelihoods = [], []
    for rate in RATES:
        level, errors = z[0], []
        for value in z:
            errors.append(value - level)
            level += rate * errors[-1]
        lead = (1 - (1 - rate) ** len(z)) / rate
        forecasts.append(level + 0.5 * slope * (np.arange(horizon) + lead))
        likelihoods.append(-0.5 * len(z) * np.log(np.mean(np.square(errors)) + 1e-12))
    weights = np.exp(np.array(likelihoods) - max(likelihoods))
    ahead = factors[np.arange(horizon) % season]
    trend = np.average(forecasts, axis=0, weights=weights)
    return trend * ahead if is_ratio else trend + ahead


def _season(y: Array, season: int) -> tuple[Array, bool]:
    """Shrunk factors by phase, the first one that of the step after the series."""
    is_ratio = bool(y.min() > LEAST_RATIO * y.mean() > 0)
    neutral = np.full(season, 1.0 if is_ratio else 0.0)
    if season == 1 or len(y) < 2 * season:
        return neutral, is_ratio
    weights = np.ones(season) if season % 2 else np.array([0.5, *[1.0] * (season - 1), 0.5])
    half = len(weights) // 2
    found: list[list[float]] = [[] for _ in range(season)]
    for i in range(half, len(y) - half):
        level = np.average(y[i - half : i + half + 1], weights=weights)
        found[(i - len(y)) % season].append(y[i] / level if is_ratio else y[i] - level)
    factors = np.array([np.mean(one) for one in found])
    mean = factors.mean()
    factors, unit = (factors / mean, mean) if is_ratio else (factors - mean, 1.0)
    scatter = [x / unit - (0.0 if is_ratio else mean) - factors[p] for p, one in enumerate(found) for x in one]
    noise = np.sum(np.square(scatter)) / max(len(scatter) - season, 1) * np.mean([1 / len(one) for one in found])
    signal = np.sum(np.square(factors - neutral)) / (season - 1)
    kept = max(0.0, 1 - noise / signal) if signal > 0 else 0.0
    return neutral + kept * (factors - neutral), is_ratio


def series(seed: int, length: int, season: int, *, positive: bool = True) -> Array:
    rng = np.random.default_rng(seed)
    time = np.arange(length)
    wave = np.sin(2 * np.pi * time / max(season, 2)) + 0.3 * rng.standard_normal(length) + 0.03 * time
    return 4 + wave if positive else wave


def windows(rows: list[Array], window: int) -> tuple[Array, Array]:
    values, own = np.zeros((len(rows), window)), np.zeros((len(rows), window))
    for i, row in enumerate(rows):
        last = row[-window:]
        values[i, window - len(last) :], own[i, window - len(last) :] = last, 1.0
    return values, own


SHAPES = [(12, 144, 24), (4, 48, 8), (7, 84, 3), (1, 48, 6), (24, 168, 30), (12, 20, 5), (12, 30, 5)]


@pytest.mark.parametrize(
    ("by", "season", "window", "horizon"),
    [
        # NumPy compiles nothing: it is asked for every shape, and the others for two that stand for them.
        pytest.param(by, *shape, marks=() if by is by_numpy or shape in SHAPES[1::4] else pytest.mark.exhaustive)
        for by in (by_numpy, by_tensorflow, by_jax, by_onnx)
        for shape in SHAPES
    ],
)
@pytest.mark.parametrize("positive", [True, False])
def test_forecasts_are_those_of_the_formulas_written_out(
    by: Callable[[Theta, Array, Array], Array], season: int, window: int, horizon: int, positive: bool
) -> None:
    lengths = [200, window, window - 3, 2 * season + 1, 2 * season, max(2, season), 2, 1]
    rows = [series(i, length, season, positive=positive) for i, length in enumerate(lengths)]
    found = by(Theta(window, season, horizon), *windows(rows, window))
    for row, forecast in zip(rows, found, strict=True):
        expected = written_out(row, window, season, horizon)
        np.testing.assert_allclose(forecast, expected, rtol=0, atol=2e-5 * max(1.0, float(np.abs(expected).max())))


def test_a_season_that_repeats_itself_goes_on() -> None:
    pattern = np.array([3.0, 8.0, 5.0, 4.0])
    forecast = by_numpy(Theta(48, 4, 6), *windows([np.tile(pattern, 12)], 48))[0]
    np.testing.assert_allclose(forecast, np.resize(pattern, 6), rtol=1e-3)


def test_a_long_season_of_which_the_window_holds_two_goes_on() -> None:
    pattern = 5 + np.sin(np.arange(50) / 8)
    forecast = by_numpy(Theta(100, 50, 60), *windows([np.tile(pattern, 4)], 100))[0]
    np.testing.assert_allclose(forecast, np.resize(pattern, 60), rtol=1e-2)


@pytest.mark.parametrize(
    "least", [0.0, *(pytest.param(least, marks=pytest.mark.exhaustive) for least in (1e-9, 1e-5, 1e-2)), 1e-3]
)
def test_seasons_that_almost_vanish_give_numbers_and_all_libraries_the_same(least: float) -> None:
    rng = np.random.default_rng(3)
    day = np.maximum(np.sin(2 * np.pi * np.arange(168) / 48), 0) * (1 + 0.1 * rng.random((20, 168)))
    rows = [*(day + least * (1 + rng.random((20, 168)))), np.where(np.arange(96) % 48 == 3, least, 1.0)]
    found = [by(Theta(168, 48, 48), *windows(rows, 168)) for by in (by_numpy, by_tensorflow, by_jax, by_onnx)]
    assert np.isfinite(found[0]).all()
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-5)


def test_a_season_that_is_noise_is_shrunk_away() -> None:
    noise = 10 + np.random.default_rng(2).standard_normal((200, 144))
    forecasts = by_numpy(Theta(144, 12, 12), noise, np.ones_like(noise))
    means_of_months = noise.reshape(200, 12, 12).mean(axis=1)
    assert forecasts.std(axis=1).mean() < 0.7 * means_of_months.std(axis=1).mean()


def test_a_trend_goes_on_with_half_its_slope() -> None:
    line = np.arange(1.0, 49.0)
    forecast = by_numpy(Theta(48, 1, 8), *windows([line], 48))[0]
    np.testing.assert_allclose(np.diff(forecast), 0.5, atol=1e-3)
    assert 47.9 < forecast[0] < 49.1


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_what_is_constant_stays_constant(value: float) -> None:
    for season in (1, 4, 12):
        forecast = by_numpy(Theta(48, season, 5), *windows([np.full(30, value), np.full(1, value)], 48))
        np.testing.assert_allclose(forecast, value, atol=1e-5)


@given(st.integers(0, 2**31), st.integers(1, 60), st.sampled_from([1, 4, 12]), st.floats(0.01, 100))
def test_other_units_give_the_same_forecast(seed: int, length: int, season: int, factor: float) -> None:
    theta = Theta(48, season, 7)
    row = series(seed, length, season)
    found = by_numpy(theta, *windows([row, factor * row], 48))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1], factor * found[0], rtol=1e-2)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    theta = Theta(48, 12, 7)
    rows = [series(i, 20 + 9 * i, 12) for i in range(5)]
    together = by_onnx(theta, *windows(rows, 48))
    alone = np.concatenate([by_onnx(theta, *windows([row], 48)) for row in rows])
    np.testing.assert_allclose(together, alone, rtol=1e-5)
