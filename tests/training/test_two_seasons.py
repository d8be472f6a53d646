"""Series with a day and a week: what is trained on them knows both, where that helps."""

import json
from typing import Any

import numpy as np
import pytest

from service.domain.baselines import seasonal_naive
from service.domain.intervals import half_widths, measure_spread
from service.domain.panel import Panel
from service.domain.recipes.auto_candidates import make_training_plan
from service.domain.recipes.recipe import PanelData, Recipe
from service.domain.recipes.training_plan import TrainingPlan
from service.store.catalog import Catalog
from service.training.data.panel_split import ScoredWindows, prepare_panel
from service.training.fit_selection import split_windows
from service.training.fits import Fits
from service.training.panel_training import train_on_panel
from service.training.progress import ProgressReporter
from service.training.reference_forecast import Forecaster
from service.training.season_selection import choose_seasons
from service.training.training_result import TrainingResult
from tests.training.bench import Bench
from tests.training.recorder import Recorder

DAY, WEEK, HORIZON = 12, 84, 24  # of "2h"
SMALL = {"epochs": 4, "max_windows": 1000, "batch_size": 100}


def two_hourly(n_series: int = 20, weeks: int = 7, seed: int = 0, *, has_week: bool = True) -> list[np.ndarray]:
    """Days whose height depends on the weekday, on a level that wanders; each series has a unit of its own."""
    rng = np.random.default_rng(seed)
    series = []
    for i in range(n_series):
        time = np.arange(weeks * WEEK - 5 * (i % 4))
        shape = np.sin(2 * np.pi * (time + rng.integers(DAY)) / DAY)
        weekdays = np.repeat(rng.uniform(0.2, 2, 7) if has_week else np.ones(7), DAY)
        level = 6 + np.cumsum(0.03 * rng.standard_normal(len(time)))
        noise = 0.3 * rng.standard_normal(len(time))
        series.append(10.0 ** (i % 3) * (level + (2 + shape) * np.resize(weekdays, len(time)) + noise))
    return series


def plan_for(series: list[np.ndarray], freq: str | None = "2h", **request: Any) -> TrainingPlan:
    lengths = np.array([len(values) for values in series])
    data = PanelData("series", "own", "digest", len(series), int(lengths.sum()), freq)
    return make_training_plan({"horizon": HORIZON, **request}, data, lengths)


def fit(series: list[np.ndarray], bench: Bench, **request: Any) -> TrainingResult:
    run, plan = Recorder("never"), plan_for(series, **request)
    catalog = Catalog(bench.trainer.store.root)
    return train_on_panel(plan, series, catalog, Fits(run.raise_if_stopped), ProgressReporter(plan, run))


def forecast(result: TrainingResult, series: list[np.ndarray]) -> np.ndarray:
    rows = np.full((len(series), max(map(len, series))), np.nan)
    for row, values in zip(rows, series, strict=True):
        row[: len(values)] = values
    return Forecaster(result.recipe, result.networks).forecast(rows, HORIZON)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"architecture": "ridge"}, marks=pytest.mark.exhaustive),
        {"architecture": "theta"},
        {"architecture": "mlp", **SMALL},
        pytest.param({"architecture": "theta_mlp", **SMALL}, marks=pytest.mark.exhaustive),
        pytest.param({"architecture": "auto", **SMALL}, marks=pytest.mark.exhaustive),
    ],
    ids=lambda request: request["architecture"],
)
def test_what_is_trained_on_a_day_and_a_week_errs_less_than_repeating_either(
    bench: Bench, request_: dict[str, Any]
) -> None:
    whole = two_hourly()
    past, future = [values[:-HORIZON] for values in whole], np.stack([values[-HORIZON:] for values in whole])
    result = fit(past, bench, **request_)
    units = np.array([np.abs(values[DAY:] - values[:-DAY]).mean() for values in past])[:, None]

    def error(answers: np.ndarray) -> float:
        return float(np.mean(np.abs(answers - future) / units))

    of_day, of_week = (
        error(np.concatenate([seasonal_naive(values[None], HORIZON, season) for values in past]))
        for season in (DAY, WEEK)
    )
    own = error(forecast(result, past))
    assert own < 0.8 * of_day
    assert own < 0.9 * of_week
    assert result.recipe.season == DAY


def test_the_same_request_trains_the_same_model_of_two_seasons(bench: Bench) -> None:
    series = two_hourly(n_series=8)
    first, again = (fit(series, bench, architecture="mlp", **{**SMALL, "epochs": 1}) for _ in range(2))
    assert first.recipe.seasons == (DAY, WEEK)
    np.testing.assert_array_equal(forecast(first, series), forecast(again, series))


