"""From the user's own series to a model: tries the plan's recipes, measures the best, judges it, fits it to the end."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.metrics import score
from service.domain.normalization import normalize
from service.domain.recipes.recipe import Recipe
from service.domain.recipes.training_plan import TrainingPlan
from service.domain.series import Missing
from service.errors import TrainingFailed
from service.networks.network import Network
from service.store.catalog import Catalog
from service.training.calibration import calibrate
from service.training.data.panel_split import PreparedPanel, ScoredWindows, prepare_panel
from service.training.fit_selection import choose_fits, measure_loss
from service.training.fits import FitOutcome, Fits, FitTask, Part
from service.training.panel_fit import (
    Fitted,
    PanelWindows,
    assemble,
    assemble_known,
    forecast_windows,
    make_further_tasks,
    make_tasks,
    score_baselines,
    settle,
)
from service.training.progress import REFIT_SHARE, ProgressReporter, refit_epochs
from service.training.promotion import judge
from service.training.season_selection import choose_seasons
from service.training.training_result import TrainingResult
from service.training.trial_round import TrialFits
from service.training.tuning import tune

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

# What a chosen fit goes on with: what came before the test, and all there is.
_AGAIN: tuple[Part, ...] = ("test", "end")
PROOF_SERIES = 8


def train_on_panel(
    plan: TrainingPlan, values: list[Array], catalog: Catalog, fits: Fits, reporter: ProgressReporter
) -> TrainingResult:
    """Fits, chooses, measures, judges, and goes on with all points.

    Raises:
        TrainingFailed: the series are too short, or a fit gives no finite numbers.
    """
    data = plan.recipes[0].own_data
    missing: Missing = "interpolate" if data is None else data.missing
    prepared = prepare_panel(values, plan.recipes[0], missing)
    settled = choose_seasons(plan, prepared)
    if settled.recipes != plan.recipes:
        prepared = prepare_panel(values, settled.recipes[0], missing)
        reporter.replace(settled)
    plan = settled
    windows = PanelWindows(prepared, plan.recipes[0])
    best = _search(plan, windows, fits, reporter)
    recipe = best.recipe
    baselines = score_baselines(recipe, prepared)
    is_judged = not recipe.preset.is_baseline
    gate = judge(plan.name, best, prepared, recipe.season, catalog) if is_judged else None
    measured = None
    if recipe.refit:
        measured = [weights for network in best.networks for weights in network.get_weights()]
        # What is tested knows all that came before the test, as what is published will know all there is. Both from
        # the same start: to go on from what was tested would fit the older points once more.
        tasks = [task for before in _AGAIN for task in make_further_tasks(best, windows, before)]
        outcomes = fits.run_all(tasks, windows, reporter.epoch)
        tested_with, published_with = outcomes[: len(best.networks)], outcomes[len(best.networks) :]
        _give(tested_with, best.networks)
    metrics: dict[str, Any] = {"validation": _score(prepared.validation, best.validation)}
    tested = np.zeros((0, prepared.horizon))
    if len(prepared.test):
        tested = forecast_windows(recipe, best.networks, prepared, prepared.test)
    # Of a gap as long as the test only validation tells how far forecasts are off.
    honest = best.validation if best.cross_weighed is None else best.cross_weighed
    calibration, covered = calibrate(recipe, prepared, honest, tested)
    if len(prepared.test):
        metrics["test"] = {**_score(prepared.test, tested), "coverage": covered}
    metrics["baselines"] = baselines
    if measured is not None:
        _give(published_with, best.networks)
    return TrainingResult(
        recipe,
        best.networks,
        metrics,
        {
            **plan.recipes[0].to_dict()["data"],
            "n_windows": int(np.maximum(prepared.split.train_ends - recipe.horizon - recipe.min_history + 1, 0).sum()),
            "season": recipe.season,
        },
        len(best.epochs),
        _proof_series(recipe, prepared),
        calibration,
        gate,
        measured,
    )


def _give(outcomes: Sequence[FitOutcome], networks: Sequence[Network]) -> None:
    for outcome, network in zip(outcomes, networks, strict=True):
        outcome.give_to(network)


def _search(plan: TrainingPlan, windows: PanelWindows, fits: Fits, reporter: ProgressReporter) -> Fitted:
    """The plan's best by validation: of trials, or of recipes and what they make together."""
    if plan.search is None:
        return choose_fits(_try_all(plan, windows, fits, reporter), windows.prepared, plan.name)

    def plan_trial(recipe: Recipe) -> tuple[Recipe, list[FitTask]]:
        settled = settle(recipe, windows.prepared)
        return settled, make_tasks(settled)

    def assemble_trial(recipe: Recipe, outcomes: Sequence[FitOutcome]) -> tuple[Fitted, float]:
        fitted = assemble(recipe, outcomes, windows.prepared)
        return fitted, measure_loss([fitted], windows.prepared)

    return tune(plan.search, plan.recipes[0], TrialFits(windows, plan_trial, assemble_trial), reporter, fits)


