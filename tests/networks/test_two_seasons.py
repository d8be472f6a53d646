"""Repetitions of two seasons against the method written out for one series, and what must hold of their forecast."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.networks.two_seasons import TwoSeasons
from tests.networks.formulas import by_jax, by_numpy, by_onnx, by_tensorflow

Array = NDArray[np.float64]
Repeat = Callable[[Array, int], Array | None]


def written_out(y: Array, window: int, short: int, long: int, horizon: int) -> Array:
    """One series' forecast, repetition by repetition."""
    y = y[-window:]
    recent = max(1, round(short / 12))
    fading = 0.5 ** (np.arange(horizon) / (short / 2))
    flat = np.ones(horizon)
    rules = [
        ([short], 0, 0 * flat),
        ([short, 2 * short, 3 * short], 0, 0 * flat),
        ([short], recent, fading),
        ([long], 0, 0 * flat),
        ([long, 2 * long], 0, 0 * flat),
        ([long], short, 0.5 * flat),
        ([long], short, flat),
        ([long, 2 * long], short, 0.5 * flat),
        ([long], recent, fading),
        ([long, 2 * long], recent, fading),
    ]

    def repeat(known: Array, lags: list[int], span: int, moved: Array, steps: int) -> Array | None:
        n = len(known)
        if n < max(lags) + span:
            return None
        repeated = np.mean([[known[n - lag + step % lags[0]] for step in range(steps)] for lag in lags], axis=0)
        away = 0.0
        if span:
            before = np.mean([known[n - span - lag : n - lag].mean() for lag in lags])
            away = known[n - span :].mean() - before
        return np.asarray(repeated + moved[:steps] * away)

    tried = min(horizon, long)
    shifts = [tried + i * short for i in range(7)]
    shifts = [s for s in shifts if window - s >= long] or ([shifts[0]] if window - shifts[0] >= short else [])
    errors, forecasts = [], []
    for rule in rules:
        found = []
        for shift in shifts:
            known, actual = y[: max(len(y) - shift, 0)], y[len(y) - shift :][:tried]
            forecast = repeat(known, *rule, tried) if len(known) else None
            if forecast is not None:
                found.append(np.abs(forecast - actual).mean())
        errors.append(np.mean(found) if found else np.nan)
        forecasts.append(repeat(y, *rule, horizon))
    possible = [i for i, forecast in enumerate(forecasts) if forecast is not None]
    if not possible:
        return np.full(horizon, y[-1])
    known_errors = [i for i in possible if not np.isnan(errors[i])]
    if known_errors:
        weights = [(errors[i] + 1e-6) ** -4.0 for i in known_errors]
        return np.asarray(np.average(np.array([forecasts[i] for i in known_errors], float), axis=0, weights=weights))
    return np.asarray(np.mean([forecast for forecast in forecasts if forecast is not None], axis=0))


def series(seed: int, length: int, short: int, long: int) -> Array:
    rng = np.random.default_rng(seed)
    time = np.arange(length)
    wave = np.sin(2 * np.pi * time / short) + 0.7 * np.sign(np.sin(2 * np.pi * time / long))
    return np.asarray(3 + wave + 0.3 * rng.standard_normal(length) + 0.003 * time)


def windows(rows: list[Array], window: int) -> tuple[Array, Array]:
    values, own = np.zeros((len(rows), window)), np.zeros((len(rows), window))
    for i, row in enumerate(rows):
        last = row[-window:]
        values[i, window - len(last) :], own[i, window - len(last) :] = last, 1.0
    return values, own


# Window, short and long season, horizon: of hours two days and half a day ahead, of days, a fortnight of a week's
# horizon, a window of hardly a week, and one of less.
SHAPES = [(504, 24, 168, 48), (504, 24, 168, 12), (90, 4, 28, 30), (84, 4, 28, 64), (36, 4, 28, 6), (20, 4, 28, 6)]


@pytest.mark.parametrize(
    ("by", "window", "short", "long", "horizon"),
    [
        # NumPy compiles nothing: it is asked for every shape, and the others for two that stand for them.
        pytest.param(by, *shape, marks=() if by is by_numpy or shape in SHAPES[2::2] else pytest.mark.exhaustive)
        for by in (by_numpy, by_tensorflow, by_jax, by_onnx)
        for shape in SHAPES
    ],
)
def test_forecasts_are_those_of_the_method_written_out(
    by: Callable[[TwoSeasons, Array, Array], Array], window: int, short: int, long: int, horizon: int
) -> None:
    lengths = [window + 9, window - 1, long + horizon + short, long + 1, long, 3 * short, short, short - 1, 1]
    rows = [series(i, length, short, long) for i, length in enumerate(lengths)]
    found = by(TwoSeasons(window, short, long, horizon), *windows(rows, window))
    for row, forecast in zip(rows, found, strict=True):
        np.testing.assert_allclose(forecast, written_out(row, window, short, long, horizon), rtol=0, atol=5e-5)


def test_what_repeats_itself_every_week_goes_on_though_days_differ() -> None:
    rng = np.random.default_rng(3)
    week = rng.uniform(1, 9, 168)
    values, own = windows([np.tile(week, 3), np.tile(week[:24], 21)], 504)
    found = by_numpy(TwoSeasons(504, 24, 168, 60), values, own)
    np.testing.assert_allclose(found[0], week[:60], atol=1e-3)
    np.testing.assert_allclose(found[1], np.resize(week[:24], 60), atol=1e-3)


@given(st.integers(0, 2**31), st.integers(1, 200), st.floats(-1e3, 1e3), st.floats(1e-2, 1e2))
def test_forecasts_follow_the_level_and_the_unit_of_a_series(seed: int, length: int, level: float, unit: float) -> None:
    row = np.random.default_rng(seed).standard_normal(length).round(3)
    seasons = TwoSeasons(96, 4, 28, 10)
    values, own = windows([row], 96)
    plain = by_numpy(seasons, values, own)
    moved = by_numpy(seasons, (values * unit + level) * own, own)
    np.testing.assert_allclose(moved, plain * unit + level, rtol=0, atol=2e-3 * (abs(level) + unit))