@pytest.mark.parametrize("architecture", ["mlp", "ridge", "theta", "auto", "lstm"])
def test_a_week_that_says_nothing_is_left_out(architecture: str) -> None:
    for has_week in (True, False):
        series = two_hourly(has_week=has_week)
        plan = plan_for(series, architecture=architecture)
        assert any(recipe.seasons for recipe in plan.recipes)
        chosen = choose_seasons(plan, prepare_panel(series, plan.recipes[0]))
        assert chosen.recipes == (plan.recipes if has_week else plan.with_one_season)
        assert not any(recipe.seasons for recipe in plan.with_one_season)


@pytest.mark.parametrize("architecture", ["mlp", "theta_mlp", "auto", "flagship", "ridge", "lstm"])
@pytest.mark.parametrize(("freq", "length", "horizon"), [("MS", 150, 18), ("QS", 60, 8), ("YS", 40, 6), ("W", 300, 13)])
def test_where_there_is_no_second_season_recipes_are_what_they_were(
    architecture: str, freq: str, length: int, horizon: int
) -> None:
    plan = plan_for([np.arange(length, dtype=float)] * 9, freq, architecture=architecture, horizon=horizon)
    assert plan.with_one_season == ()
    assert all(recipe.seasons == () for recipe in plan.recipes)


def test_a_plan_of_two_seasons_comes_back_from_its_json_and_an_older_one_too() -> None:
    plan = plan_for(two_hourly(), architecture="auto")
    assert plan.recipes[0].seasons == (DAY, WEEK)
    assert TrainingPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    older = json.loads(json.dumps(plan.with_one_season[0].to_dict()))
    # As a version from before there were two seasons has it.
    del older["seasons"]
    assert Recipe.from_dict(older) == plan.with_one_season[0]


@pytest.mark.parametrize("architecture", ["theta_mlp", pytest.param("mlp", marks=pytest.mark.exhaustive)])
def test_a_version_of_two_seasons_is_served_as_it_was_trained(bench: Bench, architecture: str) -> None:
    series = two_hourly(n_series=6)
    ids = tuple(str(i) for i in range(len(series)))
    panel = Panel(ids, tuple(series), (None,) * len(series), "2h")
    lengths = np.array([len(values) for values in series])
    data = PanelData("series", bench.datasets.keep(panel), panel.digest(), len(series), panel.n_points, "2h")
    name = f"two-seasons-{architecture}"
    request = {"architecture": architecture, "name": name, "horizon": HORIZON, **SMALL, "epochs": 1}
    # Publishing proves that both engines give the trained network's numbers.
    job = bench.trainer.train(make_training_plan(request, data, lengths), Recorder(f"job-{name}"))
    catalog = Catalog(bench.trainer.store.root)
    catalog.refresh()
    manifest = catalog.resolve(name, job["version"])
    assert manifest.hyper_parameters["seasons"] == [DAY, WEEK]
    assert manifest.data["season"] == DAY
    assert "onnx" in manifest.engines


@pytest.mark.parametrize(
    ("series", "ends"),
    [
        ([0] * 9, range(100, 145, 5)),
        ([0] * 4 + [1] * 4, [100, 110, 120, 130, 400, 410, 420, 430]),
        ([0, 1, 2, 3], [90, 80, 70, 60]),
        ([3], [50]),
    ],
)
@pytest.mark.parametrize("horizon", [10, 200])
def test_weights_for_a_block_of_windows_come_from_the_other_one(
    series: list[int], ends: list[int], horizon: int
) -> None:
    n = len(series)
    windows = ScoredWindows(np.array(series), np.array(ends), np.zeros((n, horizon)), np.ones(n))
    parts = split_windows(windows)
    assert sorted(np.concatenate([block for block, _ in parts])) == list(range(n))
    for block, others in parts:
        assert len(others)
        if n > 1:
            assert not set(block) & set(others)
        if horizon == 10 and n > 4:
            gaps = windows.ends[others][:, None] - windows.ends[block]
            same = windows.series[others][:, None] == windows.series[block]
            assert (np.abs(gaps[same]) >= horizon).all()


def test_intervals_of_one_long_series_cover_what_they_say(bench: Bench) -> None:
    covered = []
    for seed in range(3):
        (values,) = two_hourly(n_series=1, weeks=16, seed=seed)
        result = fit([values[:-WEEK]], bench, architecture="ridge", horizon=DAY)
        assert result.calibration is not None
        assert result.calibration["is_steady"]
        widths = {level: half_widths(result.calibration["residuals"], level, DAY) for level in (80, 95)}
        for start in range(len(values) - WEEK, len(values), DAY):
            known, actual = values[:start], values[start : start + DAY]
            spread = measure_spread(known, WEEK, result.calibration["window"], is_steady=True)
            errors = np.abs(Forecaster(result.recipe, result.networks).forecast(known[None], DAY)[0] - actual)
            covered.append([errors <= widths[level] * spread.unit for level in (80, 95)])
    of_80, of_95 = 100 * np.mean(covered, axis=(0, 2))
    assert of_80 == pytest.approx(80, abs=8)
    assert of_95 == pytest.approx(95, abs=5)