def _try_all(plan: TrainingPlan, windows: PanelWindows, fits: Fits, reporter: ProgressReporter) -> list[Fitted]:
    """Fits the plan's recipes, as many as there is time for; one at least."""
    prepared = windows.prepared
    recipes = [settle(recipe, prepared) for recipe in plan.recipes]
    by_recipe = [make_tasks(recipe) for recipe in recipes]
    # Which recipe each task is of.
    owners = [i for i, tasks in enumerate(by_recipe) for _ in tasks]
    refused: set[int] = set()

    def may_begin(index: int, outcomes: Sequence[FitOutcome | None]) -> bool:
        owner = owners[index]
        is_first = index == owners.index(owner)
        if is_first and plan.max_seconds is not None and by_recipe[owner][0].is_work:
            seconds = np.zeros(len(recipes))
            for i, outcome in zip(owners, outcomes, strict=True):
                seconds[i] += 0.0 if outcome is None else outcome.seconds
            # What is left must hold another fit and, of all that may be chosen, the end; both go the faster the more
            # processes there are.
            elapsed = fits.clock.elapsed()
            ending = 2 * REFIT_SHARE * min(float(seconds.sum()), elapsed)
            is_any = any(outcome is not None and outcome.is_finite for outcome in outcomes)
            if is_any and elapsed + seconds.max() + ending > plan.max_seconds:
                refused.add(owner)
        return owner not in refused

    tasks = [task for tasks in by_recipe for task in tasks]

    def on_missing(index: int, is_refused: bool) -> None:
        if is_refused:
            refused.add(owners[index])
        recipe = tasks[index].recipe
        reporter.skip(recipe.epochs + (2 * refit_epochs(recipe.epochs) if recipe.refit else 0))

    outcomes = fits.run(tasks, windows, reporter.epoch, may_begin, on_missing)
    found: list[Fitted] = []
    for i, recipe in enumerate(recipes):
        own = [outcome for owner, outcome in zip(owners, outcomes, strict=True) if owner == i]
        fitted = assemble_known(recipe, own, prepared)
        if fitted is None:
            continue
        if np.isfinite(fitted.validation).all():
            found.append(fitted)
        logger.info(
            "%s: validates at %.4f after %.1f s", recipe.architecture, measure_loss([fitted], prepared), fitted.seconds
        )
    if not found:
        if fits.left_out:
            raise TrainingFailed(fits.left_out[0].reason)
        raise TrainingFailed("The training diverged: its forecasts are not finite. Try a lower learning_rate.")
    return found


def _score(windows: ScoredWindows, forecasts: Array) -> dict[str, Any]:
    return score(windows.actual, forecasts, windows.scale)


def _proof_series(recipe: Recipe, prepared: PreparedPanel) -> list[NDArray[np.float32]]:
    """The newest points of a few series, of the window's length and of a shorter odd one."""
    rows = prepared.rows
    longest = min(recipe.longest_window, int(rows.lengths.max()))
    found = []
    for length in sorted({longest, max(recipe.min_length, longest // 2 + 1)}):
        series = np.flatnonzero(rows.lengths >= length)[:PROOF_SERIES]
        inputs, _ = normalize(
            rows.inputs(series, rows.lengths[series], length), np.full(len(series), length), recipe.equivariance
        )
        found.append(inputs)
    return found
