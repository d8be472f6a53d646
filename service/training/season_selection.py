"""Whether a panel's longer season, such as the week of hours, says anything of it: chosen on its validation windows."""

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.domain.recipes.recipe import Recipe
from service.domain.recipes.training_plan import TrainingPlan
from service.networks.operations import NumPyOperations
from service.networks.two_seasons import TwoSeasons
from service.training.data.panel_split import PreparedPanel, ScoredWindows
from service.training.fits import Fits
from service.training.panel_fit import PanelWindows, fit_panel, forecast_seasonally
from service.training.window_scores import choose_metric, measure_windows, summarize

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

# What repetitions of both seasons must err less than others: recipes that know both read more.
LEAST_GAIN = 0.03
# Windows that are looked at, spread evenly; and the most that one of them counts, in units of its series' naive error.
MOST_WINDOWS = 2000
MOST_ERROR = 20.0


def choose_seasons(plan: TrainingPlan, prepared: PreparedPanel) -> TrainingPlan:
    """The plan, with recipes of one season where those of two can't be told to be better.

    No network is fitted for it: what is compared are forecasts that networks would correct, or of a formula its own.

    Args:
        prepared: the panel, cut for the plan's first recipe.
    """
    recipe = next((recipe for recipe in plan.recipes if recipe.seasons), None)
    if recipe is None or not plan.with_one_season:
        return plan
    short, long = recipe.seasons
    if not recipe.preset.is_fitted or recipe.readout == "experts":
        # There is nothing to fit, or it begins with what was pretrained: its own forecasts can be compared.
        of_two, of_one = (
            _forecast(replace(either, epochs=0), prepared) for either in (recipe, plan.with_one_season[0])
        )
        logger.info("%s of two seasons validates at %.4f, of one at %.4f", recipe.architecture, of_two, of_one)
        return _settle(plan, knows_both=of_two <= of_one * (1 - LEAST_GAIN))
    if not recipe.preset.corrects:
        # What reads differences is compared by what they are from.
        of_long, of_short = (_repeat(prepared, season) for season in (long, short))
        logger.info("repeating %d points validates at %.4f, %d at %.4f", long, of_long, short, of_short)
        return _settle(plan, knows_both=of_long <= of_short * (1 - LEAST_GAIN))
    # A mean over more days errs less whatever their weekdays: so days are repeated also as if a week had one day less.
    of_both, *others = (_error(recipe, prepared, short, other) for other in (long, short, long - short))
    logger.info("repeating %d and %d points validates at %.4f, others at %.4f", short, long, of_both, min(others))
    return _settle(plan, knows_both=of_both <= min(others) * (1 - LEAST_GAIN))


def _settle(plan: TrainingPlan, *, knows_both: bool) -> TrainingPlan:
    return replace(plan, recipes=plan.recipes if knows_both else plan.with_one_season, with_one_season=())


def _forecast(recipe: Recipe, prepared: PreparedPanel) -> float:
    """What a recipe without weights errs on validation windows."""
    fitted = fit_panel(recipe, PanelWindows(prepared), Fits(on_batch=lambda: None))
    return _measure(prepared, prepared.validation, fitted.validation)


def _repeat(prepared: PreparedPanel, season: int) -> float:
    """What repeating a season errs on validation windows."""
    return _measure(prepared, prepared.validation, forecast_seasonally(prepared, prepared.validation, season))


def _error(recipe: Recipe, prepared: PreparedPanel, short: int, long: int) -> float:
    """What repetitions of the seasons err on validation windows."""
    windows = prepared.validation
    some = np.unique(np.linspace(0, len(windows) - 1, min(MOST_WINDOWS, len(windows))).astype(int))
    inputs = prepared.rows.inputs(windows.series[some], windows.ends[some], recipe.window)
    count = (~np.isnan(inputs)).sum(axis=1, keepdims=True)
    positions = np.arange(recipe.window) - (recipe.window - count)
    own = positions >= 0
    aligned = np.where(own, np.take_along_axis(inputs, np.maximum(positions, 0), axis=1), 0.0)
    level = aligned.sum(axis=1, keepdims=True) / count
    moved = np.where(own, aligned - level, 0.0)
    unit = np.abs(moved).max(axis=1, keepdims=True)
    unit = np.where(unit > 0, unit, 1.0)
    formula = TwoSeasons(recipe.window, short, long, prepared.horizon)
    answers = formula.forecast(NumPyOperations(), (moved / unit).astype(np.float32), own.astype(np.float32))
    return _measure(prepared, windows.take(some), answers.astype(np.float64) * unit + level)


def _measure(prepared: PreparedPanel, windows: ScoredWindows, forecasts: Array) -> float:
    metric = choose_metric(prepared)
    errors = measure_windows(windows, forecasts, metric)
    return summarize(np.minimum(errors[~np.isnan(errors)], MOST_ERROR), metric)
