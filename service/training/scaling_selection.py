"""Chooses scaling and logarithms for a panel: those in which a linear model forecasts its validation windows best."""

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from service.domain.baselines import apply_linear
from service.domain.differencing import base, difference
from service.domain.metrics import scaled_errors
from service.domain.normalization import dominant_level
from service.domain.panel_windows import Positions, drop_unscalable
from service.domain.recipes.recipe import Recipe, Scaling
from service.domain.robust_regression import fit_robustly
from service.domain.scaling import Statistics, measure
from service.training.data.panel_split import PreparedPanel

Array = NDArray[np.float64]

# In window means, differences would be so small that a network hardly sees them: `mean` is for undifferenced windows.
SCALINGS: tuple[Scaling, ...] = ("standard", "robust", "mean")
# Windows that the linear model is fitted to; it has a few hundred coefficients at most.
FITTED_WINDOWS = 4000
SCORED_WINDOWS = 2000
# Points that the linear model reads, differenced or not; more cost the square of them and change no choice.
LONGEST_WINDOW = 120


def choose_transform(recipe: Recipe, prepared: PreparedPanel) -> Recipe:
    """The recipe with the scaling and the logarithm under which a linear model validates best.

    A linear least-squares forecast takes milliseconds to fit where a network takes a minute, and prefers the same
    units. The difference that the recipe has is kept.
    """
    horizon = min(recipe.evaluated_horizon, recipe.horizon) if recipe.head != "one_step" else 1
    window = min(recipe.window, recipe.lag + LONGEST_WINDOW)
    rng = np.random.default_rng(recipe.seed)
    train = _origins(prepared, recipe, horizon, rng)
    held_out = prepared.validation.series[:SCORED_WINDOWS], prepared.validation.ends[:SCORED_WINDOWS]
    is_positive = all((history > 0).all() for history in prepared.histories(prepared.split.train_ends))
    best, least = recipe, np.inf
    # From its median or in its mean, the zeros of sparse demand stay zeros: for weeks they tell a recurrent network
    # nothing, and the gradients of cells that normalise grow without bound.
    scalings = SCALINGS[:1] if prepared.is_intermittent else SCALINGS[:2] if recipe.lag else SCALINGS
    for scaling, log in product(scalings, (False, True) if is_positive else (False,)):
        candidate = replace(recipe, scaling=scaling, log=log, chosen_on_validation=False)
        loss = _loss(candidate, prepared, window, horizon, train, held_out)
        # A tie goes to the plainer one, which comes first.
        if loss < least * (1 - 1e-3):
            best, least = candidate, loss
    members = tuple(_settle(member, best) for member in recipe.members)
    return replace(_settle(recipe, best), members=members)


def _settle(recipe: Recipe, best: Recipe) -> Recipe:
    return replace(recipe, scaling=best.scaling, log=best.log, chosen_on_validation=False)


def _loss(
    recipe: Recipe,
    prepared: PreparedPanel,
    window: int,
    horizon: int,
    train: tuple[Positions, Positions],
    held_out: tuple[Positions, Positions],
) -> float:
    """The mean absolute error on held-out windows, each in units of its series' own seasonal naive error."""
    x, base, statistics, actual = _scaled(recipe, prepared, window, horizon, train)
    with np.errstate(over="ignore"):
        future = statistics.transform(actual).astype(np.float64)
    coefficients = fit_robustly(x, drop_unscalable(future - base)).coefficients
    x, base, statistics, actual = _scaled(recipe, prepared, window, horizon, held_out)
    forecasts = statistics.inverse(apply_linear(coefficients, x) + base)
    scale = prepared.validation.scale[: len(forecasts)]
    scale = np.where(np.isfinite(scale), scale, np.inf)
    # Of one odd series the error must not decide for all.
    errors = scaled_errors(actual, forecasts, scale)
    return float(np.mean(np.minimum(errors[~np.isnan(errors)], 10.0)))


def _scaled(
    recipe: Recipe, prepared: PreparedPanel, window: int, horizon: int, origins: tuple[Positions, Positions]
) -> tuple[Array, Array, Statistics, Array]:
    """Windows that end at the right, zeros before a short history, as the linear model reads them.

    Returns:
        Differenced inputs [n, window - lag], the base of their differences [n, horizon], statistics, and futures, NaN
        where nothing was measured, in the user's units from the level that was taken off.
    """
    inputs = prepared.rows.inputs(*origins, window)
    level = dominant_level(inputs, ~np.isnan(inputs))
    inputs = inputs - level
    statistics = measure(inputs, recipe.scaling, log=recipe.log)
    scaled = statistics.transform(inputs).astype(np.float64)
    shift = window - (~np.isnan(inputs)).sum(axis=1)
    positions = np.arange(window) - shift[:, None]
    aligned = np.where(positions >= 0, np.take_along_axis(scaled, np.maximum(positions, 0), axis=1), 0.0)
    future = prepared.rows.futures(*origins, horizon) - level
    differences, known = difference(aligned, recipe.lag), base(aligned, horizon, recipe.lag)
    return differences.astype(np.float64), known.astype(np.float64), statistics, future


def _origins(
    prepared: PreparedPanel, recipe: Recipe, horizon: int, rng: np.random.Generator
) -> tuple[Positions, Positions]:
    """Training windows, each series equally often."""
    ends = prepared.split.train_ends
    counts = np.maximum(ends - horizon - recipe.min_history + 1, 0) * prepared.rows.learnable(ends)
    series = rng.choice(np.flatnonzero(counts), FITTED_WINDOWS)
    return series, recipe.min_history + (rng.random(FITTED_WINDOWS) * counts[series]).astype(np.int64)
