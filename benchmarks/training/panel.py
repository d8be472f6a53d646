"""Fits to series of one's own, for `benchmarks.training.one`: made-up monthly ones, with trend, season and noise."""

import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_SERIES, N_POINTS, SEASON = 1000, 120, 12


def make_series(n_series: int = N_SERIES, n_points: int = N_POINTS, seed: int = 0) -> list[NDArray[np.float64]]:
    """Series [time] whose level, slope, season and noise are each their own; all values are positive."""
    rng = np.random.default_rng(seed)
    time_ = np.arange(n_points)
    level = 10 ** rng.uniform(1, 4, (n_series, 1))
    slope = rng.normal(0, 0.3, (n_series, 1)) * time_ / n_points
    month = rng.normal(0, 0.15, (n_series, SEASON))[:, time_ % SEASON]
    wander = rng.normal(0, 0.02, (n_series, n_points)).cumsum(axis=1)
    noise = rng.normal(0, 0.05, (n_series, n_points))
    return list(level * np.exp(slope + month + wander + noise))


def fit_panel(request: dict[str, Any]) -> dict[str, Any]:
    """Fits what a training request plans, one recipe after the other, without forecasts and exports.

    Returns:
        As `benchmarks.training.one`, and each fit's own. `loss` is the mean of the fits' last validation losses, in
        the networks' units; the first of the `epochs` is that of all fits together, which compile then.
    """
    from service.domain.recipes.auto_candidates import make_training_plan
    from service.domain.recipes.recipe import PanelData
    from service.domain.recipes.training_plan import TrainingPlan
    from service.training.data.panel_split import prepare_panel
    from service.training.fits import Fits
    from service.training.panel_fit import PanelWindows, make_tasks, settle

    series = make_series()
    lengths = np.array([len(one) for one in series], dtype=np.int64)
    data = PanelData("series", "made", "made", len(series), int(lengths.sum()), "MS")
    max_seconds = request.pop("max_seconds", None)
    made: TrainingPlan = make_training_plan(request, data, lengths)
    prepared = prepare_panel(series, made.recipes[0])
    windows = PanelWindows(prepared)
    fits: list[dict[str, Any]] = []
    started = time.perf_counter()
    for recipe in made.recipes:
        left = None if max_seconds is None else max_seconds - (time.perf_counter() - started)
        if left is not None and left < 1:
            break
        begun = time.perf_counter()
        tasks = make_tasks(settle(replace(recipe, max_seconds=left), prepared))
        outcomes = Fits(lambda: None).run_all(tasks, windows, lambda epoch: None)
        epochs = [epoch for outcome in outcomes for epoch in outcome.epochs]
        fits.append(
            {
                "architecture": recipe.architecture,
                "is_solved": recipe.preset.is_solved,
                "seconds": time.perf_counter() - begun,
                "epochs": [one.seconds for one in epochs],
                "losses": [one.val_loss for one in epochs],
                "is_whole": len(epochs) == recipe.epochs,
            }
        )
    learnt = [one for one in fits if one["losses"]]
    by_steps = [one["epochs"] for one in learnt if not one["is_solved"]]
    return {
        "seconds": time.perf_counter() - started,
        "epochs": [
            sum(epochs[0] for epochs in by_steps),
            *(seconds for epochs in by_steps for seconds in epochs[1:]),
        ],
        "loss": statistics.mean(one["losses"][-1] for one in learnt),
        "is_whole": len(fits) == len(made.recipes) and all(one["is_whole"] for one in fits),
        "fits": fits,
    }
